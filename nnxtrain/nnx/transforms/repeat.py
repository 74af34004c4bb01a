"""The same call again: what ``nnx.jit`` found out about the objects of a call, for the next call with the same ones.

A training loop calls one function with the same few objects, step after step. As long as no container of the process
has changed, neither has their structure, and all that is left to do is to see that the objects are the same.

This is the one path of the library that every step of a training run takes, so it is written for speed: few calls of
Python functions, and each Variable is touched once to read it and once to write it.
"""

from __future__ import annotations

import weakref
from typing import Any

import jax

from nnxtrain.nnx.graph.structure import Check, Structure, verify
from nnxtrain.nnx.transforms.donation import share_arrays
from nnxtrain.nnx.transforms.lift import Slot, attach, leaf_types, write
from nnxtrain.nnx.transforms.program import Program
from nnxtrain.nnx.variable.variable import Epoch

OTHER = object()  # the answer to a call that is not the same again


class Repeat:
    """A call by position. It keeps neither the objects alive nor their structure, which the first of them holds.

    Args:
      args: the arguments, objects among them.
      taken: the same with the objects' Slots.
      structure, program: what the objects are, and what is to be run.
    """

    __slots__ = (
        "compiled",
        "donated",
        "epoch",
        "kept",
        "length",
        "objects",
        "structure",
    )

    def __init__(self, args: tuple, taken: tuple, structure: Structure, program: Program):
        self.epoch = Epoch.structure
        self.length = len(args)
        self.objects = [
            (place, weakref.ref(args[place]), slot)
            for place, slot in enumerate(taken)
            if type(slot) is Slot
        ]
        self.structure = weakref.ref(structure)
        self.compiled, self.donated, self.kept = program.compiled, program.donated, program.kept

    def run(self, args: tuple) -> Any:
        """Run and return the result, or ``OTHER`` for another call.

        What is donated is not compared with the rest first: the last call returned arrays that are no one else's.
        Should the caller have made two Variables share one since, XLA refuses, and the call is made in the longer way.
        """
        structure = self.structure()
        if self.epoch is not Epoch.structure or structure is None or len(args) != self.length:
            return OTHER
        taken = list(args)
        for place, known, slot in self.objects:
            if args[place] is not known():
                return OTHER
            taken[place] = slot
        if not leaf_types.issuperset(map(type, taken)):  # there may be other objects in a tree
            return OTHER
        if Check.enabled:
            roots = self._roots(args)
            verify(structure, roots if len(roots) > 1 else roots[0])
        donated, kept = structure.get(self.donated), structure.get(self.kept)
        try:
            out, sent, note = self.compiled(donated, kept, *taken)
        except (jax.errors.JaxRuntimeError, ValueError):  # either, by where JAX notices
            if donated and share_arrays([*donated, *kept], jax.tree.leaves(taken)):
                return OTHER
            raise
        # What was read is still held: to free arrays between the writes is slower than all of them after.
        if note.patch is not None:
            return attach(structure, self._roots(args), out, sent, note)
        if sent:
            write(structure, sent, note)
        return out

    def _roots(self, args: tuple) -> tuple:
        return tuple({slot: args[place] for place, _, slot in self.objects}.values())
