"""The directory of a run: where everything lies that the run is made of.

::

    runs/2026-11-21_20-41-07_lenet_shapes5_k3f9/
      config.yaml     the resolved configuration
      run.json        command, overrides, versions, devices, git commit
      data.json       what the data was: shapes, classes, statistics, sizes, digests
      git.diff        uncommitted changes, if there were any
      plan.json       how many steps there are, and which metric decides what is best
      status.json     running, finished, interrupted or failed, and why
      metrics.jsonl   what was measured; metrics.csv as a table
      not_finite.json the step that stopped the run, if one was not finite
      checkpoints/    one directory a step
      run.lock        held while a process works on the run

It is made under a hidden name and renamed when it is whole, so what has a run's name is a run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nnxtrain.errors import InputError, RunError, nearest
from nnxtrain.storage.atomic_write import atomic_write, sync_directory
from nnxtrain.storage.fresh_name import fresh_name
from nnxtrain.training.provenance import provenance
from nnxtrain.training.run_lock import run_lock

State: TypeAlias = Literal["running", "finished", "pruned", "interrupted", "failed"]

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@dataclass(frozen=True)
class Status:
    """How far a run got. ``error`` is the line that says why it failed.

    "running" is also what a killed run says: only the lock tells whether a process is at work.
    """

    state: State
    step: int | None = None
    error: str | None = None
    time: str = ""


@dataclass(frozen=True)
class RunDirectory:
    """A run on the disk. Made by :meth:`create`, found by :meth:`open` and :meth:`newest`.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> run = RunDirectory.create(folder.name, "lenet", config="seed: 0")
    >>> with run.lock():
    ...     run.set_status("finished", step=10)
    >>> RunDirectory.newest(folder.name).status.state
    'finished'
    >>> folder.cleanup()
    """

    path: Path

    @classmethod
    def create(
        cls,
        runs_dir: str | os.PathLike[str],
        name: str,
        *,
        config: str | Callable[[Path], None],
        command: Sequence[str] = (),
        overrides: Sequence[str] = (),
        devices: Sequence[str] = (),
        data: str | None = None,
        path: Path | None = None,
    ) -> RunDirectory:
        """Make a new run directory, of which nothing can be seen before all of it is there.

        Args:
          runs_dir: where runs lie; made if it is not there.
          name: what the run is called between its time and its random ending. What does not go
            well in a file name becomes a dash.
          config: the text of ``config.yaml``, or a function that writes it to the given path.
          command, overrides, devices: noted in ``run.json``.
          data: the text of ``data.json``.
          path: where the run shall lie, instead of in ``runs_dir`` under a name of its own.

        Raises ``RunError`` if the directory cannot be made, ``InputError`` if something lies at ``path``.
        """
        runs = Path(runs_dir) if path is None else path.parent
        origin, diff = provenance(command=command, overrides=overrides, devices=devices)
        try:
            building = _make_hidden(runs)
            try:
                run = cls(building)
                if callable(config):
                    config(run.config_path)
                else:
                    atomic_write(run.config_path, config.encode())
                _write_json(run.path / "run.json", origin)
                if diff is not None:
                    atomic_write(run.path / "git.diff", diff.encode())
                if data is not None:
                    atomic_write(run.data_path, data.encode())
                run.checkpoints_path.mkdir()
                run.set_status("running", step=0)
                return cls(
                    _publish(building, runs, name) if path is None else _move(building, path)
                )
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
        except OSError as error:
            raise RunError(
                f"no run can be made under {runs}: {error.strerror}; choose another folder with runs_dir=DIR"
            ) from error

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, runs_dir: str | os.PathLike[str] = "runs"
    ) -> RunDirectory:
        """Return the run at ``path``.

        Raises ``InputError`` if there is none, naming one near it, or like it under ``runs_dir``.
        """
        run = cls(Path(path))
        if run._is_run():
            return run
        if run.path.is_dir():
            files = [run.path / name for name in ("config.yaml", "run.json")]
            lacking = [file.name for file in files if not file.is_file()]
            what = "is not a run directory"
            what += (
                f" (it lacks {' and '.join(lacking)})"
                if lacking
                else " (its run.json cannot be read)"
            )
            others = list_runs(run.path)
        else:
            what = "is not a directory" if run.path.exists() else "does not exist"
            others = list_runs(run.path.parent) or list_runs(runs_dir)
        hint = nearest(str(run.path), [str(other.path) for other in others])
        if not hint and others:
            hint = f"; the newest run is {str(others[-1].path)!r}"
        raise InputError(f"run {str(run.path)!r} {what}{hint}")

    @classmethod
    def newest(cls, runs_dir: str | os.PathLike[str]) -> RunDirectory:
        """Return the run under ``runs_dir`` that started last, before all of those with a checkpoint.

        Raises ``InputError`` if there is no run.
        """
        runs = list_runs(runs_dir)
        if not runs:
            missing = "" if Path(runs_dir).is_dir() else ", which does not exist"
            raise InputError(
                f"no runs under {str(runs_dir)!r}{missing}; start one with: nnxtrain fit"
            )
        return next((run for run in reversed(runs) if run.has_checkpoint), runs[-1])

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.resolve().name

    @property
    def config_path(self) -> Path:
        """``config.yaml``, the resolved configuration."""
        return self.path / "config.yaml"

    @property
    def data_path(self) -> Path:
        """``data.json``; see :class:`nnxtrain.training.data_card.DataCard`. A run need not have it."""
        return self.path / "data.json"

    @property
    def metrics_path(self) -> Path:
        """``metrics.jsonl``; see :mod:`nnxtrain.training.metrics_log`."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """``checkpoints``; see :mod:`nnxtrain.training.checkpoint`."""
        return self.path / "checkpoints"

    @property
    def lock_path(self) -> Path:
        """``run.lock``; see :mod:`nnxtrain.training.run_lock`."""
        return self.path / "run.lock"

    @cached_property
    def origin(self) -> dict[str, Any]:
        """The content of ``run.json``; ``{}`` if it cannot be read."""
        return _read_json(self.path / "run.json")

    @property
    def plan(self) -> dict[str, Any]:
        """What :meth:`set_plan` noted; ``{}`` before training begins."""
        return _read_json(self.path / "plan.json")

    def set_plan(self, *, total_steps: int, monitor: str, mode: str) -> None:
        """Note how many steps there are, and which validation metric decides what is best, and which way.

        Raises ``RunError`` if it cannot be written.
        """
        self._note("plan.json", {"total_steps": total_steps, "monitor": monitor, "mode": mode})

    @property
    def status(self) -> Status:
        """How far the run got, as it was last noted."""
        fields = _read_json(self.path / "status.json")
        try:
            return Status(**fields)
        except TypeError:
            return Status("running")

    def set_status(
        self, state: State, *, step: int | None = None, error: str | None = None
    ) -> None:
        """Note how far the run got. Raises ``RunError`` if it cannot be written."""
        time = datetime.now().astimezone().isoformat(timespec="seconds")
        self._note("status.json", asdict(Status(state, step, error, time)))

    def note_not_finite(self, step: int, ids: Sequence[int], where: str) -> None:
        """Keep, in ``not_finite.json``, what a step was that stopped the run."""
        content = {"step": step, "where": where, "examples": list(ids)}
        _write_json(self.path / "not_finite.json", content)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Return a with block in which no other process can hold the lock of this run.

        Entering raises ``InputError`` if one does; see :func:`nnxtrain.training.run_lock.run_lock`.
        """
        return run_lock(self.lock_path, self.name)

    def _note(self, file: str, content: dict[str, Any]) -> None:
        try:
            _write_json(self.path / file, content)
        except OSError as failure:
            raise RunError(f"{self.path}/{file}: {failure.strerror}") from failure

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, complete or not."""
        return any(self.checkpoints_path.glob("[0-9]*"))

    def _is_run(self) -> bool:
        return self.config_path.is_file() and bool(self.origin)


class FollowedRun(RunDirectory):
    """A run that another process of the same program writes to: what this one has to note is left to it."""

    def lock(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def note_not_finite(self, step: int, ids: Sequence[int], where: str) -> None:
        pass

    def _note(self, file: str, content: dict[str, Any]) -> None:
        pass


def list_runs(runs_dir: str | os.PathLike[str]) -> list[RunDirectory]:
    """Return the runs right under ``runs_dir``, which need not exist, in the order they started."""
    directory = Path(runs_dir)
    if not directory.is_dir():
        return []
    names = [path for path in directory.iterdir() if not path.name.startswith(".")]
    runs = [run for path in names if (run := RunDirectory(path))._is_run()]
    return sorted(runs, key=lambda run: (str(run.origin.get("started")), run.name))


def list_damaged(runs_dir: str | os.PathLike[str]) -> list[Path]:
    """Return what lies right under ``runs_dir`` and has a part of a run, but not enough to be one."""
    directory = Path(runs_dir)
    names = sorted(directory.iterdir()) if directory.is_dir() else []
    return [
        path
        for path in names
        if not path.name.startswith(".")
        and any((path / part).exists() for part in ("config.yaml", "run.json"))
        and not RunDirectory(path)._is_run()
    ]


def _make_hidden(runs: Path) -> Path:
    runs.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.suppress(FileExistsError):
            path = runs / f".new-{secrets.token_hex(8)}"
            path.mkdir()
            return path


def _move(building: Path, path: Path) -> Path:
    try:
        building.rename(path)
    except OSError as error:
        if error.errno in _TAKEN:
            raise InputError(f"{path} exists; to go on with it: nnxtrain fit run={path}") from error
        raise
    sync_directory(path.parent)
    return path


def _publish(building: Path, runs: Path, name: str) -> Path:
    """Give a whole run its name. Renaming onto a directory that holds anything fails: try again."""
    while True:
        path = runs / fresh_name(name)
        try:
            building.rename(path)
            sync_directory(runs)
            return path
        except OSError as error:
            if error.errno not in _TAKEN:
                raise


def _write_json(path: Path, content: dict[str, Any]) -> None:
    atomic_write(path, json.dumps(content, indent=1).encode() + b"\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
