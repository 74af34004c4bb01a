"""``predict``: what a run's model says of the examples of a split, or of new ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnxtrain import nnx
from nnxtrain.config.build import resolve
from nnxtrain.data.loader import eval_batches
from nnxtrain.data.new_examples import NewExamples, from_array, images_below, read_examples
from nnxtrain.data.source import Source
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError
from nnxtrain.training.evaluate import check_split
from nnxtrain.training.prediction_table import columns
from nnxtrain.training.restore import restore_model


@dataclass(frozen=True)
class Predictions:
    """What a model says of N examples.

    Attributes:
      names: of the examples: files, or places in a file. None: they are the examples 0, 1, ... of a split.
      arrays: the task's ``predictions``, by name, each of N rows. Of classes: ``prediction`` int32[N], ``probability``
        float32[N], ``probabilities`` float32[N, classes]; of numbers: ``prediction`` float32[N, targets]. Where the truth is
        known, ``label`` int32[N] or ``target`` float32[N, targets].
      spec: the data's, with the names of classes and targets.
      step: the checkpoint's.
    """

    names: Sequence[str] | None
    arrays: dict[str, np.ndarray]
    spec: Spec
    step: int

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def columns(self, *, probabilities: bool = False) -> dict[str, list[Any]]:
        """The table that ``nnxtrain predict`` writes; see :func:`nnxtrain.training.prediction_table.columns`."""
        return columns(self.names, self.arrays, self.spec, probabilities=probabilities)

    def rows(self, *, probabilities: bool = False) -> Iterator[dict[str, Any]]:
        """The same, a dict for each example."""
        table = self.columns(probabilities=probabilities)
        for values in zip(*table.values()):
            yield dict(zip(table, values))


def predict(
    run_dir: Path,
    *,
    split: str | None = None,
    files: Sequence[str] = (),
    folder: str | None = None,
    inputs: Any = None,
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
) -> Predictions:
    """Return a run's predictions of one of: a split (default: test), files, the images in a folder, an array.

    Args:
      run_dir: a run directory; nothing in it is changed.
      split: ``train``, ``validation`` or ``test``.
      files: images, ``.npy`` files, or files of the data set's own kind, as tables are.
      folder: of images; those in sub-folders count too.
      inputs: an array of examples ``[N, ...]`` in the form of the data, images as bytes.
      checkpoint: ``best``, ``last`` or a step.
      packages: packages of the user that ``_target_`` may name.

    Raises:
      InputError: no such run, split, checkpoint or file, or content that does not fit the data.
    """
    given = {"split": split, "files": files or None, "folder": folder, "inputs": inputs}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise InputError(f"predict: give one of {' and '.join(chosen)}")
    check_split(split or "test")
    if folder is not None:
        files = images_below(folder)
    session, state, step = restore_model(run_dir, checkpoint=checkpoint, packages=packages)
    task, spec = session.task, session.spec
    if not hasattr(task, "predictions"):
        raise InputError(
            f"predict: the task {type(task).__name__} has no method predictions(outputs), which says what to write"
        )
    source: Source | NewExamples
    if inputs is not None:
        source = from_array(np.asarray(inputs), spec)
    elif files:
        source = read_examples(files, resolve(session.config.data, packages=packages), spec)
    else:
        source = getattr(session.splits, split or "test")
    if not len(source):
        raise InputError("predict: there are no examples")
    batch_size = session.eval_batch_size(source)
    arrays = predict_source(task, state.averaged, source, batch_size=batch_size)
    return Predictions(getattr(source, "names", None), arrays, spec, step)


def predict_source(
    task: Any, model: nnx.Module, source: Any, *, batch_size: int
) -> dict[str, np.ndarray]:
    """Return ``task.predictions`` of every example, in order; the model is in evaluation mode.

    The last batch is padded, so that one program is compiled.
    """

    @nnx.jit
    def step(model: nnx.Module, batch: dict[str, Any]) -> dict[str, jax.Array]:
        with nnx.frozen(model):
            return task.predictions(task.outputs(model, batch))

    view = nnx.clone(model, variables=False)
    view.eval()
    found = []
    for batch in eval_batches(source, batch_size=batch_size):
        mask = batch.pop("mask")
        found.append({k: np.asarray(v)[mask] for k, v in step(view, batch).items()})
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
