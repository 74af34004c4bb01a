"""``nnx.jit``: ``jax.jit`` for functions of objects, at the cost of ``jax.jit`` on a flat list of their arrays."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import MethodType
from typing import Any

import jax

from nnxtrain.nnx.graph.structure import Structure
from nnxtrain.nnx.inspection.recompile import History, watchers
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.callables import Transformed, unbind
from nnxtrain.nnx.transforms.jit_shardings import JitShardings, ProgramShardings
from nnxtrain.nnx.transforms.lifted import Updates, positional
from nnxtrain.nnx.transforms.program import Effects, Program
from nnxtrain.nnx.transforms.repeat import OTHER, Repeat
from nnxtrain.nnx.variable.variable import MISSING, MissingType, Variable


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
    compiler_options: Mapping[str, Any] | None = None,
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
      keep_unused, device, backend, inline, compiler_options: as in ``jax.jit``.
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
        "keep_unused": keep_unused, "device": device, "backend": backend, "inline": inline,
        "compiler_options": compiler_options, "graph": graph, "graph_updates": graph_updates, "donate": donate,
    }  # fmt: skip
    if isinstance(fun, MissingType):
        return lambda fun: JitFunction(fun, **options)
    return JitFunction(fun, **options)


class JitFunction(Transformed):
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
        self.fun, self.bound = unbind(fun)
        shift = len(self.bound)
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
        self.repeat: Repeat | None = None  # the last call with objects
        self.may_repeat = not (self.static_argnums or self.static_argnames or self.shardings)
        self.rootless: Any = None  # what JAX compiled for calls without objects: a shortcut to it
        self.history = History(self.fun, self.static_argnums)  # for nnx.explain_recompile
        functools.update_wrapper(self, self.fun, updated=())
        self.__wrapped__ = fun  # whose parameters are those of a call: without what it is bound to

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
        if self.bound:
            args = (*self.bound, *args)
        repeat = self.repeat
        if repeat is not None and not kwargs and not watchers:
            result = repeat.run(args)
            if result is not OTHER:
                return result
        structure, roots, program, taken, kwargs = self._prepare(args, kwargs)
        out, sent, note = program(structure.values(), taken, kwargs)
        fits = self.may_repeat and roots and not kwargs and note.patch is None
        if fits and Repeat.fits(args):
            self.repeat = Repeat(args, taken, structure, program, note)
        if sent or note.patch is not None:
            return lift.attach(structure, roots, out, sent, note)
        return out

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """Lower for these arguments without running, as ``jax.jit(f).lower`` does."""
        structure, _, program, args, kwargs = self._prepare((*self.bound, *args), kwargs)
        return program.lower(structure.values(), args, kwargs)

    def _prepare(self, args: tuple, kwargs: dict) -> tuple[Structure, tuple, Program, tuple, dict]:
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
