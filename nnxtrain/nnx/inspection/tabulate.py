"""``nnx.tabulate``: a table of a model's layers, from abstract values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nnxtrain.nnx.graph.graphdef import GraphDef, Path
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.inspection.contents import Contents
from nnxtrain.nnx.inspection.flops import forward_flops, vjp_flops
from nnxtrain.nnx.inspection.recording import Call, Recorder, Work, work_of
from nnxtrain.nnx.inspection.table import render
from nnxtrain.nnx.inspection.tree_text import arguments_text, tree_text
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.random.rngs import Rngs, RngStream


@dataclass
class Row:
    """One line of the table: a method call, or several with the same inputs.

    Attributes:
      path: of the module; the method's name follows, if that is not ``__call__``.
      type: of the module.
      method: its name.
      inputs_repr, outputs_repr: the types of the arguments and of the result.
      outputs: the result, with ``jax.ShapeDtypeStruct`` for arrays.
      depth: how many steps below the whole the module is.
      calls: how often the method was called with these inputs.
      call_order: 0 for the call that began first.
      object_id: the same for all calls of one module.
      flops, vjp_flops: operations of one call, where they were asked for.
    """

    path: Path
    type: type
    method: str
    inputs_repr: str
    outputs_repr: str
    outputs: Any
    depth: int
    call_order: int
    object_id: int
    calls: int = 1
    flops: int | None = None
    vjp_flops: int | None = None


def filter_rng_streams(row: Row) -> bool:
    """The default ``row_filter``: no rows for random streams."""
    return not issubclass(row.type, RngStream | Rngs)


def tabulate(
    obj: Any,
    *input_args: Any,
    depth: int | None = None,
    method: str = "__call__",
    row_filter: Callable[[Row], bool] = filter_rng_streams,
    table_kwargs: Mapping[str, Any] = MappingProxyType({}),
    column_kwargs: Mapping[str, Any] = MappingProxyType({}),
    console_kwargs: Mapping[str, Any] = MappingProxyType({}),
    compute_flops: bool = False,
    compute_vjp_flops: bool = False,
    **input_kwargs: Any,
) -> str:
    """A table of the modules that a call of ``obj`` runs: path, type, inputs, outputs, and their Variables by kind.

    Nothing is computed, and ``obj`` is not changed: the call is traced on abstract copies, so a model from
    ``nnx.eval_shape`` and ``jax.ShapeDtypeStruct`` inputs will do. A Variable that several modules share is counted
    once, where it stands first; a module called again with the same types has one row, which says how often. The sizes
    of a module include those of the modules in it.

    Args:
      obj: a module, or any other object with the method.
      *input_args, **input_kwargs: the arguments of the method. Numbers, strings and flags are static.
      depth: leave out modules more than this many steps below ``obj``.
      method: which method to call.
      row_filter: which :class:`Row` objects to show (default: all but those of random streams).
      table_kwargs, column_kwargs, console_kwargs: for ``rich.table.Table``, its ``add_column``, ``rich.console.Console``.
        Without a ``width`` the text is as wide as the terminal, or, where there is none, as it needs. A width in which
        the columns have no room gives a list in place of a table.
      compute_flops: add a column with the floating-point operations of each call, as XLA counts them before optimisation
        (an addition and a multiplication are two; padding costs nothing, drawing random bits does).
      compute_vjp_flops: the same for a call and its gradient with respect to all inputs and Variables.

    Raises:
      TypeError: ``obj`` is no nnx object.
      AttributeError: it has no such method.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.relu)
    >>> text = nnx.tabulate(model, jnp.ones((1, 2)), console_kwargs={"width": 40})
    >>> print("\\n".join(line.rstrip() for line in text.splitlines()))
    Sequential Summary
    <BLANKLINE>
    (whole) Sequential
      inputs   float32[1,2]
      outputs  float32[1,3]
      Param    9 (36 B)
    layers.0 Linear
      inputs   float32[1,2]
      outputs  float32[1,3]
      Param    kernel: float32[2,3]
               bias: float32[3]
               9 (36 B)
    Total: 9 (36 B)
    """
    if not isinstance(obj, Object):
        raise TypeError(f"nnx.tabulate needs an nnx object; it got a {type(obj).__name__}")
    if not callable(getattr(obj, method, None)):
        raise AttributeError(
            f"nnx.tabulate: {type(obj).__name__} has no method {method!r}; name one with method="
        )
    structure = walk(obj)
    contents = Contents(structure.graphdef, structure.values())
    work = work_of(obj, method, input_args, input_kwargs)
    recorder = Recorder(work, len(structure.graphdef.nodes), compute_flops or compute_vjp_flops)
    recorder.run()
    rows = _rows(recorder.finished(), structure.graphdef, compute_flops, compute_vjp_flops)
    rows = [row for row in rows if row_filter(row) and (depth is None or row.depth <= depth)]
    title = f"{type(obj).__name__} Summary"
    return render(title, rows, contents, table_kwargs, column_kwargs, console_kwargs)


def _rows(calls: list[Call], graphdef: GraphDef, flops: bool, vjp: bool) -> list[Row]:
    rows: dict[Any, Row] = {}
    counted: dict[Any, int] = {}
    for call in calls:
        inputs = arguments_text(*call.inputs)
        key = (call.node, call.method, inputs)
        if key in rows:
            rows[key].calls += 1
            continue
        path = graphdef.node_paths[call.node]
        rows[key] = Row(
            path=path if call.method == "__call__" else (*path, call.method),
            type=graphdef.nodes[call.node].type,
            method=call.method,
            inputs_repr=inputs,
            outputs_repr=tree_text(call.outputs),
            outputs=call.outputs,
            depth=len(path),
            call_order=len(rows),
            object_id=call.node,
            flops=_counted(forward_flops, call, counted) if flops else None,
            vjp_flops=_counted(vjp_flops, call, counted) if vjp else None,
        )
    return list(rows.values())


def _counted(count: Callable[[Work], int], call: Call, known: dict[Any, int]) -> int | None:
    """The FLOPs of a call; layers that are built alike are counted once."""
    if call.work is None:
        return None
    key = count, call.work.key
    if key not in known:
        known[key] = count(call.work)
    return known[key]
