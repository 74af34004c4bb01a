"""``nnx.jit``: ``jax.jit`` for functions of objects, at the cost of ``jax.jit`` on a flat list of their arrays."""

from __future__ import annotations

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph import Structure
from nnxtrain.nnx.graphdef import GraphDef
from nnxtrain.nnx.inspection.recompile import History, watchers
from nnxtrain.nnx.module import Object
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.callables import unbind
from nnxtrain.nnx.transforms.jit_shardings import JitShardings, ProgramShardings
from nnxtrain.nnx.transforms.lifted import Updates, positional
from nnxtrain.nnx.variables import MISSING, MissingType, Variable


def jit(
    fun: Any = MISSING,
    *,
    in_shardings: Any = None,
    out_shardings: Any = None,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    device: jax.Device | None = None,
    backend: str | None = None,
    inline: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
    donate: bool = False,
) -> Any:
    """Compile a function that takes, changes and returns objects (modules, optimizers, metrics, rngs, Variables).

    Values that the function writes come back into the caller's objects; so do structural changes. Only what was
    written travels back. If the function raises, the objects are as they were. A module or a bound method can be given
    as ``fun``: the object is an implicit argument.

    Args:
      fun: the function; without it, a decorator is returned.
      in_shardings: for each dynamic argument a sharding, a tree of them or None (as it comes), or for objects a
        :class:`nnx.StateSharding`. What the function writes to a Variable keeps the Variable's sharding.
      out_shardings: the same for the result.
      static_argnums, static_argnames: arguments that are compiled in, as in ``jax.jit``.
      donate_argnums, donate_argnames: arguments whose buffers may be used again, as in ``jax.jit``. Of an object only
        the Variables that the call writes are donated, never one that shares its array with another.
      keep_unused, device, backend, inline: as in ``jax.jit``.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.
      donate: donate all objects.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> @nnx.jit
    ... def double(variable):
    ...     variable.value *= 2
    >>> v = nnx.Param(jnp.ones(2))
    >>> double(v); v.value.tolist()
    [2.0, 2.0]
    """
    options: dict[str, Any] = {
        "in_shardings": in_shardings, "out_shardings": out_shardings, "static_argnums": static_argnums,
        "static_argnames": static_argnames, "donate_argnums": donate_argnums, "donate_argnames": donate_argnames,
        "keep_unused": keep_unused, "device": device, "backend": backend, "inline": inline, "graph": graph,
        "graph_updates": graph_updates, "donate": donate,
    }  # fmt: skip
    if isinstance(fun, MissingType):
        return lambda fun: JitFunction(fun, **options)
    return JitFunction(fun, **options)


class JitFunction:
    """A compiled function of objects. One program is kept for each GraphDef of its objects (at most 64)."""

    max_programs = 64

    def __init__(
        self,
        fun: Any,
        *,
        in_shardings: Any = None,
        out_shardings: Any = None,
        static_argnums: Any = None,
        static_argnames: Any = None,
        donate_argnums: Any = None,
        donate_argnames: Any = None,
        donate: bool = False,
        graph: bool | None = None,
        graph_updates: bool | None = None,
        **jax_options: Any,
    ):
        self.fun, self.bound_args, self.bound_kwargs = unbind(fun)
        shift = len(self.bound_args)
        names = _parameter_names(self.fun)
        self.static_argnums, self.static_argnames = _both(
            static_argnums, static_argnames, names, shift
        )
        self.donate_argnums, self.donate_argnames = _both(
            donate_argnums, donate_argnames, names, shift
        )
        self.donate = donate
        self.updates = Updates(graph, graph_updates)
        self.shardings: JitShardings | None = None
        if in_shardings is not None or out_shardings is not None:
            self.shardings = JitShardings(in_shardings, out_shardings, shift, self.static_argnums)
        self.jax_options = {k: v for k, v in jax_options.items() if v not in (None, False)}
        self.programs: OrderedDict[tuple, Program] = OrderedDict()
        self.rootless: Any = None  # what JAX compiled for calls without objects: a shortcut to it
        self.history = History(self.fun, self.static_argnums)  # for nnx.explain_recompile
        functools.update_wrapper(self, self.fun, updated=())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rootless = self.rootless
        if (
            rootless is not None
            and not kwargs
            and lift.leaf_types.issuperset(map(type, args))
            and not watchers
        ):
            result = rootless(*args)
            if type(result) is not Effects:
                return result
            return lift.attach(lift.structure_of_roots(()), (), *result)
        structure, roots, program, args, kwargs = self._prepare(args, kwargs)
        out, sent, note = program(structure.values(), args, kwargs)
        if sent or note.patch is not None:
            return lift.attach(structure, roots, out, sent, note)
        return out

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """Lower for these arguments without running, as ``jax.jit(f).lower`` does."""
        structure, _, program, args, kwargs = self._prepare(args, kwargs)
        return program.lower(structure.values(), args, kwargs)

    def _prepare(self, args: tuple, kwargs: dict) -> tuple[Structure, tuple, Program, tuple, dict]:
        if self.bound_args or self.bound_kwargs:
            args, kwargs = (*self.bound_args, *args), {**self.bound_kwargs, **kwargs}
        if self.shardings is not None:
            args, kwargs = positional(self.fun, args, kwargs)
        if self.static_argnums or self.static_argnames:
            taken, roots = _detach_dynamic(args, kwargs, self.static_argnums, self.static_argnames)
        else:
            *taken, roots = lift.detach(args, kwargs)
        structure = lift.structure_of_roots(roots)
        donated: tuple[int, ...] = ()
        if self.donate:
            donated = tuple(range(len(roots)))
        elif self.donate_argnums or self.donate_argnames:
            donated = self._donated_roots(*taken)
        entries: tuple = ()
        if self.shardings is not None:
            entries = self.shardings.for_roots(taken[0], len(roots))
        key = (structure.graphdef, len(roots), donated, entries)
        program = self.programs.get(key)
        if program is None:
            self.updates.check_in("nnx.jit", structure.graphdef)
            program = self.programs[key] = Program(self, structure.graphdef, len(roots), donated)
            if self.shardings is not None:
                program.shardings = ProgramShardings(self.shardings, structure, entries)
            while len(self.programs) > self.max_programs:
                self.programs.popitem(last=False)
        return structure, roots, program, taken[0], taken[1]

    def _donated_roots(self, args: tuple, kwargs: dict) -> tuple[int, ...]:
        """The numbers of the objects among the arguments to donate."""
        trees = [args[i] for i in self.donate_argnums if i < len(args)]
        trees += [kwargs[name] for name in self.donate_argnames if name in kwargs]
        slots = jax.tree.leaves(trees, is_leaf=lambda x: isinstance(x, lift.Slot))
        return tuple(sorted({s.number for s in slots if isinstance(s, lift.Slot)}))

    def _cache_size(self) -> int:
        """How many programs were compiled."""
        return sum(
            p.compiled._cache_size() for p in self.programs.values() if p.compiled is not None
        )


class Effects(NamedTuple):
    """What comes out of a compiled function: its result, the values written, and whose they are."""

    out: Any
    sent: list[Any]
    note: lift.Note


class Program:
    """The compiled function for one GraphDef.

    With donation the written Variables must be known before compiling: the function is traced once, abstractly, to
    find them. Should a later trace (other shapes) write others, those are simply not donated.
    """

    def __init__(
        self,
        jitted: JitFunction,
        graphdef: GraphDef,
        num_roots: int,
        donated_roots: tuple[int, ...],
    ):
        self.jitted = jitted
        self.graphdef = graphdef
        self.num_roots = num_roots
        self.may_donate = (
            _leaves_below(graphdef, num_roots, donated_roots) if donated_roots else frozenset()
        )
        self.donated: tuple[int, ...] = ()
        self.kept: tuple[int, ...] = tuple(range(graphdef.num_leaves))
        self.shardings: ProgramShardings | None = None
        self.compiled: Any = None
        self.compiling = threading.RLock()

    def run(
        self, donated: list[Any], kept: list[Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, list[Any], lift.Note]:
        """The pure function that JAX compiles."""
        values: list[Any] = [None] * self.graphdef.num_leaves
        for numbers, part in ((self.donated, donated), (self.kept, kept)):
            for number, value in zip(numbers, part):
                values[number] = value
        self.jitted.history.record(self, values, args, kwargs)
        out, sent, note = lift.call(
            "nnx.jit",
            self.jitted.fun,
            self.graphdef,
            self.num_roots,
            values,
            args,
            kwargs,
            compiled=True,
            always=frozenset(self.donated),
        )
        self.jitted.updates.check_out("nnx.jit", note)
        if self.shardings is not None:
            sent = self.shardings.constrain(out, sent, note)
        return out, sent, note

    def run_rootless(self, *args: Any, **kwargs: Any) -> Any:
        """The same for a call without objects; the result alone comes out, unless it has objects in it."""
        effects = Effects(*self.run([], [], *args, **kwargs))
        return effects.out if effects.note.patch is None else effects

    def compile(self, values: list[Any], args: tuple, kwargs: dict) -> None:
        with self.compiling:  # another thread that makes the same first call waits here
            if self.compiled is None:
                self._compile(values, args, kwargs)

    def _compile(self, values: list[Any], args: tuple, kwargs: dict) -> None:
        jitted = self.jitted
        for path, value in zip(self.graphdef.paths, values):
            for leaf in jax.tree.leaves(value):
                if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float | complex):
                    raise TypeError(
                        f"{'.'.join(map(str, path)) or 'a Variable'} holds a {type(leaf).__name__}, which cannot be "
                        "compiled; keep it as a plain attribute, which is static"
                    )
        if self.may_donate:
            note = self._abstract_note(values, args, kwargs)
            written = set(note.changed) if note.patch is None else set()
            self.donated = tuple(sorted(written & self.may_donate))
            self.kept = tuple(
                i for i in range(self.graphdef.num_leaves) if i not in written & self.may_donate
            )
        options = dict(jitted.jax_options)
        if self.shardings is not None:
            options |= self.shardings.jax_options(args, self.donated, self.kept)
        shift = 0 if self.is_rootless else 2  # arguments before the user's
        plain_donations = tuple(i + shift for i in jitted.donate_argnums)
        self.compiled = jax.jit(
            self.run_rootless if self.is_rootless else self.run,
            static_argnums=tuple(i + shift for i in jitted.static_argnums) or None,
            static_argnames=jitted.static_argnames or None,
            donate_argnums=((0,) if self.donated else ()) + plain_donations or None,
            donate_argnames=jitted.donate_argnames or None,
            **options,
        )
        if self.is_rootless and not (jitted.bound_args or jitted.bound_kwargs):
            jitted.rootless = self.compiled

    def _abstract_note(self, values: list[Any], args: tuple, kwargs: dict) -> lift.Note:
        traced = jax.jit(
            self.run,
            static_argnums=tuple(i + 2 for i in self.jitted.static_argnums) or None,
            static_argnames=self.jitted.static_argnames or None,
        )
        _, _, note = traced.eval_shape([], values, *args, **kwargs)
        return note

    @property
    def is_rootless(self) -> bool:
        """True where there are no objects among the arguments, so that JAX can be handed these as they are."""
        return self.num_roots == 0 and self.shardings is None

    def _arguments(self, values: list[Any], args: tuple, kwargs: dict) -> tuple[list[Any], ...]:
        if self.is_rootless:
            return ()
        if not self.donated:
            return [], values
        donated = [values[i] for i in self.donated]
        kept = [values[i] for i in self.kept]
        others = jax.tree.leaves((args, kwargs))
        if len({*map(id, values), *map(id, others)}) < len(values) + len(others):
            donated = _unshared(donated, {*map(id, kept), *map(id, others)})
        return donated, kept

    def __call__(
        self, values: list[Any], args: tuple, kwargs: dict
    ) -> tuple[Any, list[Any], lift.Note]:
        if self.compiled is None:
            self.compile(values, args, kwargs)
        if watchers:
            result = self.jitted.history.run_watched(self, values, args, kwargs)
        else:
            result = self.compiled(*self._arguments(values, args, kwargs), *args, **kwargs)
        if self.is_rootless and type(result) is not Effects:
            return result, [], NO_EFFECT
        return result

    def lower(self, values: list[Any], args: tuple, kwargs: dict) -> jax.stages.Lowered:
        if self.compiled is None:
            self.compile(values, args, kwargs)
        return self.compiled.lower(*self._arguments(values, args, kwargs), *args, **kwargs)


NO_EFFECT = lift.Note((), None)


def _unshared(donated: list[Any], seen: set[int]) -> list[Any]:
    """Copies of the arrays that stand twice (``seen``: the ids of the other arguments), so that these are not deleted."""
    result = []
    for value in donated:
        result.append(jax.tree.map(jnp.copy, value) if id(value) in seen else value)
        seen.add(id(value))
    return result


def _leaves_below(graphdef: GraphDef, num_roots: int, roots: tuple[int, ...]) -> frozenset[int]:
    """The leaf numbers reached from some of the roots and from no other root."""
    if num_roots == 1:
        return frozenset(range(graphdef.num_leaves))

    def reached(start: list[int]) -> set[int]:
        seen: set[int] = set()
        while start:
            number = start.pop()
            if number not in seen:
                seen.add(number)
                start.extend(ref for _, ref in graphdef.attributes[number] if type(ref) is int)
        return seen

    tops = [ref for _, ref in graphdef.attributes[0] if type(ref) is int]
    nodes = reached([tops[i] for i in roots]) - reached(
        [t for i, t in enumerate(tops) if i not in roots]
    )
    return frozenset(leaf for leaf, number in enumerate(graphdef.leaf_nodes) if number in nodes)


def _detach_dynamic(
    args: tuple, kwargs: dict, argnums: tuple[int, ...], argnames: tuple[str, ...]
) -> tuple[list, tuple]:
    """Like ``lift.detach``, leaving the static arguments alone."""
    static = {i: args[i] for i in argnums if i < len(args)}
    kept = {name: kwargs[name] for name in argnames if name in kwargs}
    for value in (*static.values(), *kept.values()):
        if isinstance(value, Object | Variable):
            raise TypeError(
                f"a {type(value).__name__} cannot be a static argument of nnx.jit; take it off static_argnums"
            )
    dynamic = tuple(None if i in static else a for i, a in enumerate(args))
    args, kwargs, roots = lift.detach(dynamic, {k: v for k, v in kwargs.items() if k not in kept})
    return [tuple(static.get(i, a) for i, a in enumerate(args)), {**kwargs, **kept}], roots


def _parameter_names(fun: Callable) -> list[str]:
    try:
        return list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        return []


def _both(
    numbers: Any, names: Any, parameters: list[str], shift: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Argument numbers and names, each completed from the other by the function's signature."""
    numbers = () if numbers is None else (numbers,) if isinstance(numbers, int) else tuple(numbers)
    names = () if names is None else (names,) if isinstance(names, str) else tuple(names)
    numbers = tuple(n + shift if n >= 0 else n + len(parameters) for n in numbers)
    unknown = [name for name in names if parameters and name not in parameters]
    if unknown and "kwargs" not in parameters:
        raise ValueError(
            f"the function has no argument {unknown[0]!r}; it has {', '.join(parameters)}"
        )
    all_numbers = {*numbers, *(parameters.index(name) for name in names if name in parameters)}
    all_names = {*names, *(parameters[n] for n in numbers if n < len(parameters))}
    return tuple(sorted(all_numbers)), tuple(sorted(all_names))
