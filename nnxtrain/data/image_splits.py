"""From decoded images to a data set: a choice of classes, statistics, the spec."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nnxtrain.data.decoded import Decoded
from nnxtrain.data.source import ArraySource, Splits, Subset
from nnxtrain.data.spec import Spec
from nnxtrain.data.statistics import cached_statistics, class_counts
from nnxtrain.errors import InputError, nearest


def image_splits(
    data: Decoded,
    names: Sequence[str],
    classes: Sequence[str] | None,
    parts: Mapping[str, np.ndarray],
    *,
    what: str,
    root: Path,
) -> Splits:
    """Return the splits of a data set of images.

    Args:
      data: Its images and labels.
      names: Of all its classes, in the order of ``data.labels``.
      classes: Those to keep, in the order of the labels they get; None keeps all.
      parts: The example numbers of ``train``, ``validation`` and ``test``, classes that are not kept included.
      what: The set's name, for messages.
      root: The data directory, where statistics are remembered.

    Raises:
      InputError: An example has no valid label, or a split has no examples of the classes.
    """
    check_classes(classes, what, names)
    kept = tuple(names if classes is None else map(str, classes))
    new = {name: label for label, name in enumerate(kept)}
    table = np.array([new.get(name, -1) for name in names], np.int32)
    labels = np.full(len(data.labels), -1, np.int32)
    valid = (data.labels >= 0) & (data.labels < len(names))
    labels[valid] = table[data.labels[valid]]
    chosen = {}
    for part, ids in parts.items():
        if not valid[ids].all():
            wrong = int(data.labels[ids[~valid[ids]][0]])
            raise InputError(
                f"data: an example of {part} of {what} has the label {wrong}, which is none of its {len(names)} classes "
                "(-1 says that labels are kept secret); choose other splits"
            )
        chosen[part] = ids[labels[ids] >= 0]
        if not len(chosen[part]):
            raise InputError(
                f"data: no {part} examples of {what} are left; choose other splits or classes"
            )
    fingerprint = hashlib.sha256(f"{data.digest} {kept}".encode()).hexdigest()
    of_train = hashlib.sha256(fingerprint.encode() + chosen["train"].tobytes()).hexdigest()
    mean, std = cached_statistics(data.images, chosen["train"], of_train, root)
    spec = Spec(
        input_shape=data.images.shape[1:],
        input_dtype="uint8",
        num_classes=len(kept),
        class_names=kept,
        mean=mean,
        std=std,
        class_counts=class_counts(labels[chosen["train"]], len(kept)),
    )
    source = ArraySource({"input": data.images, "label": labels}, spec, fingerprint)
    return Splits(
        **{name: Subset(source, chosen[name]) for name in ("train", "validation", "test")}
    )


def check_classes(classes: object, what: str, names: Sequence[str]) -> None:
    """Raise an InputError unless ``classes`` is None or at least two of ``names``."""
    if classes is None:
        return
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise InputError(f"data.classes must be a list of class names, got {classes!r}")
    wanted = [str(name) for name in classes]  # YAML reads MNIST's "3" as a number
    for name in wanted:
        if name not in names:
            close = nearest(name, names)
            known = close or f"; classes: {', '.join(names)}"
            raise InputError(f"data.classes: {what} has no class {name!r}{known}")
        if wanted.count(name) > 1:
            raise InputError(f"data.classes names {name!r} twice")
    if len(wanted) < 2:
        raise InputError(f"data.classes needs at least two classes, got {wanted}")
