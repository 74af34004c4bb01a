"""Begin a sweep, begin again what did not end well, and cancel."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from nnxtrain.config.sweep import check_trials
from nnxtrain.errors import InputError, NnxtrainError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers import make_launcher
from nnxtrain.sweep.samplers.planned import plan
from nnxtrain.sweep.space import parse_space
from nnxtrain.sweep.spec import SamplerName, read_spec
from nnxtrain.sweep.states import DONE, OPEN, choose, trials_of
from nnxtrain.training.monitor import Monitor


def start(
    overrides: Sequence[str],
    *,
    file: Path | None = None,
    config_dirs: Sequence[str | Path] = (),
    packages: Sequence[str] = (),
    command: Sequence[str] = (),
    before: Callable[[str], None] = lambda line: None,
) -> SweepDirectory:
    """Plan the trials, check every one, make the sweep's directory, and hand the trials to its launcher.

    Args:
      overrides: in Hydra's grammar, with several values for what is searched; ``sweep.KEY=VALUE`` is for the sweep.
      file: a YAML file with the same; see :func:`nnxtrain.sweep.spec.read_spec`.
      before: is told what is about to be done.

    Raises:
      InputError: a trial that cannot run, a launcher that cannot work here; nothing was made or started.
    """
    spec, given = read_spec(overrides, file)
    if resumed := [text for text in given if text.startswith(("run=", "from="))]:
        raise InputError(
            f"{resumed[0]!r} cannot be combined with a sweep; trials that begin with a run's weights: init.run=DIR"
        )
    launcher = make_launcher(spec)
    launcher.check()
    if spec.needs_study:
        from nnxtrain.sweep.samplers import study  # is Optuna here?

        study.check(spec)
    space = parse_space(given, config_dirs)
    if not space.dimensions:
        raise InputError(
            "nothing has several values: give some, as seed=1,2,3 or optim.learning_rate=1e-4,1e-3"
        )
    if spec.sampler is SamplerName.tpe:
        if spec.trials is None:
            raise InputError("sweep.sampler=tpe needs a number of trials: sweep.trials=N")
        trials, number = None, spec.trials
        checked = list(space.corners())
    else:
        trials = checked = plan(space, spec)
        number = len(trials)
    before(f"checking {len(checked)} configurations")
    compositions = check_trials(checked, config_dirs, packages)
    first = compositions[0]
    monitors = dict.fromkeys(Monitor.of(made.config, packages) for made in compositions)
    if len(monitors) > 1:
        named = ", ".join(f"{metric} ({mode})" for metric, mode in monitors)
        raise InputError(
            f"the trials have no score in common: they are ranked by {named}; give one, as trainer.monitor=loss"
        )
    sweep = SweepDirectory.create(
        Path(first.config.runs_dir) / "sweeps",
        first.config.name or "sweep",
        spec=spec,
        overrides=given,
        trials=trials,
        num_trials=number,
        monitor=next(iter(monitors)),
        command=command,
        config_dirs=config_dirs,
        packages=packages,
    )
    try:
        launcher.launch(sweep, list(sweep.numbers))
    except NnxtrainError:
        if not sweep.launches:  # nothing was handed over: its name is free again
            shutil.rmtree(sweep.path)
        raise
    return sweep


def retry(sweep: SweepDirectory, named: Collection[str] = ()) -> list[int]:
    """Start again those trials, of all or of those named, that have not ended well and will not by themselves; return them.

    Each goes on from its last checkpoint, where it has one.

    Raises InputError if one that is named needs no retry.
    """
    chosen = choose(sweep, named)
    launcher = make_launcher(sweep.spec)
    launcher.check()
    states = {trial.number: trial.state for trial in trials_of(sweep)}
    for number in chosen:
        if named and states[number] in (*OPEN, *DONE):
            raise InputError(f"trial {number} of {sweep.name} is {states[number]}")
    again = [number for number in chosen if states[number] not in (*OPEN, *DONE)]
    for number in again:
        sweep.revive(number)
    if again:
        launcher.launch(sweep, again)
    return again


def cancel(sweep: SweepDirectory, named: Collection[str] = ()) -> list[int]:
    """End what runs, so that it saves, and what waits, of all trials or of those named; return their numbers.

    Raises InputError where the launcher cannot reach them.
    """
    chosen = choose(sweep, named)
    states = {trial.number: trial.state for trial in trials_of(sweep)}
    # One that was told before is saving: a second signal would be a second Ctrl-C, which does not wait for that.
    ending = [n for n in chosen if states[n] in OPEN and not sweep.is_cancelled(n)]
    for number in ending:
        sweep.cancel(number)
    if ending:
        make_launcher(sweep.spec).cancel(sweep, ending)
    return ending
