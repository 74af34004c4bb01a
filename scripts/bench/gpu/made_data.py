"""Files to train on, drawn here: all contestants read the same. There is something to learn, so that losses can fall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from work import Work


def make(work: Work, folder: Path) -> Path:
    """Write the examples of a subject, and return the file: images ``.npz``, or tokens ``.bin`` of uint16."""
    if work.subject == "gpt2":
        path = folder / "tokens.bin"
        tokens(work.model["vocabulary"], work.examples).tofile(path)
    else:
        path = folder / f"images_{work.examples}.npz"
        if not path.exists():
            np.savez(path, **images(work.examples))
    return path


def images(count: int) -> dict[str, np.ndarray]:
    """``input`` uint8[count, 32, 32, 3], noise over a picture that each of ten classes has, and ``label`` int32[count]."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(64, 192, (10, 32, 32, 3), np.uint8)
    label = np.arange(count, dtype=np.int32) % 10
    noise = rng.integers(0, 64, (count, 32, 32, 3), np.uint8)
    return {"input": pictures[label] + noise, "label": label}


def tokens(vocabulary: int, count: int) -> np.ndarray:
    """uint16[count], drawn by Zipf's law: the token of rank r with a probability in proportion to 1 / r."""
    probabilities = 1.0 / np.arange(1, vocabulary + 1)
    upto = np.cumsum(probabilities / probabilities.sum())
    drawn = np.searchsorted(upto, np.random.default_rng(0).random(count))
    return np.minimum(drawn, vocabulary - 1).astype(np.uint16)
