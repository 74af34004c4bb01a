"""From a model to a program: inference of raw examples, for any batch size, as StableHLO."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from nnxtrain import nnx
from nnxtrain.errors import InputError
from nnxtrain.nnx.saving.leaves import Leaves

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
WEIGHTS = nnx.Not(nnx.RngState)  # inference draws nothing
TRUTH = ("label", "target", "weight", "mask")  # of a batch: what inference is not given
LARGEST = 2**31 - 2**24  # bytes of weights: what a serialised program may hold, less the code

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Program:
    """An exported model.

    Attributes:
      exported: its ``call`` takes the arrays named ``inputs``, in this order; where the weights are separate, they come
        first, as a dict by dotted path.
      inputs: what a batch calls them.
      output: ``logits`` or ``prediction``.
      separate: whether the weights are an argument.
    """

    exported: export.Exported
    inputs: tuple[str, ...]
    output: str
    separate: bool

    def signature(self) -> str:
        """Types of arguments and answer, e.g. ``uint8[b, 28, 28, 1] -> logits float32[b, 10]``."""
        arguments = ", ".join(map(type_text, self.input_types))
        return f"{arguments} -> {self.output} {type_text(self.exported.out_avals[0])}"

    @property
    def input_types(self) -> Sequence[Any]:
        """Of each input, with ``shape`` and ``dtype``."""
        return self.exported.in_avals[-len(self.inputs) :]


def type_text(array: Any) -> str:
    """Return dtype and shape as text.

    >>> type_text(jax.ShapeDtypeStruct((2, 3), "float32"))
    'float32[2, 3]'
    """
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def inputs_of(batch: Arrays) -> dict[str, Any]:
    """What inference is given of a batch: ``input`` first, then what else is no truth, such as ``length``."""
    return {"input": batch["input"]} | {k: v for k, v in batch.items() if k not in TRUTH}


def infer(task: Any, model: nnx.Module, batch: Arrays) -> dict[str, jax.Array]:
    """Return ``logits`` or ``prediction``, float32[B, ...], of a batch without its truth.

    Raises InputError for a task that gives neither.
    """
    with nnx.frozen(model):
        outputs = task.outputs(model, batch)
    for name in ("logits", "prediction"):
        if name in outputs:
            return {name: outputs[name].astype(np.float32)}
    raise InputError(
        f"export: the task {type(task).__name__} gives neither logits nor prediction of an example"
    )


def export_program(
    task: Any,
    model: nnx.Module,
    examples: Arrays,
    *,
    platforms: Sequence[str],
    separate: bool = False,
    batch: int | None = None,
) -> Program:
    """Lower ``infer`` of a model in evaluation mode for all of the platforms, which need not be here.

    Args:
      task: gives the outputs; how inputs are standardised becomes part of the program.
      model: in evaluation mode; it is not changed.
      examples: some of them, as the data gives them; their shapes and dtypes count.
      platforms: of ``cpu``, ``cuda``, ``rocm``, ``tpu``.
      separate: the weights are an argument of the program, not part of it.
      batch: a fixed batch size. None: any; and of tokens any length up to that of the examples, where the model allows it.

    Raises:
      InputError: the model cannot be lowered for any batch size or for a platform, or is too large for one file.
    """
    call, weights = _functional(task, model)
    size = sum(value.nbytes for value in weights.values())
    if size > LARGEST and not separate:
        raise InputError(
            f"export: the weights are {size / 2**30:.1f} GiB, and a program holds at most 2 GiB; give --weights separate"
        )
    names = tuple(inputs_of(examples))
    types = [jax.eval_shape(lambda x: x, examples[name]) for name in names]
    (output,) = jax.eval_shape(call, weights, dict(zip(names, types)))

    if separate:

        def program(weights: Arrays, *inputs: Any) -> jax.Array:
            return call(weights, dict(zip(names, inputs)))[output]

    else:

        def program(*inputs: Any) -> jax.Array:  # type: ignore[misc]
            return call(weights, dict(zip(names, inputs)))[output]

    lower = export.export(jax.jit(program), platforms=list(platforms))
    given = (jax.eval_shape(lambda: weights),) if separate else ()
    problem: Exception | None = None
    for shapes in _shapes(types, batch):
        inputs = [jax.ShapeDtypeStruct(s, t.dtype) for s, t in zip(shapes, types)]
        try:
            return Program(lower(*given, *inputs), names, output, separate)
        except (
            Exception
        ) as error:  # from JAX or from the model, which wants a number where there is a symbol
            problem = error
    line = str(problem).strip().partition("\n")[0]
    if batch is not None or "platform" in line:
        raise InputError(f"export: not for {', '.join(platforms)}: {line}") from problem
    raise InputError(
        f"export: the model cannot be lowered for every batch size ({line}); fix one, e.g. batch=32"
    ) from problem


def _functional(
    task: Any, model: nnx.Module
) -> tuple[Callable[[Arrays, Arrays], dict[str, jax.Array]], dict[str, np.ndarray]]:
    """``infer`` as a pure function of (weights by dotted path, batch), and the weights, on the host."""
    leaves = Leaves(model)
    names = [".".join(path) for path in leaves.paths]
    chosen = {".".join(path) for path in Leaves(nnx.state(model, WEIGHTS)).paths}
    weights = {n: np.asarray(v) for n, v in zip(names, leaves.values) if n in chosen}

    def call(weights: Arrays, batch: Arrays) -> dict[str, jax.Array]:
        # A model is used to JAX's arrays; what it made of NumPy's would be computed here and now, by NumPy.
        given = {name: jnp.asarray(value) for name, value in weights.items()}
        values = [given.get(name, value) for name, value in zip(names, leaves.values)]
        return infer(task, leaves.rebuild(values), batch)

    return call, weights


def _shapes(types: Sequence[Any], batch: int | None) -> Iterator[list[tuple]]:
    """The shapes of the inputs to try, the most general first."""
    if batch is not None:
        yield [(batch, *each.shape[1:]) for each in types]
        return
    first = types[0]
    if first.ndim == 2 and np.issubdtype(first.dtype, np.integer):
        scope = export.SymbolicScope([f"l <= {first.shape[1]}"])
        yield [_symbolic(("l",) if t is first else t.shape[1:], scope) for t in types]
    scope = export.SymbolicScope()
    yield [_symbolic(each.shape[1:], scope) for each in types]


def _symbolic(shape: Sequence[Any], scope: export.SymbolicScope) -> tuple:
    return tuple(export.symbolic_shape(", ".join(["b", *map(str, shape)]), scope=scope))
