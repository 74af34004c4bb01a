"""Optuna's part: values by what was found, poor trials given up, nothing lost. Trials run in this process."""

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.local import LocalLauncher
from nnxtrain.sweep.record import Record
from nnxtrain.sweep.start import start
from nnxtrain.sweep.states import trials_of
from nnxtrain.sweep.trial import run_trial

TESTS = Path(__file__).parent.parent
PROJECT = TESTS / "config" / "project"
optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def standin(monkeypatch):
    """Training is the stand-in, whose score is 0.5 + seed / 100; launching does nothing."""
    monkeypatch.syspath_prepend(PROJECT)
    spec = importlib.util.spec_from_file_location("standin", TESTS / "cli/standin/standin.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "standin", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "nnxtrain.training.fit", module)
    monkeypatch.setattr(LocalLauncher, "launch", lambda self, sweep, numbers: None)
    return module


def begin(*overrides: str) -> SweepDirectory:
    flags = {"config_dirs": [PROJECT / "conf"], "packages": ["fakes"]}
    return start([*overrides, "trainer.monitor=accuracy", "sweep.name=s"], **flags)


def study(sweep: SweepDirectory):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(sweep.path / "study.journal")))
    return optuna.load_study(study_name="s", storage=storage)


def test_tpe_finds_where_it_is_good():
    sweep = begin(
        "seed=int(interval(0,400))",
        "sweep.sampler=tpe",
        "sweep.trials=20",
        "sweep.optuna.startup_trials=6",
    )
    for number in sweep.numbers:
        run_trial(sweep, number)
    seeds = [int(t.overrides[0].removeprefix("seed=")) for t in trials_of(sweep, held=())]
    assert np.mean(seeds[10:]) > np.mean(seeds[:6]) + 50
    found = study(sweep)
    assert found.best_value == pytest.approx(0.5 + max(seeds) / 100)
    assert [t.params["seed"] for t in found.trials] == seeds
    assert found.direction.name == "MAXIMIZE"


def test_the_median_gives_up_what_is_poor():
    sweep = begin("seed=90,91,92,10,95,11", "sweep.pruner=median", "sweep.optuna.startup_trials=3")
    for number in sweep.numbers:
        run_trial(sweep, number)
    states = [trial.state for trial in trials_of(sweep, held=())]
    assert states == ["finished"] * 3 + ["pruned", "finished", "pruned"]
    assert [t.state.name for t in study(sweep).trials] == [
        {"finished": "COMPLETE", "pruned": "PRUNED"}[state] for state in states
    ]
    # A pruned trial was given up at its first evaluation, and is over: it is not run again.
    lines = (sweep.trial_path(3) / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 1
    run_trial(sweep, 3)
    assert len(Record.read(sweep.record_path(3)).attempts) == 1


def test_hyperband_gives_up_some():
    sweep = begin(
        "seed=int(interval(0,90))", "sweep.sampler=tpe", "sweep.trials=14", "sweep.pruner=hyperband"
    )
    for number in sweep.numbers:
        run_trial(sweep, number)
    states = [trial.state for trial in trials_of(sweep, held=())]
    assert set(states) == {"finished", "pruned"}


@pytest.mark.filterwarnings(
    "ignore:os.fork:RuntimeWarning"
)  # of JAX, once another test has used it
def test_a_killed_trial_keeps_its_values_and_its_place_in_the_study(standin, monkeypatch):
    sweep = begin("seed=int(interval(0,400))", "sweep.sampler=tpe", "sweep.trials=2")
    run_trial(sweep, 0)
    pid = os.fork()
    if pid == 0:  # a trial that is killed in its fourth step

        def poor(self, step, score):
            original(self, step, score)
            if step == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return False

        from nnxtrain.sweep.samplers.study import StudyTrial

        original = StudyTrial.is_poor
        StudyTrial.is_poor = poor
        run_trial(sweep, 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    given = Record.read(sweep.record_path(1)).overrides
    assert [trial.state for trial in trials_of(sweep, held=())] == ["finished", "died"]
    run_trial(sweep, 1)
    assert Record.read(sweep.record_path(1)).overrides == given
    trials = study(sweep).trials
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE"]
    assert list(trials[1].intermediate_values) == list(range(1, 11))  # each evaluation once
    lines = (sweep.trial_path(1) / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [*range(1, 11), 10]


def test_a_score_that_is_no_number_is_no_score(standin, monkeypatch):
    sweep = begin("seed=1,2", "sweep.pruner=median")

    def train(run, config, is_poor):
        run.set_plan(total_steps=1, monitor="accuracy", mode="max")
        run.metrics_path.write_text('{"step": 1, "split": "val", "accuracy": NaN}\n')
        assert not is_poor(1, float("nan"))
        run.set_status("finished", step=1)

    monkeypatch.setattr(standin, "train", train)
    run_trial(sweep, 0)
    assert [t.state.name for t in study(sweep).trials] == ["FAIL"]


def test_a_trial_keeps_its_values_where_its_study_was_lost_or_moved(monkeypatch):
    """Its run goes on with them: others in its record would be a wrong line of the table."""
    sweep = begin("seed=int(interval(0,400))", "sweep.sampler=tpe", "sweep.trials=2")
    for number in sweep.numbers:
        run_trial(sweep, number)
    given = [Record.read(sweep.record_path(number)).overrides for number in sweep.numbers]
    moved = SweepDirectory(sweep.path.rename(sweep.path.with_name("moved")))
    for number, change in ((0, lambda: None), (1, (moved.path / "study.journal").unlink)):
        change()
        record = Record.read(moved.record_path(number))
        record.attempts[-1].outcome = None  # as if it had been killed
        record.write(moved.record_path(number))
        run_trial(moved, number)
        assert Record.read(moved.record_path(number)).overrides == given[number]
        if number == 0:
            assert len(study(moved).trials) == 2  # the same study
