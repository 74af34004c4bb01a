"""A scheduler's signal in an evaluation: all is saved at once, and the run goes on as if it had not come."""

import json
import os
import signal

import pytest

import nnxtrain
from nnxtrain.cli.main import main
from nnxtrain.errors import Interrupted, Preempted
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.interruption import Interruption

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.steps=8",
    "trainer.batch_size=64", "trainer.log_every=2", "trainer.eval_every=4", "trainer.eval_batch_size=10",
]  # fmt: skip


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def measured(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    clock = ("time", "examples_per_second", "data_wait")
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


def checkpoints(run):
    """What is noted with each, but for the log's length, which the clock decides; and which one is best."""
    with Checkpoints(run / "checkpoints") as found:
        noted = [(c.step, c.score, c.info | {"log_position": 0}) for c in found.all()]
        return noted, found.best().step


# A step asks once, an evaluation (4 batches of validation, 10 of test) once a batch.
@pytest.mark.parametrize(("at", "step"), [(2, 2), (6, 4), (14, 8), (20, None)])
def test_it_goes_on_as_if_no_signal_had_come(at, step, monkeypatch):
    whole = nnxtrain.fit([*TINY, "name=whole"]).directory
    asked = 0

    def stops(self, real=Interruption.stops):
        nonlocal asked
        asked += 1
        if asked == at:
            os.kill(os.getpid(), signal.SIGUSR1)
        return real(self)

    where = "in the test" if step is None else f"at step {step}, which is saved"
    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "stops", stops)
        with pytest.raises(
            Preempted, match=f"stopped by SIGUSR1 {where}.*go on with: nnxtrain fit run="
        ):
            nnxtrain.fit([*TINY, "name=cut"])
    (cut,) = (whole.parent).glob("*_cut_*")
    assert len(measured(cut)) < len(measured(whole))
    nnxtrain.fit([f"run={cut}"])
    assert measured(cut) == measured(whole)
    # Where the signal came there is one checkpoint more.
    (cut_ones, cut_best), (ones, best) = checkpoints(cut), checkpoints(whole)
    assert cut_best == best
    assert [c for c in cut_ones if c[0] in (4, 8)][-1] == ones[-1]


def test_exit_codes(monkeypatch, capsys):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR2, 75)):

        def stops(self, real=Interruption.stops, number=number):
            os.kill(os.getpid(), number)
            return real(self)

        with monkeypatch.context() as patch:
            patch.setattr(Interruption, "stops", stops)
            assert main(["fit", *TINY]) == code
        assert f"stopped by {signal.Signals(number).name} at step 1" in capsys.readouterr().err
    assert issubclass(Preempted, Interrupted)
