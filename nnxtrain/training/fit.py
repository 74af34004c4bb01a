"""``fit``: train a config from its first step, or a run from its last checkpoint, to the end and its test."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax

from nnxtrain import nnx
from nnxtrain.config.saved import save, to_yaml
from nnxtrain.config.schema import Config
from nnxtrain.errors import InputError, Interrupted, Pruned
from nnxtrain.loggers import Logger
from nnxtrain.parallel.agreement import leads, told
from nnxtrain.parallel.peers import Peers
from nnxtrain.training.checkpoint import Checkpoint, Checkpoints
from nnxtrain.training.checkpoint_directory import CheckpointDirectory
from nnxtrain.training.data_card import DataCard
from nnxtrain.training.diagnosis import NotFiniteError
from nnxtrain.training.early_stopping import EarlyStopping
from nnxtrain.training.evaluation import EvaluationStopped
from nnxtrain.training.interruption import Interruption
from nnxtrain.training.loop import Loop
from nnxtrain.training.profile import Profile
from nnxtrain.training.progress import Progress, open_progress
from nnxtrain.training.results_table import print_results
from nnxtrain.training.resume import check_length, over_the_length, overridden
from nnxtrain.training.run_directory import FollowedRun, RunDirectory
from nnxtrain.training.run_log import NoLog, RunLog, build_loggers
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState, arrays_of, put_arrays

IsPoor: TypeAlias = Callable[[int, float], bool]


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies, and its test metrics (with the step and validation score of the best checkpoint)."""

    directory: Path
    results: dict[str, Any]


def fit(
    config: Config,
    *,
    command: Sequence[str] = (),
    overrides: Sequence[str] = (),
    packages: Sequence[str] = (),
    directory: Path | None = None,
    is_poor: IsPoor | None = None,
) -> Run:
    """Train a checked config in a new run directory.

    Args:
      directory: where the run shall lie; by default in ``config.runs_dir``, under a name of its own.
      is_poor: asked at each evaluation, with the step and the monitored score, whether to give the run up.

    Raises:
      InputError: the config does not fit the data.
      RunError: training failed.
      Interrupted: a signal came; the run is saved, and the message says how to go on.
      Pruned: it was given up; the run is saved.
    """
    loggers = build_loggers(config, packages)
    session = Session.open(config, packages=packages)
    session.look_over()  # what does not work leaves no run directory behind
    data = DataCard.of(session.splits).to_json()

    def create() -> str:
        made = RunDirectory.create(
            config.runs_dir,
            config.name or "run",
            config=to_yaml(_decided(config, session)),
            command=command,
            overrides=overrides,
            devices=[str(device) for device in jax.devices()],
            data=data,
            path=directory,
        )
        return str(made.path)

    return _train(_shared(Path(told(create))), session, loggers, is_poor)


def resume(
    run_dir: Path,
    *,
    overrides: Sequence[str] = (),
    packages: Sequence[str] = (),
    is_poor: IsPoor | None = None,
) -> Run:
    """Go on with a run from its newest complete checkpoint, as if it had never stopped.

    Args:
      overrides: only of what cannot change the steps that are done: the length, and when to log, evaluate and save.

    Raises: as :func:`fit`; InputError also for other overrides, for data that has changed, and for a run that another
      process works on.
    """
    directory = _shared(RunDirectory.open(run_dir).path)
    config = overridden(directory.config_path, overrides, packages=packages)
    loggers = build_loggers(config, packages)
    session = Session.open(config, packages=packages)
    data = DataCard.read(directory.data_path, packages=packages)
    if data and (changed := data.changed(DataCard.of(session.splits))):
        raise InputError(
            f"the data of {directory.path} has changed: {', '.join(changed)}; the run would not go on as it began: "
            f"bring the data back, or start a new run from its weights: nnxtrain fit from={shlex.quote(str(directory.path))}"
        )
    if overrides and leads():
        with directory.lock():
            checkpoints = CheckpointDirectory(directory.checkpoints_path, on_skip=lambda line: None)
            newest = checkpoints.latest()
            check_length(session.plan.total_steps, newest.step if newest else 0)
            save(config, directory.config_path)
    return _train(directory, session, loggers, is_poor)


def _decided(config: Config, session: Session) -> Config:
    """The config with what it left open and a resumed run has to keep to."""
    trainer = dataclasses.replace(config.trainer, steps_per_call=session.steps_per_call)
    return dataclasses.replace(config, trainer=trainer)


def _shared(path: Path) -> RunDirectory:
    """The run as this process sees it: process 0 writes to it."""
    return RunDirectory(path) if leads() else FollowedRun(path)


def _train(
    directory: RunDirectory, session: Session, loggers: Mapping[str, Logger], is_poor: IsPoor | None
) -> Run:
    trainer = session.config.trainer
    with contextlib.ExitStack() as stack:
        # First, so that it ends last: when an earlier handler of the signal is called, all is saved and closed.
        interruption = stack.enter_context(Interruption())
        peers = stack.enter_context(Peers())
        stack.enter_context(directory.lock())
        unit = session.spec.unit
        progress = stack.enter_context(open_progress(unit=unit) if leads() else Progress())
        checkpoints = stack.enter_context(
            Checkpoints(
                directory.checkpoints_path,
                keep_last=trainer.keep_last,
                keep_best=trainer.keep_best,
                mode=session.monitor.mode,
                on_skip=progress.message,
            )
        )
        log = stack.enter_context(
            RunLog(directory, session.config, loggers, progress.message) if leads() else NoLog()
        )
        directory.set_plan(
            total_steps=session.plan.total_steps,
            monitor=session.monitor.metric,
            mode=session.monitor.mode,
        )
        stack.enter_context(_noted(directory))
        stack.enter_context(peers.named())

        # Before cleaning, so that it tells what it passes over.
        newest = _told(checkpoints, checkpoints.latest)
        if newest is None and directory.has_checkpoint:
            raise InputError(checkpoints.none_is_complete())
        if leads():
            checkpoints.clean()
        log.begin(newest.info["log_position"] if newest else 0, step=newest.step if newest else -1)
        progress.message(_opening(directory, session, newest))
        for place in peers.places:
            progress.message(place)
        state = _state(session, checkpoints, newest)
        if newest is None and session.start:
            session.start.put(state)
            progress.message(session.start.line)
        progress.message(_summary(state, session))
        best = newest.info["best"] if newest else None
        waited = newest.info["early_stopping"] if newest else (None, 0)
        early = EarlyStopping(session.monitor, trainer.patience, trainer.min_delta, *waited)
        profile = stack.enter_context(
            Profile(directory.path / "profile", trainer.profile, progress.message)
        )
        unevaluated = newest if newest and newest.info.get("unevaluated") else None
        loop = Loop(
            session,
            state,
            checkpoints,
            log,
            progress,
            interruption,
            profile,
            early,
            best,
            unevaluated,
            is_poor,
        )
        step = loop.run()
        if early.stops:
            progress.message(
                f"stopped early at step {step}: no better {session.monitor.metric} in {early.waited} evaluations"
            )
        results = _test(session, state, checkpoints, log, progress, interruption)
    directory.set_status("finished", step=step)
    if leads():
        print_results([{"split": "test", **results}])
    return Run(directory.path, results)


def _opening(directory: RunDirectory, session: Session, newest: Checkpoint | None) -> str:
    """What is about to happen; said before the model is built and compiled, which may take a while."""
    if newest is None:
        return f"training {directory.path}"
    resuming = f"resuming {directory.path} at step {newest.step}"
    patience, (_, waited) = session.config.trainer.patience, newest.info["early_stopping"]
    if patience is not None and waited >= patience:
        return f"{resuming}, where it stopped early; to go on add trainer.patience=N, more than {waited}"
    if newest.step < session.plan.total_steps:
        return resuming
    if (key := over_the_length(session.config, session.packages)) is not None:
        begin = f"nnxtrain fit from={shlex.quote(str(directory.path))}"
        return f"{resuming}, its last, at which {key} ends; to train on begin a new run: {begin}"
    length = "steps" if session.config.trainer.epochs is None else "epochs"
    return f"{resuming}, its last; to train longer add trainer.{length}=N"


def _summary(state: TrainState, session: Session) -> str:
    """What is trained, on what, where."""
    parameters = sum(x.size for x in jax.tree.leaves(nnx.state(state.model, nnx.Param)))
    sizes = session.sizes
    examples = f"{sizes['train']:,} training, {sizes['validation']:,} validation, {sizes['test']:,} test examples"
    mesh = session.layout.mesh
    where = jax.devices()[0].device_kind
    if mesh.size > 1:
        axes = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items() if size > 1)
        where = f"{mesh.size} x {where} ({axes})"
    if jax.process_count() > 1:
        where += f" in {jax.process_count()} processes"
    return f"{parameters:,} parameters; {examples}; {where}"


def _state(session: Session, checkpoints: Checkpoints, checkpoint: Checkpoint | None) -> TrainState:
    """A fresh state, or the one of a checkpoint."""
    if checkpoint is None:
        return session.create()
    state = session.abstract()
    put_arrays(state, checkpoints.restore(checkpoint, arrays_of(state)))
    return state


def _told(checkpoints: Checkpoints, choose: Callable[[], Checkpoint | None]) -> Checkpoint | None:
    """The checkpoint that process 0 chooses."""
    chosen: list[Checkpoint | None] = []

    def step() -> int | None:
        chosen.append(choose())
        return chosen[0].step if chosen[0] else None

    found = told(step)
    if chosen:
        return chosen[0]
    return None if found is None else checkpoints.at(found)


def _test(
    session: Session,
    state: TrainState,
    checkpoints: Checkpoints,
    log: RunLog,
    progress: Progress,
    interruption: Interruption,
) -> dict[str, Any]:
    """Look at the test split, once, with the best checkpoint. A signal stops it."""
    best = _told(checkpoints, lambda: checkpoints.best() or checkpoints.latest())
    assert best is not None  # the last step is always saved
    put_arrays(state, checkpoints.restore(best, arrays_of(state)))
    try:
        metrics = session.evaluate(state.averaged, "test", stop=interruption.stops)
    except EvaluationStopped:
        raise interruption.error("in the test after the last step") from None
    log.write(step=best.step, epoch=session.plan.epoch(best.step), split="test", metrics=metrics)
    progress.evaluation("test", best.step, metrics)
    return {**metrics, "step": best.step, f"val_{session.monitor.metric}": best.score}


@contextlib.contextmanager
def _noted(directory: RunDirectory) -> Iterator[None]:
    """Keep the run's status true: running, and how it ended if not well."""
    directory.set_status("running")
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        directory.set_status("interrupted", error=str(error))
        kind = type(error) if isinstance(error, Interrupted) else Interrupted
        raise kind(
            f"{error or 'stopped'}; go on with: nnxtrain fit run={shlex.quote(str(directory.path))}"
        ) from None
    except Pruned:
        directory.set_status("pruned")
        raise
    except Exception as error:
        if isinstance(error, NotFiniteError):
            directory.note_not_finite(error.step, error.ids, error.where)
        directory.set_status(
            "failed", error=str(error).splitlines()[0] if str(error) else type(error).__name__
        )
        raise
