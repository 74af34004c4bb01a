"""``nnxtrain fit -m``: the trials of a sweep, run by one of Hydra's launchers.

Every trial is composed and checked before the first starts. A trial leaves a small record in the
sweep's directory, so that the outcome of each is known even when a launcher loses a process.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError, Interrupted, NnxtrainError

_TRUSTED = ("hydra._internal.core_plugins.", "hydra_plugins.")


@dataclass(frozen=True)
class Trial:
    """What a launcher runs, in this process or another: a plain value that can be pickled."""

    config_dirs: tuple[str, ...]
    packages: tuple[str, ...]
    command: tuple[str, ...]

    def __call__(self, _: Any) -> dict[str, Any]:
        """Train with the overrides of the current Hydra job, and return and write the record."""
        from hydra.core.hydra_config import HydraConfig

        from nnxtrain import api
        from nnxtrain.config.overrides import as_typed

        job = HydraConfig.get()
        overrides = [as_typed(text) for text in job.overrides.task]
        record: dict[str, Any] = {"overrides": overrides}
        try:
            open_packages(self.packages)
            run = api.fit(
                overrides,
                config_dirs=self.config_dirs,
                packages=self.packages,
                command=self.command,
            )
            record |= {"directory": str(run.directory), "results": dict(run.results)}
        except Interrupted as error:
            # Hydra would go on with the next trial after any Exception.
            raise KeyboardInterrupt(str(error)) from error
        except NnxtrainError as error:
            record["error"] = " ".join(str(error).split())
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            record["error"] = f"internal: {type(error).__name__}: {first}"
            record["traceback"] = traceback.format_exc()
        path = _record_path(Path(job.sweep.dir), job.job.num)
        path.write_text(json.dumps(record, indent=1, default=str), encoding="utf-8")
        return record


def sweep(
    overrides: Sequence[str],
    *,
    config_dirs: Sequence[str] = (),
    packages: Sequence[str] = (),
    command: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Run all trials and return their records: ``overrides`` and ``error``, or else ``directory``
    and ``results``.

    Raises:
        InputError: a trial that cannot run; none was started.
    """
    from hydra._internal.hydra import Hydra

    from nnxtrain.config.sweep import check_trials, expand
    from nnxtrain.config.tree import PRIMARY, config_loader, search_dirs

    loader = config_loader(config_dirs)
    trials = expand(overrides, config_dirs, loader)
    first, *_ = check_trials(trials, config_dirs, packages)
    # The folders found now, absolute: a trial may start in another directory or environment.
    folders = tuple(map(str, search_dirs(config_dirs)))
    hydra_overrides = _for_hydra(overrides, config_dirs, loader)

    directory = new_directory(Path(first.config.runs_dir) / "sweeps")
    given = [*hydra_overrides, "hydra.mode=MULTIRUN", f"hydra.sweep.dir={_quoted(directory)}"]
    task = Trial(folders, tuple(packages), tuple(command))
    hydra = Hydra("nnxtrain", loader)
    try:
        hydra.multirun(PRIMARY, task, given, with_log_configuration=False)
    except NnxtrainError:
        raise
    except Exception as error:
        lost = f"its process ended early ({type(error).__name__}); logs: {directory}"
        return _records(directory, trials, lost)
    return _records(directory, trials, f"left no record in {directory}")


def new_directory(parent: Path) -> Path:
    """Make and return a directory of our own, also when others do so in the same second."""
    parent.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        directory = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        else:
            return directory.resolve()


def _for_hydra(overrides: Sequence[str], config_dirs: Sequence[str], loader: Any) -> list[str]:
    """Return the overrides as Hydra takes them, having looked at what they make Hydra build."""
    from hydra.types import RunMode

    from nnxtrain.config.overrides import open_nodes
    from nnxtrain.config.tree import PRIMARY

    opened = open_nodes(overrides)
    master = loader.load_configuration(PRIMARY, opened, RunMode.MULTIRUN)
    for part in ("launcher", "sweeper"):
        target = master.hydra[part]["_target_"]
        if not str(target).startswith(_TRUSTED):
            raise InputError(f"hydra.{part}: {target!r} is not a plugin of Hydra")
    if master.hydra.callbacks:
        raise InputError("hydra.callbacks: not supported")
    limit = "hydra.launcher.timeout_min"
    local = str(master.hydra.launcher["_target_"]).endswith(".submitit_launcher.LocalLauncher")
    if local and not any(limit in text for text in opened):
        # It would kill every trial after an hour; a queue has a limit of its own, a desk has none.
        opened.append(f"{limit}={60 * 24 * 30}")
    return opened


def _quoted(path: Path) -> str:
    """Return a path as a quoted value of Hydra's override grammar."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _record_path(directory: Path, number: int) -> Path:
    return directory / f"trial-{number}.json"


def _records(directory: Path, trials: list[list[str]], lost: str) -> list[dict[str, Any]]:
    records = []
    for number, trial in enumerate(trials):
        path = _record_path(directory, number)
        if path.is_file():
            records.append(json.loads(path.read_text(encoding="utf-8")))
        else:
            records.append({"overrides": trial, "error": lost})
    return records
