"""Which checkpoints a run has, which of them are sound, and which of them stay.

Needs neither jax nor Orbax, so that a command which only lists runs starts at once.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nnxtrain.errors import InputError, RunError, nearest
from nnxtrain.training.manifest import IncompleteError, Manifest, UnknownFormatError, verify

SAVING, REMOVING = ".saving-", ".removing-"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its step, validation score, what was noted with it, and its place.

    ``arrays`` maps each array's path, ``"params/conv1/kernel"``, to its dtype name and shape.
    """

    step: int
    score: float | None
    info: dict[str, Any]
    path: Path
    arrays: dict[str, tuple[str, tuple[int, ...]]]


class CheckpointDirectory:
    """The checkpoints in a directory, which need not exist, one directory a step.

    Kept are the last ``keep_last`` and the ``keep_best`` of highest (``mode="max"``) or lowest
    score; of equal scores the earlier step is the better. ``on_skip`` receives one line for each
    damaged or half-written checkpoint that was passed over; the default logs a warning.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_last: int = 2,
        keep_best: int = 1,
        mode: Literal["max", "min"] = "max",
        on_skip: Callable[[str], None] | None = None,
    ) -> None:
        if keep_last < 1:
            raise InputError(f"keep_last is {keep_last}, and has to be 1 or more")
        if keep_best < 0:
            raise InputError(f"keep_best is {keep_best}, and has to be 0 or more")
        if mode not in ("max", "min"):
            raise InputError(f"mode is {mode!r}, and has to be 'max' or 'min'")
        self.directory = Path(directory).absolute()  # Orbax takes no relative paths
        self.keep_last, self.keep_best, self.mode = keep_last, keep_best, mode
        self._on_skip = on_skip or logging.getLogger(__name__).warning
        self._skipped: set[str] = set()

    def path(self, step: int) -> Path:
        """Return where the checkpoint of ``step`` is, or would be."""
        return self.directory / str(step)

    def latest(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, or None. Reads all of its files to be sure."""
        self._settle()
        return next((c for step in self._steps() if (c := self._complete(step))), None)

    def best(self) -> Checkpoint | None:
        """Return the complete checkpoint of the best score, or None if none has a score.

        One that is damaged might have been better, so it is told too.
        """
        self._settle()
        manifests = self._plausible(self._steps())
        for step in self._steps():
            if step not in [manifest.step for manifest in manifests]:
                self._complete(step)
        ranked = self._ranked(manifests)
        return next((c for m in ranked if (c := self._complete(m.step))), None)

    def all(self) -> list[Checkpoint]:
        """Return the complete checkpoints, oldest first. Reads all files."""
        self._settle()
        return [c for step in reversed(self._steps()) if (c := self._complete(step))]

    def at(self, step: int) -> Checkpoint:
        """Return the checkpoint of ``step``. Raises ``InputError`` if it is not a complete one."""
        self._settle()
        found = self._verify(step)
        if isinstance(found, Manifest):
            return self._checkpoint(found)
        reason = f"is not complete: {found}" if self.path(step).exists() else "does not exist"
        others = ", ".join(str(c.step) for c in self.all()) or "none"
        raise InputError(f"{self.path(step)} {reason}; complete checkpoints here: {others}")

    def choose(self, wanted: str | int) -> Checkpoint:
        """Return the checkpoint called ``best`` (without scores, the last), ``last``, or by its step.

        Raises ``InputError`` for another name, and where there is none.
        """
        if wanted not in ("best", "last"):
            if not str(wanted).isdecimal():
                raise InputError(
                    f"checkpoint={wanted}: choose best, last or a step{nearest(str(wanted), ['best', 'last'])}"
                )
            return self.at(int(wanted))
        found = (self.best() if wanted == "best" else None) or self.latest()
        if found is None:
            run = self.directory.parent
            if self._steps():
                raise InputError(self.none_is_complete())
            raise InputError(
                f"{run} has no complete checkpoint yet; go on with: nnxtrain fit run={shlex.quote(str(run))}"
            )
        return found

    def none_is_complete(self) -> str:
        """What to say where there are checkpoints, all of them damaged."""
        reasons = "; ".join(f"{step}: {self._verify(step)}" for step in self._steps()[:3])
        return (
            f"no checkpoint in {self.directory} is complete ({reasons}); bring back what is missing, "
            "or remove them to begin at step 0"
        )

    def incomplete(self) -> list[str]:
        """Return a line for each thing here that is a damaged or unfinished checkpoint."""
        self._settle()
        return [f"{path}: {reason}" for path, reason in self._incomplete()]

    def clean(self) -> list[str]:
        """Remove damaged and unfinished checkpoints; return what :meth:`incomplete` said of them.

        Only for the one process that owns the run: another's save under way would be removed.
        Checkpoints of a newer nnxtrain stay. Raises ``RunError`` if one cannot be removed.
        """
        self._settle()
        removed = []
        for path, reason in self._incomplete():
            if not isinstance(reason, UnknownFormatError):
                try:
                    self._discard(path)
                except OSError as error:
                    raise RunError(f"{path} cannot be removed: {error.strerror}") from error
                removed.append(f"{path}: {reason}")
        return removed

    def _settle(self) -> None:
        """Wait until nothing changes here any more; a reader has nothing to wait for."""

    def _retain(self, newest: int) -> None:
        """Remove what is neither among the last nor among the best up to step ``newest``.

        Later steps are left alone: they are no part of this history (a run that was resumed from
        before a damaged checkpoint), and must not crowd out what is.
        """
        manifests = self._plausible([step for step in self._steps() if step <= newest])
        keep = manifests[: self.keep_last] + self._ranked(manifests)[: self.keep_best]
        for manifest in manifests:
            if manifest not in keep:
                self._discard(self.path(manifest.step))

    def _plausible(self, steps: list[int]) -> list[Manifest]:
        """The manifests of the steps that look complete, in the given order. Hashes nothing."""
        found = [self._verify(step, contents=False) for step in steps]
        return [manifest for manifest in found if isinstance(manifest, Manifest)]

    def _ranked(self, manifests: list[Manifest]) -> list[Manifest]:
        sign = -1 if self.mode == "max" else 1
        scored = [(sign * m.score, m.step, m) for m in manifests if m.score is not None]
        return [m for _, _, m in sorted(scored, key=lambda item: item[:2])]

    def _verify(self, step: int, *, contents: bool = True) -> Manifest | IncompleteError:
        try:
            return verify(self.path(step), contents=contents)
        except IncompleteError as reason:
            return reason

    def _complete(self, step: int) -> Checkpoint | None:
        found = self._verify(step)
        if isinstance(found, Manifest):
            return self._checkpoint(found)
        line = f"checkpoint {self.path(step)} is passed over: {found}"
        if line not in self._skipped:
            self._skipped.add(line)
            self._on_skip(line)
        return None

    def _checkpoint(self, found: Manifest) -> Checkpoint:
        return Checkpoint(found.step, found.score, found.info, self.path(found.step), found.arrays)

    def _entries(self) -> list[Path]:
        return sorted(self.directory.iterdir()) if self.directory.is_dir() else []

    def _steps(self) -> list[int]:
        """The steps that have an entry here, complete or not, newest first."""
        names = [path.name for path in self._entries()]
        steps = [int(name) for name in names if name.isascii() and name.isdecimal()]
        return sorted((step for step in steps if str(step) in names), reverse=True)

    def _incomplete(self) -> Iterator[tuple[Path, IncompleteError]]:
        for step in self._steps():
            if isinstance(found := self._verify(step), IncompleteError):
                yield self.path(step), found
        for path in self._entries():
            if path.name.startswith(SAVING) or ".orbax-checkpoint-tmp" in path.name:
                yield path, IncompleteError("its save was cut short")
            elif path.name.startswith(REMOVING):
                yield path, IncompleteError("its removal was cut short")

    def _discard(self, path: Path) -> None:
        """Remove what is at ``path``; under another name first, so that half is never seen."""
        if not path.name.startswith(REMOVING) and path.exists():
            removing = path.with_name(REMOVING + path.name)
            remove(removing)
            path = path.rename(removing)
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory with all it holds, or nothing where nothing is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
