"""``nnxtrain check`` looks a run over and leaves nothing behind."""

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
        (["trainer.accumulate=3"], 2, "must divide trainer.batch_size=40"),
        (["overfit=3", "optim=sgd", "optim.learning_rate=1e30"], 1, "is not finite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(capsys, arguments, code, message):
    assert main(["check", *TINY, *arguments]) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
