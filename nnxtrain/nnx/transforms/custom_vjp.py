"""``nnx.custom_vjp``: a function of objects with a gradient rule of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.autodiff import DiffState
from nnxtrain.nnx.transforms.axes import is_slot
from nnxtrain.nnx.transforms.lifted import Call, Lifted, dotted, positional
from nnxtrain.nnx.transforms.points import Points
from nnxtrain.nnx.transforms.staged import Staged
from nnxtrain.nnx.transforms.tree import Tree
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def custom_vjp(
    fun: Any = MISSING,
    *,
    nondiff_argnums: Sequence[int | DiffState] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Give ``fun`` the gradient rule that is set by ``.defvjp(fwd, bwd)`` (``jax.custom_vjp``).

    ``fwd`` takes the arguments of ``fun`` and returns ``(result, residuals)``; objects may be among the residuals. ``bwd``
    takes ``(residuals, (updates_g, g))``: g is the cotangent of the result, and updates_g has for each argument that is an
    object a State with the cotangents of what ``fun`` wrote to it (zero where it wrote nothing), None for other arguments.
    It returns a tuple with the cotangent of each argument: for an object a State (or a module) of those of its Variables;
    what it lacks is zero. With ``graph=False`` or ``graph_updates=False``, ``bwd`` takes ``(residuals, g)``, and, if it has
    a parameter of that name, ``updates_g=``.

    Args:
      fun: the function; it returns arrays, and may write to Variables. Without it a decorator is returned.
      nondiff_argnums: ints, for arguments that are no objects and are handed to ``bwd`` in front (``bwd(*nondiff, ...)``); a
        :class:`DiffState` says which Variables of an object are differentiated (default: all floating point ones).
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    Raises:
      ValueError: ``defvjp`` was not called.
      StructureError: the function changes structure or returns an object, or ``fwd`` writes what ``fun`` does not.

    A gradient that is cut to [-1, 1]:

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> @nnx.custom_vjp
    ... def scaled(param, x):
    ...     return param.value * x
    >>> def forward(param, x):
    ...     return scaled(param, x), (param, x)
    >>> def backward(residuals, gradients):
    ...     param, x = residuals
    ...     _, g = gradients
    ...     return param.replace(jnp.clip(g * x, -1, 1)), g * param.value
    >>> scaled.defvjp(forward, backward)
    >>> float(nnx.grad(scaled)(nnx.Param(jnp.array(2.0)), 10.0).value)
    1.0
    """
    options: dict[str, Any] = {
        "nondiff_argnums": nondiff_argnums, "graph": graph, "graph_updates": graph_updates,
    }  # fmt: skip
    if isinstance(fun, MissingType):
        return lambda fun: CustomVjpFunction(fun, **options)
    return CustomVjpFunction(fun, **options)


class CustomVjpFunction(Lifted):
    """A function with a gradient rule; made by :func:`custom_vjp`."""

    def __init__(
        self,
        fun: Any,
        nondiff_argnums: Any,
        graph: bool | None,
        graph_updates: bool | None,
    ):
        super().__init__("nnx.custom_vjp", fun, graph, graph_updates)
        numbers = [n.argnum if isinstance(n, DiffState) else n for n in nondiff_argnums]
        if len(set(numbers)) != len(numbers):
            raise ValueError(
                f"nnx.custom_vjp: an argument stands twice in nondiff_argnums: {numbers}"
            )
        self.nondiff = tuple(n for n in nondiff_argnums if isinstance(n, int))
        self.filters = {n.argnum: n for n in nondiff_argnums if isinstance(n, DiffState)}
        self.rules: tuple[Callable, Callable] | None = None

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
    ) -> None:
        """Set the rule; see :func:`custom_vjp`. ``symbolic_zeros`` must be False: objects have no symbolic values."""
        if symbolic_zeros:
            raise ValueError("nnx.custom_vjp takes no symbolic zeros; use jax.custom_vjp on arrays")
        self.rules = fwd, bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.rules is None:
            raise ValueError(
                f"{getattr(self, '__name__', 'the function')} has no gradient rule yet: call .defvjp(fwd, bwd) on it"
            )
        args, kwargs = positional(self.fun, (*self.bound, *args), kwargs)
        call = self.detach(args[len(self.bound) :], kwargs)
        for name, value in call.kwargs.items():
            if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
                raise TypeError(
                    f"nnx.custom_vjp: {name} is keyword-only and traced, and the rule has no place for its gradient; let "
                    "the function take it by position"
                )
        rule = _Rule(self, call)
        function = jax.custom_vjp(rule.primal)
        function.defvjp(rule.forward, rule.backward)
        out, sent = function(rule.points.at_arrays, rule.rest)
        return self.attach(call, Tree(rule.out).rebuild(out), sent, lift.Note(rule.written, None))


class _Rule:
    """The three functions of arrays that JAX gets, for one call."""

    def __init__(self, lifted: CustomVjpFunction, call: Call):
        assert lifted.rules is not None
        self.lifted, self.call = lifted, call
        self.fwd, self.bwd = lifted.rules
        self.points = Points(lifted, call, skip=lifted.nondiff, filters=lifted.filters)
        taken = {leaf for leaves in self.points.leaves.values() for leaf in leaves}
        self.others = [i for i in range(call.graphdef.num_leaves) if i not in taken]
        self.rest = [self.points.values[i] for i in self.others]
        self.primal_function = Staged(
            lambda at, rest: self._run(lifted.fun, at, rest), self.points.at_arrays, self.rest
        )
        self.out, _, note = self.primal_function.result
        self._check(note)
        self.written = note.changed

    def _run(self, fun: Callable, at: Any, rest: Any) -> Any:
        values, args = self.points.fill(at)
        for number, value in zip(self.others, rest):
            values[number] = value
        return self.lifted.run(self.call, values, args, self.call.kwargs, fun)

    def _check(self, note: lift.Note) -> None:
        if note.patch is not None:
            changed = [dotted(path) for path in note.patch.restructured]
            raise StructureError(
                "nnx.custom_vjp: the function "
                f"{'changes the structure of ' + changed[0] if changed else 'returns an object'}; it may write to Variables "
                "and return arrays"
            )

    def primal(self, at: Any, rest: Any) -> Any:
        out, sent, _ = self.primal_function(at, rest)
        return Tree(out).arrays, sent

    def forward(self, at: Any, rest: Any) -> Any:
        def with_residuals(*args: Any, **kwargs: Any) -> Any:
            out, residuals = self.fwd(*args, **kwargs)
            (slotted,), _, roots = lift.detach((residuals,), {})
            structure = walk(roots)
            return out, (slotted, structure.graphdef, structure.values())

        (out, residuals), sent, note = self._run(with_residuals, at, rest)
        self._check(note)
        given = dict(zip(note.changed, sent))
        extra = set(given) - set(self.written)
        if extra:
            raise StructureError(
                f"nnx.custom_vjp: fwd writes {dotted(self.call.graphdef.paths[min(extra)])}, which the function does not"
            )
        values, _ = self.points.fill(at)
        return (Tree(out).arrays, [given.get(i, values[i]) for i in self.written]), residuals

    def backward(self, packed: Any, cotangents: Any) -> Any:
        slotted, graphdef, values = packed
        objects = graphdef.build(values)[0] if graphdef.nodes else ()
        residuals = lift.refill(slotted, objects)
        out_g, sent_g = cotangents
        out_g = Tree(self.out).rebuild(out_g)
        written = dict(zip(self.written, sent_g))
        places = [k for k in range(len(self.call.args)) if k not in self.lifted.nondiff]
        updates = tuple(self._updates(k, written) for k in places)
        nondiff = [self.call.args[k] for k in self.lifted.nondiff]
        flags = self.lifted.updates
        if flags.graph is False or flags.graph_updates is False:
            wanted = "updates_g" in inspect.signature(self.bwd).parameters
            tangents = self.bwd(
                *nondiff, residuals, out_g, **({"updates_g": updates} if wanted else {})
            )
        else:
            tangents = self.bwd(*nondiff, residuals, (updates, out_g))
        if not isinstance(tangents, tuple | list) or len(tangents) != len(places):
            raise TypeError(
                f"nnx.custom_vjp: bwd returns a tuple with one cotangent for each of the {len(places)} arguments; it "
                f"returned {len(tangents) if isinstance(tangents, tuple | list) else type(tangents).__name__}"
            )
        by_place = dict(zip(places, tangents))
        return self.points.pack(by_place, "bwd"), [None] * len(self.rest)

    def _updates(self, place: int, written: dict[int, Any]) -> Any:
        if not is_slot(self.call.args[place]):
            return None
        leaves = self.points.leaves[place]
        shapes = {i: jax.tree.map(jax.typeof, self.points.values[i]) for i in leaves}
        zeros = {
            i: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), s) for i, s in shapes.items()
        }
        return self.points.as_state(place, [written.get(i, zeros[i]) for i in leaves])
