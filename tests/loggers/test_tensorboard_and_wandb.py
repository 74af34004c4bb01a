"""The loggers of other packages, against those packages; skipped where they are not installed."""

import json
import sys
import time

import pytest

from nnxtrain.config import compose, to_container
from nnxtrain.errors import InputError
from nnxtrain.loggers import Line, TensorBoard, WandB

FIRST = [Line(5, 1.0, "train", 100.0, {"loss": 0.5}), Line(6, 1.2, "val", 101.0, {"loss": 0.75})]
VOID = [Line(6, 1.2, "test", 102.0, {"loss": 8.0}), Line(9, 1.8, "train", 103.0, {"loss": 9.0})]
LATER = [Line(10, 2.0, "train", 104.0, {"loss": 0.25})]


def write(logger, directory, given, history=(), status="finished"):
    logger.open(directory, to_container(compose()), history)
    for line in given:
        logger.log(line)
    logger.close(status)


def scalars(directory):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    assert events.Tags()["tensors"] == ["config/text_summary"]
    return {
        name: [(event.step, event.value, event.wall_time) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if name != "epoch" and events.Scalars(name)
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_what_stands(tmp_path):
    pytest.importorskip("tensorboardX")
    write(TensorBoard(), tmp_path, FIRST + VOID)
    assert scalars(tmp_path)["test/loss"] == [(6, 8.0, 102.0)]
    write(TensorBoard(), tmp_path, LATER, history=FIRST)
    assert scalars(tmp_path) == {
        "train/loss": [(5, 0.5, 100.0), (10, 0.25, 104.0)],
        "val/loss": [(6, 0.75, 101.0)],
    }
    assert "tensorflow" not in sys.modules


@pytest.mark.filterwarnings("ignore")  # of its dependencies
def test_wandb_offline_keeps_one_run_over_a_resume(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = tmp_path / "2026-11-22_06-10-47_mlp_v84y"
    directory.mkdir()
    logged = []
    write(WandB(project="p", tags=["a"]), directory, FIRST, status="interrupted")
    time.sleep(1.1)  # wandb names its folders by the second
    logger = WandB(project="p")
    logger.open(directory, to_container(compose()), FIRST)
    assert logger._run.id == directory.name
    assert logger._run.project == "p"
    assert logger._run.config["optim"]["learning_rate"] == 0.001
    monkeypatch.setattr(type(logger._run), "log", lambda run, values: logged.append(values))
    logger.log(LATER[0])
    logger.close("finished")
    assert logged == [{"step": 10, "epoch": 2.0, "train/loss": 0.25}]
    assert wandb.run is None
    assert len(list(directory.glob(f"wandb/offline-run-*-{directory.name}/*.wandb"))) == 2


@pytest.mark.parametrize("logger", [TensorBoard, WandB])
def test_a_missing_package_is_one_line_with_what_to_type(logger, monkeypatch, tmp_path):
    extra = logger.__name__.lower()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    (tmp_path / "wandb").mkdir()  # as W&B itself leaves one in the working directory
    for name in ("wandb", "tensorboardX"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(InputError, match=rf"pip install 'nnxtrain\[{extra}\]'"):
        logger()


def test_the_config_goes_out_as_plain_values():
    json.dumps(to_container(compose(["trainer.mode=max"])))
