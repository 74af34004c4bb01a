"""``--package NAME``: make a user's package importable, and say so early if it is not."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

from nnxtrain.errors import InputError


def open_packages(packages: Sequence[str]) -> None:
    """Let Python find ``packages`` in the working directory too, and check that it finds them.

    Raises:
        InputError: a name that is not a package's, or one that cannot be found.
    """
    if packages and (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # last, so that it shadows nothing
    for name in packages:
        if not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"--package {name}: expected the name of a Python package")
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise InputError(
                f"--package {name}: not found; run where its folder lies, or install it"
            )
