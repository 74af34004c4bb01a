"""Run a trained model over a split, for what its report shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnxtrain.data.source import Source
from nnxtrain.report.examination import Examination, Mistake, classes_of, worst
from nnxtrain.training.evaluate import check_split
from nnxtrain.training.predict import predict_source
from nnxtrain.training.restore import restore_model


def examine(
    run_dir: Path,
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
    mistakes: int = 24,
) -> Examination:
    """Return what the model of a run's checkpoint gets right and wrong on a split.

    A task whose ``predictions`` are neither classes nor numbers (or that has none) gives the number of examples alone.

    Raises: as :func:`nnxtrain.training.restore.restore_model`.
    """
    check_split(split)
    session, state, step = restore_model(run_dir, checkpoint=checkpoint, packages=packages)
    source: Source = getattr(session.splits, split)
    if not hasattr(session.task, "predictions"):
        return Examination(split, step, len(source))
    batch_size = session.eval_batch_size(source)
    found = predict_source(session.task, state.averaged, source, batch_size=batch_size)
    spec = source.spec
    if _is_row(found, "label", "prediction"):
        label, prediction = found["label"], found["prediction"]
        names = spec.class_names or [str(number) for number in range(spec.num_classes or 0)]
        probability = found.get("probability", np.ones(len(label)))
        ids = worst(label, prediction, probability, mistakes)
        inputs = source.batch(ids)["input"] if len(ids) else ()
        shown = [
            Mistake(
                int(i), names[label[i]], names[prediction[i]], float(probability[i]), np.asarray(x)
            )
            for i, x in zip(ids, inputs)
        ]
        return Examination(split, step, len(source), classes_of(label, prediction, names), shown)
    if "target" in found and "prediction" in found:
        pairs = np.stack([found["target"], found["prediction"]], -1)  # [N, T, 2]
        targets = {name: pairs[:, number] for number, name in enumerate(spec.target_names)}
        return Examination(split, step, len(source), targets=targets)
    return Examination(split, step, len(source))


def _is_row(found: dict[str, np.ndarray], *names: str) -> bool:
    """Whether there is one whole number for each example under all of these names."""
    return all(
        name in found and found[name].ndim == 1 and np.issubdtype(found[name].dtype, np.integer)
        for name in names
    )
