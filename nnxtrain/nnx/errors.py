"""Errors of the module library. Each message names the attribute path and the way to mend it."""

from __future__ import annotations


class TraceError(RuntimeError):
    """A Variable or Module of one trace was written in another (its value would leak or be lost)."""


class FrozenError(RuntimeError):
    """A Variable was written inside ``nnx.frozen``."""


class StructureError(ValueError):
    """An object graph does not have the structure that an operation needs."""
