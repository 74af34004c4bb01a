"""Where a loss or gradient first was not finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from nnxtrain import nnx
from nnxtrain.errors import RunError
from nnxtrain.training.gradients import all_finite, gradients

Batch = dict[str, Any]


class NotFiniteError(RunError):
    """A training step's loss or gradient was NaN or infinite.

    Attributes:
      step: the step, counted from 1.
      ids: the examples of its batch, by their numbers in the train split.
      where: what was not finite first.
    """

    def __init__(self, step: int, ids: list[int], where: str):
        self.step, self.ids, self.where = step, ids, where
        some = ", ".join(map(str, ids[:4])) + (", ..." if len(ids) > 4 else "")
        super().__init__(
            f"step {step} is not finite, first {where}; the batch is training examples {some}; what was saved before "
            "is kept; try a smaller optim.learning_rate or optim.clip_norm=1, or trainer.on_nonfinite=skip"
        )


def diagnose(task: Any, model: nnx.Module, batch: Batch, *, wrt: Any, parts: int = 1) -> str:
    """Say what is not finite when ``model`` works on ``batch``: input, parameter, layer's output, loss or gradient.

    The model is as it was before the step, so that the step's own numbers come again.

    Args:
      batch: as the task sees it, augmented.
      parts: as the step works on it.

    >>> import jax.numpy as jnp
    >>> class Task:
    ...     def outputs(self, model, batch):
    ...         return {"loss": model(batch["input"]).sum(-1)}
    ...     def metrics(self):
    ...         return nnx.MultiMetric()
    >>> class Net(nnx.Module):
    ...     def __init__(self, rngs):
    ...         self.first = nnx.Linear(2, 2, rngs=rngs)
    ...         self.second = nnx.Linear(2, 2, rngs=rngs)
    ...     def __call__(self, x):
    ...         return self.second(jnp.log(self.first(x) * 0 - 1))
    >>> diagnose(Task(), Net(nnx.Rngs(0)), {"input": jnp.ones((1, 2))}, wrt=nnx.Param)
    'the output of model.second (Linear)'
    """
    for name, array in batch.items():
        if not all_finite(array):
            return f"the batch's {name}"
    for path, variable in nnx.to_flat_state(nnx.variables(model)):
        if not all_finite(variable.get_value()):
            return f"the parameter {_dotted(path)}"
    modules = {path: type(module).__name__ for path, module in nnx.iter_modules(model)}
    for rows in _parts(batch, parts):
        outputs, finite = _look(task, model, rows)
        if bad := [path for path, good in finite.items() if not good]:
            # Whatever lies inside another one comes before it.
            path = next(p for p in bad if not any(q != p and q[: len(p)] == p for q in bad))
            return f"the output of {_dotted(path)} ({modules[path]})"
        if not all_finite(outputs["loss"]):
            return "the loss, of finite outputs"
        _, grads = gradients(task, nnx.clone(model), task.metrics(), rows, wrt=wrt)
        found = dict(nnx.to_flat_state(grads))  # in no particular order
        order = [path for path, _ in nnx.to_flat_state(nnx.variables(model)) if path in found]
        for path in reversed(order):  # gradients come from behind
            if not all_finite(found[path].get_value()):
                return f"the gradient of {_dotted(path)}"
    return "nothing when looked at alone; perhaps the whole is too large for its dtype"


def _look(task: Any, model: nnx.Module, batch: Batch) -> tuple[dict[str, Any], dict[tuple, bool]]:
    """The task's outputs, and for each module, in the order of definition, whether all that its call gave is finite."""

    @nnx.jit
    def run(model: nnx.Module, batch: Batch) -> tuple[dict[str, Any], Any]:
        seen = nnx.capture(
            lambda model: task.outputs(model, batch),
            nnx.Intermediate,
            method_outputs=nnx.Intermediate,
        )
        outputs, values = seen(model)
        checks = [
            (path, all_finite(value.get_value())) for path, value in nnx.to_flat_state(values)
        ]
        paths.extend(path for path, _ in checks)
        return outputs, [good for _, good in checks]

    paths: list[tuple] = []
    outputs, good = run(nnx.clone(model), batch)
    finite: dict[tuple, bool] = {}
    for path, fine in zip(paths, jax.device_get(good)):
        finite[path[:-1]] = finite.get(path[:-1], True) and bool(fine)
    order = [path for path, _ in nnx.iter_modules(model)]
    return outputs, {path: finite[path] for path in order if path in finite}


def _parts(batch: Batch, parts: int) -> Iterator[Batch]:
    for part in range(parts):
        yield {k: v.reshape(parts, -1, *v.shape[1:])[part] for k, v in batch.items()}


def _dotted(path: tuple) -> str:
    return ".".join(("model", *map(str, path)))
