"""Program: what ``nnx.jit`` compiles for one GraphDef."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.inspection.recompile import watchers
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.donation import leaves_below, share_arrays, unshared

if TYPE_CHECKING:
    from nnxtrain.nnx.transforms.jit import JitFunction
    from nnxtrain.nnx.transforms.jit_shardings import ProgramShardings


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
            leaves_below(graphdef, num_roots, donated_roots) if donated_roots else frozenset()
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
            self.kept = tuple(i for i in self.kept if i not in written & self.may_donate)
        options = dict(jitted.jax_options)
        if self.shardings is not None:
            options |= self.shardings.jax_options(args, self.donated, self.kept)
        shift = 0 if self.is_rootless else 2  # arguments before the user's
        plain_donations = tuple(i + shift for i in jitted.donate_argnums)
        run = self.run_rootless if self.is_rootless else self.run

        def named(*args: Any, **kwargs: Any) -> Any:
            return run(*args, **kwargs)

        # The name under which profiles and dumps show the program.
        named.__name__ = getattr(jitted.fun, "__name__", "run")
        named.__qualname__ = getattr(jitted.fun, "__qualname__", named.__name__)
        self.compiled = jax.jit(
            named,
            static_argnums=tuple(i + shift for i in jitted.static_argnums) or None,
            static_argnames=jitted.static_argnames or None,
            donate_argnums=((0,) if self.donated else ()) + plain_donations or None,
            donate_argnames=jitted.donate_argnames or None,
            **options,
        )
        if self.is_rootless and not jitted.bound:
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
        """The arguments before the user's; what may be donated and stands there twice is copied."""
        if self.is_rootless:
            return ()
        if not self.donated:
            return [], values
        donated = [values[i] for i in self.donated]
        kept = [values[i] for i in self.kept]
        others = jax.tree.leaves((args, kwargs))
        if share_arrays(values, others):
            donated = unshared(donated, {*map(id, jax.tree.leaves(kept)), *map(id, others)})
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
