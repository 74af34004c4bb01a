"""``in_shardings`` and ``out_shardings`` of ``nnx.jit``, for arrays and for the Variables of objects."""

from __future__ import annotations

from typing import Any

import jax

from nnxtrain.nnx.graph.structure import Structure
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.axes import (
    LeafAxes,
    entries_of_outputs,
    entries_of_roots,
    plain,
    spread,
)


class JitShardings:
    """What the caller asked for; prefixes of the arguments and of the result, with StateShardings for objects.

    Args:
      bound: how many leading arguments the function is bound to (their sharding is left open).
      static_argnums: arguments without a sharding, which the prefix leaves out (as in ``jax.jit``).
    """

    def __init__(self, inputs: Any, outputs: Any, bound: int, static_argnums: tuple[int, ...]):
        self.inputs = tuple(inputs) if isinstance(inputs, list) else inputs
        self.outputs = outputs
        self.bound = bound
        self.static_argnums = static_argnums

    def for_arguments(self, args: tuple) -> tuple:
        """The prefix of the dynamic arguments of one call."""
        number = sum(i not in self.static_argnums for i in range(self.bound, len(args)))
        inputs = self.inputs
        if not isinstance(inputs, tuple) or isinstance(inputs, jax.sharding.PartitionSpec):
            inputs = (inputs,) * number
        return (None,) * self.bound + inputs

    def for_roots(self, args: tuple, num_roots: int) -> tuple:
        """For each object of the call its entries (see ``axes.entries_of_roots``), hashable."""
        dynamic = tuple(a for i, a in enumerate(args) if i not in self.static_argnums)
        where = spread("nnx.jit in_shardings", self.for_arguments(args), dynamic)
        return tuple(map(tuple, entries_of_roots(where, num_roots, None)))


class ProgramShardings:
    """The shardings of one program: of each leaf on the way in, and of what it writes on the way out."""

    def __init__(self, asked: JitShardings, structure: Structure, entries: tuple):
        self.asked = asked
        self.leaves = LeafAxes("nnx.jit in_shardings", structure, [list(e) for e in entries])

    def jax_options(self, args: tuple, donated: tuple[int, ...], kept: tuple[int, ...]) -> dict:
        """``in_shardings`` and ``out_shardings`` for the program's ``run(donated, kept, *args)``."""
        options = {}
        if self.asked.inputs is not None:
            given = plain(self.asked.for_arguments(args), None)
            values = ([self.leaves.of[i] for i in donated], [self.leaves.of[i] for i in kept])
            options["in_shardings"] = (*values, *given)
        if self.asked.outputs is not None:
            options["out_shardings"] = (plain(self.asked.outputs, None), None, None)
        return options

    def constrain(self, out: Any, sent: list[Any], note: lift.Note) -> list[Any]:
        """The values that are sent out, held to the sharding their Variables came in with or were promised."""
        outputs = entries_of_outputs("nnx.jit out_shardings", self.asked.outputs, out)
        return [
            value if sharding is None else jax.lax.with_sharding_constraint(value, sharding)
            for value, sharding in zip(sent, self.leaves.of_sent(note, outputs))
        ]
