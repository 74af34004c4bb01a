"""The same call again: what ``nnx.jit`` found out about the objects of a call, for the next call with the same ones.

A training loop calls one function with the same few objects, step after step. As long as no container of the process
has changed, neither has their structure, and all that is left to do is to see that the objects are the same.
"""

from __future__ import annotations

import weakref
from typing import Any

from nnxtrain.nnx.graph.structure import Check, Structure, verify
from nnxtrain.nnx.transforms.lift import Slot, leaf_types
from nnxtrain.nnx.variable.variable import Epoch


class Repeat:
    """A call by position. It keeps neither the objects alive nor their structure, which the first of them holds.

    Args:
      args: the arguments, objects among them.
      taken: the same with the objects' Slots.
      structure, program: what the objects are, and what is to be run.
    """

    __slots__ = ("count", "length", "objects", "program", "structure", "written")

    def __init__(self, args: tuple, taken: tuple, structure: Structure, program: Any):
        self.count, self.written = Epoch.count, Epoch.structure
        self.length = len(args)
        self.objects = [
            (place, weakref.ref(args[place]), slot)
            for place, slot in enumerate(taken)
            if type(slot) is Slot
        ]
        self.structure = weakref.ref(structure)
        self.program = program

    def match(self, args: tuple) -> tuple[Structure, tuple, Any, tuple] | None:
        """The structure, the objects, the program and the arguments with Slots; None for another call."""
        if self.written is not Epoch.structure or self.count != Epoch.count:
            return None
        structure = self.structure()
        if structure is None or len(args) != self.length:
            return None
        taken = list(args)
        for place, known, slot in self.objects:
            if args[place] is not known():
                return None
            taken[place] = slot
        if not leaf_types.issuperset(map(type, taken)):  # there may be other objects in a tree
            return None
        roots = tuple({slot: args[place] for place, _, slot in self.objects}.values())
        if Check.enabled:
            verify(structure, roots if len(roots) > 1 else roots[0])
        return structure, roots, self.program, tuple(taken)
