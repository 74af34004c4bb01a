"""The same call again: what ``nnx.jit`` found out about the objects of a call, for the next call with the same ones.

A training loop calls one function with the same few objects, step after step. As long as no container of the process
has changed, neither has their structure, and all that is left to do is to see that the objects are the same.

This is the one path of the library that every step of a training run takes. Between two steps the CPU's caches are
cold, so it is written to touch few things: not the objects themselves, and each Variable once to read it, once to write it.
"""

from __future__ import annotations

import weakref
from typing import Any

import jax

from nnxtrain.nnx import trace
from nnxtrain.nnx.graph.structure import Check, Structure, put_values, verify
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.transforms.donation import share_arrays
from nnxtrain.nnx.transforms.lift import Note, Slot, attach, leaf_types
from nnxtrain.nnx.transforms.program import Program
from nnxtrain.nnx.variable.variable import Epoch, Variable, get_raw

OTHER = object()  # the answer to a call that is not the same again


class Repeat:
    """A call by position. It keeps neither the objects alive nor their structure, which the first of them holds.

    That structure dies with any of its objects, so an object at a known place in memory is the known one.

    Args:
      args: the arguments, objects among them.
      taken: the same with the objects' Slots.
      structure, program, note: what the objects are, what was run, and what it changed.
    """

    __slots__ = ("compiled", "epoch", "flat", "note", "objects", "structure", "types")

    def __init__(
        self, args: tuple, taken: tuple, structure: Structure, program: Program, note: Note
    ):
        self.epoch = Epoch.structure
        self.structure = weakref.ref(structure)
        self.types = list(map(type, args))
        self.objects = [
            (place, id(args[place]), slot) for place, slot in enumerate(taken) if type(slot) is Slot
        ]
        self.flat = [place for place, kind in enumerate(self.types) if kind in (dict, tuple, list)]
        self.compiled, self.note = program.compiled, note
        if note not in structure.parts:
            leaves = structure.leaves
            numbers = (program.donated, program.kept, note.changed)
            structure.parts[note] = [[leaves[i] for i in part] for part in numbers]

    def run(self, args: tuple) -> Any:
        """Run and return the result, or ``OTHER`` for another call.

        What is donated is not compared with the rest first: the last call returned arrays that are no one else's.
        Should the caller have made two Variables share one since, XLA refuses, and the call is made in the longer way.
        """
        structure = self.structure()
        if (
            structure is None
            or self.epoch is not Epoch.structure
            or list(map(type, args)) != self.types
        ):
            return OTHER
        taken = list(args)
        for place, number, slot in self.objects:
            if id(taken[place]) != number:
                return OTHER
            taken[place] = slot
        for place in self.flat:
            if not _holds_leaves(taken[place]):
                return OTHER
        if Check.enabled:
            roots = self._roots(args)
            verify(structure, roots if len(roots) > 1 else roots[0])
        donated, kept, written = structure.parts[self.note]
        donated, kept = list(map(get_raw, donated)), list(map(get_raw, kept))
        try:
            out, sent, note = self.compiled(donated, kept, *taken)
        except (jax.errors.JaxRuntimeError, ValueError):  # either, by where JAX notices
            if donated and share_arrays([*donated, *kept], jax.tree.leaves(taken)):
                return OTHER
            raise
        # What was read is still held: to free arrays between the writes is slower than all of them after.
        is_eager = trace.thread.level is None and trace.current_trace() is trace.EAGER
        if note is self.note and is_eager and structure.plain and note.patch is None:
            put_values(written, sent)
            return out
        return attach(structure, self._roots(args), out, sent, note)

    @staticmethod
    def fits(args: tuple) -> bool:
        """Whether a call can be repeated: no object is inside an argument where it would not be seen."""
        return all(
            isinstance(x, Object | Variable) or type(x) in leaf_types or _holds_leaves(x)
            for x in args
        )

    def _roots(self, args: tuple) -> tuple:
        return tuple({slot: args[place] for place, _, slot in self.objects}.values())


def _holds_leaves(value: Any) -> bool:
    """Whether this is a dict, a tuple or a list of arrays and numbers: a batch."""
    kind = type(value)
    if kind is dict:
        return leaf_types.issuperset(map(type, value.values()))
    return kind in (tuple, list) and leaf_types.issuperset(map(type, value))
