"""What of a file fits an object: matching by path, and the report that says what does not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nnxtrain.nnx.saving.leaves import Path
from nnxtrain.nnx.saving.values import Spec, fits

SHOWN = 5  # names of each sort in a message


@dataclass(frozen=True)
class LoadReport:
    """What happens when a file is loaded into an object. Paths are joined by dots, as the object has them.

    Attributes:
      loaded: what is (or would be) loaded.
      missing: what the object has and the file has not.
      unexpected: what the file has and the object has not (after renaming).
      mismatched: ``(path, saved, wanted)``: other shape or dtype, as in ``("kernel", "float32[2,3]", "float32[2,4]")``.
      zeroed: what the file has not and says zero by that (metadata ``missing_is_zero``: a bias that came later).
      renamed: of some missing paths the unexpected one of the same kind whose name is nearest: likely a new name.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, str, str], ...]
    zeroed: tuple[str, ...]
    renamed: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """True where the file and the object have the same paths, shapes and dtypes."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        missing = [
            f"{name} (there is {self.renamed[name]})" if name in self.renamed else name
            for name in self.missing
        ]
        mismatched = [f"{name} is {a} and should be {b}" for name, a, b in self.mismatched]
        parts = [
            f"{len(names)} {what}: {', '.join(names[:SHOWN])}"
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            for what, names in (
                ("missing", missing),
                ("unexpected", list(self.unexpected)),
                ("of other shape or dtype", mismatched),
            )
            if names
        ]
        return "; ".join([f"{len(self.loaded)} paths fit", *parts])


class LoadError(ValueError):
    """A file and an object do not fit; ``report`` is the :class:`LoadReport` (None for a damaged file)."""

    def __init__(self, message: str, report: LoadReport | None = None):
        super().__init__(message)
        self.report = report


class LoadWarning(UserWarning):
    """A file was loaded in part (``strict=False``)."""


def match(
    saved: Mapping[Path, Spec],
    wanted: Mapping[Path, Spec],
    rename: Mapping[str, str] | None = None,
    aliases: Collection[Path] = (),
    zero_when_missing: Collection[Path] = (),
) -> tuple[LoadReport, dict[Path, Path | None]]:
    """Compare what a file has with what an object wants.

    Args:
      rename: prefix in the file -> prefix in the object, in whole names joined by dots; "" is the beginning. The
        longest prefix that a path has is replaced.
      aliases: paths in the file that nobody need want: second names of what it has.
      zero_when_missing: paths that become zero where the file lacks them.

    Returns:
      the report, and for each path that can be loaded the path in the file (None: zeros).

    Raises:
      LoadError: a prefix to rename is in no path of the file, or two paths get the same name.
    """
    source = _renamed(saved, rename or {})
    loaded: dict[Path, Path | None] = {}
    missing, mismatched = [], []
    for path, spec in wanted.items():
        if path not in source and path in zero_when_missing:
            loaded[path] = None
        elif path not in source:
            missing.append(path)
        elif fits(saved[source[path]], spec):
            loaded[path] = source[path]
        else:
            mismatched.append((".".join(path), str(saved[source[path]]), str(spec)))
    unexpected = [p for p, old in source.items() if p not in wanted and old not in aliases]
    likely: dict[str, str] = {}
    for path in missing[:SHOWN]:
        same = [".".join(p) for p in unexpected if saved[source[p]] == wanted[path]]
        if near := difflib.get_close_matches(".".join(path), same[:1000], 1, 0.4):
            likely[".".join(path)] = near[0]
    report = LoadReport(
        tuple(".".join(path) for path, old in loaded.items() if old is not None),
        tuple(map(".".join, missing)),
        tuple(map(".".join, unexpected)),
        tuple(mismatched),
        tuple(".".join(path) for path, old in loaded.items() if old is None),
        likely,
    )
    return report, loaded


def _renamed(saved: Mapping[Path, Spec], rename: Mapping[str, str]) -> dict[Path, Path]:
    """For each path as the object would have it, the path in the file."""
    prefixes = {_split(old): _split(new) for old, new in rename.items()}
    used: set[Path] = set()
    source: dict[Path, Path] = {}
    for path in saved:
        old = max((p for p in prefixes if path[: len(p)] == p), key=len, default=None)
        name = path
        if old is not None:
            used.add(old)
            name = (*prefixes[old], *path[len(old) :])
        if name in source:
            raise LoadError(
                f"{'.'.join(path)} and {'.'.join(source[name])} would both be {'.'.join(name)}; rename one of them"
            )
        source[name] = path
    for old in prefixes:
        if old not in used:
            raise LoadError(
                f"there is nothing to rename: no path in the file begins with {'.'.join(old)!r}"
                + _nearest(".".join(old), saved)
            )
    return source


def _split(prefix: str) -> Path:
    return tuple(prefix.split(".")) if prefix else ()


def _nearest(prefix: str, saved: Mapping[Path, Spec]) -> str:
    length = prefix.count(".") + 1
    near = difflib.get_close_matches(prefix, {".".join(path[:length]) for path in saved}, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
