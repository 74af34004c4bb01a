"""The default of parameters for which None is a value."""

from __future__ import annotations


class MissingType:
    """The type of ``MISSING``, the default of parameters for which None is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = MissingType()
