"""``nnxtrain check`` looks a run over and leaves nothing behind."""

import json

import pytest

from nnxtrain.cli.main import main

TINY = ["data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.batch_size=40"]


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


def rows(text):
    return {line[:9].strip(): line[9:] for line in text.splitlines()}


def test_it_tells_what_a_run_is_and_costs(capsys):
    assert main(["check", *TINY, "trainer.ema=0.9"]) == 0
    found = rows(capsys.readouterr().out)
    assert list(found) == ["config", "data", "batches", "length", "model", "memory", "FLOPs", "one step"]  # fmt: skip
    assert "360 training, 40 validation, 100 test images" in found["data"]
    parameters = 3072 * 16 + 16 + 16 * 5 + 5
    assert f"{parameters:,} parameters trained" in found["model"]
    # Adam keeps two numbers for each parameter.
    held = found["memory"].split(": ")[1]
    one, two = (f"{parameters * size / 1024:.1f} KiB" for size in (4, 8))
    assert held.startswith(f"parameters {one}, optimizer {two}, averages {one}")
    # forward, and the two gradients of each product (but that of the images)
    products = 40 * (3072 * 16 * 2 + 16 * 5 * 3)
    assert 2 * products < float(found["FLOPs"].split()[0]) < 4 * products
    assert "loss 1." in found["one step"]


def test_shapes_alone(capsys):
    assert (
        main(["check", *TINY, "--shapes", "optim.groups=[{match: linears.0, frozen: true}]"]) == 0
    )
    found = rows(capsys.readouterr().out)
    assert "one step" not in found
    assert f"{16 * 5 + 5:,} parameters trained, {3072 * 16 + 16:,} frozen" in found["model"]


def test_over_several_devices_it_says_what_each_holds(capsys):
    assert main(["check", *TINY, "mesh=fsdp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mesh"] == {"data": 1, "fsdp": 4, "model": 1}
    kernel, bias, head, numbers = found["placement"]
    assert kernel == {
        "path": "linears.0.kernel", "count": 1, "shape": [3072, 16], "spec": ["fsdp"],
        "part": [768, 16], "bytes": 768 * 16 * 4,
    }  # fmt: skip
    assert (bias["part"], head["part"]) == ([4], [4, 5])
    assert (numbers["spec"], numbers["bytes"]) == ([], 5 * 4)  # 4 devices do not divide 5
    held = (768 * 16 + 4 + 4 * 5 + 5) * 4
    stream = 12  # of random numbers, the model's
    assert found["memory"]["parameters"] == held + stream
    assert 2 * held <= found["memory"]["optimizer"] < 2 * held + 64  # Adam's two, and counts
    whole = (3072 * 16 + 16 + 16 * 5 + 5) * 4
    assert 0 < found["memory"]["step"] < 40 * 3072 * 4 + 2 * whole
    assert found["one_step"]["loss"] > 1


def test_it_plans_for_devices_that_are_not_here(capsys):
    assert main(["check", *TINY, "mesh=fsdp", "--devices", "8"]) == 0
    text = capsys.readouterr().out
    found = rows(text)
    assert found["mesh"] == "8 devices: fsdp 8"
    assert "one step" not in found
    table = [line.split() for line in text.splitlines() if line.startswith("linears")]
    assert table[0] == ["linears.0.kernel", "3072x16", "[fsdp]", "384x16", "24.0", "KiB"]
    assert "on each device: parameters 24.1 KiB, optimizer 48.1 KiB" in found["memory"]
    assert " a step" in found["FLOPs"]


def test_alike_layers_are_one_row(capsys):
    assert main(["check", *TINY, "model.hidden=[8,8,8]", "mesh=fsdp", "--devices", "8"]) == 0
    assert "linears.*.kernel x 2" in capsys.readouterr().out


def test_one_batch_is_learnt(capsys):
    assert main(["check", *TINY, "overfit=20"]) == 0
    first, last = rows(capsys.readouterr().out)["overfit"].split("loss ")[1].split(" to ")
    assert float(last) < float(first) / 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["overfit=many"], 2, "overfit=many: expected a number of steps"),
        (["model.hiden=[3]"], 2, "did you mean 'hidden'?"),
        (["trainer.batch_size=4000"], 2, "trainer.batch_size=360 or less"),
        (["overfit=3", "--shapes"], 2, "overfit trains; leave out --shapes and --devices"),
        (["mesh=fsdp", "--devices", "0"], 2, "--devices=0: expected a whole number, at least 1"),
        (["mesh=fsdp", "--devices", "64"], 2, "use trainer.batch_size=64"),
        (["trainer.accumulate=3"], 2, "must divide trainer.batch_size=40"),
        (["overfit=3", "optim=sgd", "optim.learning_rate=1e30"], 1, "is not finite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(capsys, arguments, code, message):
    assert main(["check", *TINY, *arguments]) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
