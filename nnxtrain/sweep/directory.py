"""The directory of a sweep: all that is known of it lies here, so that any process can go on from it.

::

    runs/sweeps/2026-11-22_13-05-11_lenet_shapes5_q7mx/
      sweep.json      what was asked for: command, overrides, sampler, launcher, the trials as far as they are planned
      configs/        the user's config folders as they were then; a trial that starts tomorrow reads these
      trials/0/       the run directory of each trial, as any other run's
      records/0.json  what the trial was given, and each attempt at it: when, where, how it ended
      logs/0.log      what it printed
      launches.json   what was handed to the launcher, and what it is known by there
      study.journal   what Optuna knows, where it chooses the values or prunes
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from nnxtrain.config.tree import search_dirs, shipped_dir
from nnxtrain.errors import InputError, RunError, nearest
from nnxtrain.storage.atomic_write import atomic_write
from nnxtrain.storage.fresh_name import fresh_name
from nnxtrain.sweep.space import Space, parse_space
from nnxtrain.sweep.spec import SweepConfig, from_json


@dataclass(frozen=True)
class SweepDirectory:
    """A sweep on the disk."""

    path: Path

    @classmethod
    def create(
        cls,
        sweeps_dir: Path,
        label: str,
        *,
        spec: SweepConfig,
        overrides: Sequence[str],
        trials: Sequence[Sequence[str]] | None,
        num_trials: int,
        monitor: tuple[str, str],
        command: Sequence[str],
        config_dirs: Sequence[str | Path] = (),
        packages: Sequence[str] = (),
    ) -> SweepDirectory:
        """Make the directory of a new sweep.

        Args:
          sweeps_dir: where sweeps lie.
          label: part of its name, where ``spec.name`` is null.
          overrides: as they were given, several values included.
          trials: the overrides of each trial; None: they are asked for as trials start.
          num_trials: how many trials there are, or shall be.
          monitor: the validation metric that ranks them, and ``max`` or ``min``.

        Raises InputError if ``spec.name`` is taken, RunError if the directory cannot be made.
        """
        try:
            sweeps_dir.mkdir(parents=True, exist_ok=True)
            sweep = cls(_make(sweeps_dir.resolve(), label, spec.name))
            for part in (sweep.trials_path, sweep.records_path, sweep.logs_path):
                part.mkdir()
            folders = [
                _copy(folder, sweep.path / "configs" / str(number))
                for number, folder in enumerate(search_dirs(config_dirs)[:-1])
            ]
            content = {
                "started": datetime.now().astimezone().isoformat(timespec="seconds"),
                "command": list(command),
                "working_directory": os.getcwd(),
                "spec": spec.to_json(),
                "overrides": list(overrides),
                "config_dirs": [str(folder.relative_to(sweep.path)) for folder in folders],
                "packages": list(packages),
                "num_trials": num_trials,
                "monitor": list(monitor),
                "trials": None if trials is None else [list(trial) for trial in trials],
            }
            atomic_write(sweep.path / "sweep.json", json.dumps(content, indent=1).encode() + b"\n")
        except OSError as error:
            raise RunError(
                f"no sweep can be made under {sweeps_dir}: {error.strerror}; choose another folder with runs_dir=DIR"
            ) from error
        return sweep

    @classmethod
    def open(cls, path: str | os.PathLike[str], runs_dir: str | Path = "runs") -> SweepDirectory:
        """Return the sweep at ``path``, or of that name under ``runs_dir``.

        Raises InputError if there is none, naming the nearest.
        """
        sweeps_dir = Path(runs_dir) / "sweeps"
        for candidate in (Path(path), sweeps_dir / path):
            if (sweep := cls(candidate.resolve())).content:
                return sweep
        others = [str(other.path) for other in list_sweeps(sweeps_dir)]
        hint = nearest(str(path), others) or (f"; the newest is {others[-1]!r}" if others else "")
        what = "is not a sweep" if Path(path).exists() else "does not exist"
        raise InputError(f"sweep {str(path)!r} {what}{hint}")

    @classmethod
    def newest(cls, runs_dir: str | Path = "runs") -> SweepDirectory:
        """Return the sweep under ``runs_dir`` that started last. Raises InputError if there is none."""
        sweeps = list_sweeps(Path(runs_dir) / "sweeps")
        if not sweeps:
            raise InputError(
                f"no sweeps under {str(Path(runs_dir) / 'sweeps')!r}; start one with: nnxtrain sweep seed=1,2"
            )
        return sweeps[-1]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def called(self) -> str:
        """What to type for it: its name where commands look by themselves, else its path."""
        here = Path("runs/sweeps").resolve() == self.path.parent
        return shlex.quote(self.name if here else str(self.path))

    @property
    def trials_path(self) -> Path:
        """``trials``; see :meth:`trial_path`."""
        return self.path / "trials"

    @property
    def records_path(self) -> Path:
        """``records``; see :mod:`nnxtrain.sweep.record`."""
        return self.path / "records"

    @property
    def logs_path(self) -> Path:
        """``logs``; see :meth:`log_path`."""
        return self.path / "logs"

    def trial_path(self, number: int) -> Path:
        """The run directory of a trial; it need not be there yet."""
        return self.trials_path / str(number)

    def log_path(self, number: int) -> Path:
        """What a trial printed, over all its attempts."""
        return self.logs_path / f"{number}.log"

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content of ``sweep.json``, which never changes; ``{}`` if it cannot be read."""
        try:
            content = json.loads((self.path / "sweep.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @cached_property
    def spec(self) -> SweepConfig:
        """What was asked for."""
        return from_json(self.content["spec"])

    @cached_property
    def space(self) -> Space:
        """What values are chosen from."""
        return parse_space(self.content["overrides"], self.config_dirs)

    @property
    def config_dirs(self) -> list[Path]:
        """The user's config folders, as they were when the sweep began."""
        return [self.path / folder for folder in self.content["config_dirs"]]

    @property
    def packages(self) -> list[str]:
        """Packages of the user that ``_target_`` may name."""
        return list(self.content["packages"])

    @property
    def numbers(self) -> range:
        """The numbers of all trials."""
        return range(self.content["num_trials"])

    def planned(self, number: int) -> list[str] | None:
        """The overrides that were planned for a trial; None where they are asked for as it starts."""
        trials = self.content["trials"]
        return None if trials is None else list(trials[number])

    def record_path(self, number: int) -> Path:
        """See :mod:`nnxtrain.sweep.record`."""
        return self.records_path / f"{number}.json"

    def is_cancelled(self, number: int) -> bool:
        """Whether a trial is not to be started, or gone on with, until somebody says ``sweep retry``."""
        return self.cancelled_path(number).exists()

    def cancel(self, number: int) -> None:
        """Keep a trial from being started."""
        self.cancelled_path(number).touch()

    def revive(self, number: int) -> None:
        """Undo :meth:`cancel`."""
        self.cancelled_path(number).unlink(missing_ok=True)

    def cancelled_path(self, number: int) -> Path:
        """The file that says so."""
        return self.records_path / f"{number}.cancelled"

    @property
    def launches(self) -> list[dict[str, Any]]:
        """What was handed to the launcher, in the order of time: ``time`` (seconds of the epoch), ``trials`` and what the
        launcher notes."""
        try:
            found = json.loads((self.path / "launches.json").read_bytes())
        except (OSError, ValueError):
            return []
        return list(found)

    def note_launch(self, launch: dict[str, Any]) -> None:
        """Add to :attr:`launches`."""
        content = json.dumps([*self.launches, launch], indent=1)
        atomic_write(self.path / "launches.json", content.encode() + b"\n")


def list_sweeps(sweeps_dir: Path) -> list[SweepDirectory]:
    """Return the sweeps right under a folder, which need not exist, in the order they started."""
    if not sweeps_dir.is_dir():
        return []
    found = [SweepDirectory(path.resolve()) for path in sweeps_dir.iterdir()]
    sweeps = [sweep for sweep in found if sweep.content.get("spec")]
    return sorted(sweeps, key=lambda sweep: (str(sweep.content["started"]), sweep.name))


def _make(sweeps_dir: Path, label: str, name: str | None) -> Path:
    if name is not None:
        path = sweeps_dir / name
        if not re.fullmatch(r"\w[\w.+=-]*", name):
            raise InputError(
                f"sweep.name: use letters, digits and any of _ . + = - (a folder is named so), got {name!r}"
            )
        try:
            path.mkdir()
        except FileExistsError:
            raise InputError(
                f"sweep.name={name}: {path} exists; go on with it by `nnxtrain sweep retry {SweepDirectory(path).called}`, "
                "or choose another name"
            ) from None
        return path
    while True:
        path = sweeps_dir / fresh_name(label)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def _copy(folder: Path, to: Path) -> Path:
    """Copy the YAML files of a config folder."""
    assert folder != shipped_dir()  # which comes with the code, and changes with it
    to.mkdir(parents=True)
    for file in list(folder.rglob("*.yaml")):  # before any is made, which may be in there too
        target = to / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return to
