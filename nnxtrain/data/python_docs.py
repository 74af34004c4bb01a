"""The reference manual that every Python brings along: a text to try language models on, without a download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnxtrain.data.assembly import Division
from nnxtrain.data.source import Splits
from nnxtrain.data.spec import Spec
from nnxtrain.data.token_windows import assemble_windows
from nnxtrain.data.tokenizers import ByteTokenizer


@dataclass(frozen=True)
class PythonDocs:
    """What ``help()`` shows about Python's syntax: 0.5 to 0.7 MB of English, by bytes; it differs between Python's versions.

    Args:
      length, stride, eval_stride, validation_fraction, test_fraction: as in :class:`nnxtrain.data.Text`.

    >>> splits = PythonDocs(length=64).load()
    >>> splits.train.batch(np.arange(2))["input"].shape, splits.train.spec.vocab_size
    ((2, 64), 256)
    """

    length: int = 256
    stride: int | None = None
    eval_stride: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1

    def load(self) -> Splits:
        """Return the three splits, in the order of the topics' names; batches are those of ``TokenWindows``."""
        from pydoc_data.topics import topics

        tokenizer = ByteTokenizer()
        text = "\n".join(topics[name] for name in sorted(topics))
        tokens = tokenizer.encode(text).astype(np.uint8)
        spec = Spec((self.length,), "int32", vocab_size=tokenizer.vocab_size, tokenizer=tokenizer)
        return assemble_windows(
            {"train": [tokens]},
            Division(self.validation_fraction, self.test_fraction),
            spec,
            stride=self.stride,
            eval_stride=self.eval_stride,
        )
