"""Which examples make up the batch of a step: a pure function of (seed, step).

Nothing here depends on what came before, on the number of processes or on the number of threads, so
a resumed or re-sharded run needs the step number and nothing else.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nnxtrain.errors import InputError


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Return the number of whole batches in an epoch; the last partial batch is dropped.

    Raises:
      InputError: ``batch_size`` is not between 1 and ``num_examples``.

    >>> steps_per_epoch(num_examples=10, batch_size=4)
    2
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if batch_size > num_examples:
        raise InputError(
            f"batch_size {batch_size} is larger than the {num_examples} training examples; "
            f"use trainer.batch_size={max(num_examples, 1)} or less"
        )
    return num_examples // batch_size


def batch_ids(seed: int, step: int, num_examples: int, batch_size: int) -> np.ndarray:
    """Return the example numbers of step ``step`` (counted from 0), ``int64[batch_size]``.

    Each epoch visits the examples in a new order that is a function of ``(seed, epoch)``, each
    example at most once.

    Raises:
      InputError: ``batch_size`` is not between 1 and ``num_examples``, or ``step`` is negative.

    >>> first, second = (batch_ids(0, step, num_examples=8, batch_size=4) for step in (0, 1))
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    steps = steps_per_epoch(num_examples, batch_size)
    if step < 0:
        raise InputError(f"step must not be negative, got {step}")
    epoch, index = divmod(step, steps)
    order = _epoch_order(seed, epoch, num_examples)
    return order[index * batch_size : (index + 1) * batch_size]


def permutation(key: tuple[int, int], length: int) -> np.ndarray:
    """Return a permutation of ``range(length)``, ``int64[length]``, that is a function of ``key``.

    It sorts the raw output of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1,
    2, 3", SC 2011). That stream is fixed by its definition, while NumPy may change what
    ``Generator.permutation`` returns from one version to the next.
    """
    bits = np.random.Philox(key=np.array([k % 2**64 for k in key], np.uint64)).random_raw(length)
    return np.argsort(bits, kind="stable")


# The steps of an epoch share its order; a few are kept for steps fetched ahead of an epoch's end.
@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    order = permutation((seed, epoch), num_examples)
    order.flags.writeable = False
    return order
