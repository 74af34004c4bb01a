"""Which examples belong to a split, in tensorflow-datasets' syntax; carving one for validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nnxtrain.data.sampler import permutation
from nnxtrain.errors import InputError, nearest


def check_split(spec: str, valid: Iterable[str], where: str) -> None:
    """Check the names in a split such as ``"train[:80%]+test"``; the slices are left to
    ``split_ids``.

    Raises:
      InputError: A name is not in ``valid``.
    """
    valid = list(valid)
    for part in spec.split("+"):
        name = part.strip().partition("[")[0]
        if name not in (*valid, "all"):
            raise InputError(
                f"{where}={spec!r}: no split {name!r}{nearest(name, valid)}; "
                f"splits: {', '.join(valid)}, with slices such as {valid[0]}[:80%] and unions "
                f"such as {'+'.join(valid)}"
            )


def split_ids(spec: str, splits: Mapping[str, Any], starts: Mapping[str, int], where: str) -> Any:
    """Return the example numbers of a split, ``int64[N]``, where the sets' splits lie one after
    another.

    Args:
      spec: A split in tensorflow-datasets' syntax, as ``"train[:80%]+test"``.
      splits: The builder's ``info.splits``.
      starts: The example number at which each of the builder's splits starts.
      where: The setting's name, for messages.

    Raises:
      InputError: The split is malformed, empty, or names an example twice.
    """
    import tensorflow_datasets as tfds

    check_split(spec, splits, where)
    try:
        parts = tfds.core.ReadInstruction.from_spec(spec).to_absolute(splits)
    except Exception as error:  # ValueError, AssertionError, NotImplementedError and more
        reason = re.sub(r"\s+", " ", str(error))
        raise InputError(f"{where}={spec!r}: {reason[:200]}") from error
    ids = [np.empty(0, np.int64)]
    for part in parts:
        size = splits[part.splitname].num_examples
        first, last, _ = slice(part.from_, part.to).indices(size)
        ids.append(starts[part.splitname] + np.arange(first, last))
    joined = np.concatenate(ids)
    if not len(joined):
        raise InputError(f"{where}={spec!r} holds no examples")
    if len(np.unique(joined)) != len(joined):
        raise InputError(f"{where}={spec!r} names some examples twice")
    return joined


def carve(
    ids: np.ndarray, labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split ``ids`` into a train and a validation part, class by class, both in the order of
    ``ids``.

    The outcome depends on the arguments alone. The share is taken of each class by itself, so that
    an example is on the same side whichever classes are then used. A class of two or more examples
    has at least one on either side.

    Args:
      ids: ``int64[N]``.
      labels: The label of each of ``ids``, ``[N]``.
      fraction: The validation part's share, between 0 and 1.
      seed: Decides which examples are taken.

    >>> train, validation = carve(np.arange(20), np.arange(20) % 2, fraction=0.2, seed=0)
    >>> len(train), len(validation), sorted(validation % 2)
    (16, 4, [np.int64(0), np.int64(0), np.int64(1), np.int64(1)])
    """
    taken = np.zeros(len(ids), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(len(members) * fraction)
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        taken[members[permutation((seed, int(label)), len(members))[:count]]] = True
    return ids[~taken], ids[taken]
