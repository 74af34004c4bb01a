"""``generate``: text from a run's language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nnxtrain.data.tokenizers import Tokenizer, checked
from nnxtrain.errors import InputError
from nnxtrain.generation.decode import continued
from nnxtrain.generation.sampling import Sampling
from nnxtrain.training.restore import restore_model


def generate(
    run_dir: Path,
    *,
    prompt: str = "\n",
    length: int = 200,
    sampling: Sampling | None = None,
    num: int = 1,
    seed: int = 0,
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
) -> dict[str, Any]:
    """Return ``samples``, ``num`` texts that continue the prompt (without it); ``prompt``; and the checkpoint's ``step``.

    Args:
      run_dir: a run directory; nothing in it is changed.
      prompt: what comes before. Where the data is tokens without a tokenizer, their numbers: ``"12 7 401"``.
      length: how many tokens to add (bytes or characters, as the data has it); see :func:`continued` for more than the
        model's context.
      sampling: how tokens are drawn; None: all of them, at temperature 1.
      num: how many samples.
      seed: decides what is drawn.
      checkpoint: ``best``, ``last`` or a step.
      packages: packages of the user that ``_target_`` may name.

    Raises:
      InputError: no such run or checkpoint, a run without a language model, a prompt that the tokenizer does not know.
    """
    for name, value, least in (("length", length, 1), ("num", num, 1), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    session, state, step = restore_model(run_dir, checkpoint=checkpoint, packages=packages)
    model = state.averaged
    spec = session.spec
    if spec.vocab_size is None:
        raise InputError(f"{run_dir} has no language model: its data is not made of tokens")
    if not hasattr(model, "init_cache"):
        raise InputError(
            f"{run_dir} has no language model that can go on from a prompt: {type(model).__name__} has no init_cache"
        )
    tokenizer = spec.tokenizer or TokenNumbers(spec.vocab_size)
    try:
        tokens = tokenizer.encode(prompt)
    except InputError as error:
        raise InputError(f"{error}; choose another prompt=TEXT") from error
    if not len(tokens):
        raise InputError("the prompt is empty; give prompt=TEXT to begin with")
    added = continued(
        model,
        tokens,
        length=length,
        sampling=sampling or Sampling(),
        num=num,
        seed=seed,
    )
    return {"step": step, "prompt": prompt, "samples": [tokenizer.decode(row) for row in added]}


class TokenNumbers(Tokenizer):
    """Stands in where only token numbers are known: text is the numbers, with spaces.

    >>> TokenNumbers(50).encode("12 7").tolist(), TokenNumbers(50).decode([12, 7])
    ([12, 7], ' 12 7')
    """

    def __init__(self, vocab_size: int):
        self._vocab_size = vocab_size

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    def encode(self, text: str) -> np.ndarray:
        try:
            numbers = [int(word) for word in text.split()]
        except ValueError:
            numbers = []
        if not numbers:
            raise InputError(
                "the run's data has no tokenizer, so a prompt is token numbers such as '12 7 3'"
            )
        return checked(numbers, self.vocab_size)

    def decode(self, tokens: ArrayLike) -> str:
        return "".join(f" {token}" for token in np.asarray(tokens).tolist())
