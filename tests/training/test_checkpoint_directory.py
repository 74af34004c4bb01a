"""Which checkpoints count: damage of any kind is found, and the next older one is used."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnxtrain.errors import InputError
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.checkpoint_directory import CheckpointDirectory
from nnxtrain.training.manifest import MANIFEST, verify, write_manifest


def save_steps(directory: Path, steps: list[int]) -> None:
    with Checkpoints(directory, keep_last=len(steps)) as checkpoints:
        for step in steps:
            tree = {"params": {"kernel": jnp.arange(12.0).reshape(3, 4) + step}, "step": step}
            tree["step"] = jnp.int32(step)
            checkpoints.save(step, tree, {"epoch": step / 10, "name": "é"}, score=step / 100)


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("two_steps")
    save_steps(directory, [5, 8])
    return directory


@pytest.fixture
def directory(two_steps: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_steps, tmp_path / "checkpoints"))


def files_of(step: Path) -> list[Path]:
    return sorted(path for path in step.rglob("*") if path.is_file())


def assert_8_is_passed_over(directory: Path, reason: str) -> None:
    said: list[str] = []
    checkpoints = CheckpointDirectory(directory, on_skip=said.append)
    newest = checkpoints.latest()
    assert newest is not None
    assert newest.step == 5
    assert checkpoints.best() == newest
    assert [c.step for c in checkpoints.all()] == [5]
    assert len(said) == 1  # once, however often it is met
    assert said[0].startswith(f"checkpoint {directory / '8'} is passed over: ")
    assert reason in said[0]
    assert "\n" not in said[0]
    with pytest.raises(InputError, match=r"is not complete: .*; complete checkpoints here: 5"):
        checkpoints.at(8)


def test_one_flipped_bit_in_any_file_is_found(directory: Path) -> None:
    files = files_of(directory / "8")
    assert len(files) > 6
    rng = random.Random(0)
    for path in files:
        sound = path.read_bytes()
        for position in rng.sample(range(len(sound)), min(len(sound), 20)):
            broken = bytearray(sound)
            broken[position] ^= 1 << rng.randrange(8)
            path.write_bytes(broken)
            found = CheckpointDirectory(directory, on_skip=lambda _: None).latest()
            assert found is not None
            assert found.step == 5, f"{path} bit {position}"
        path.write_bytes(sound)
    assert verify(directory / "8").step == 8


def test_every_bit_of_a_manifest_counts(tmp_path: Path) -> None:
    step = tmp_path / "3"
    step.mkdir()
    (step / "data").write_bytes(b"abc")
    write_manifest(step, step=3, score=1e-5, info={"é": [1e300]}, arrays={})
    sound = (step / MANIFEST).read_bytes()
    checkpoints = CheckpointDirectory(tmp_path, on_skip=lambda _: None)
    assert checkpoints.latest() is not None
    for position in range(len(sound)):
        for bit in range(8):
            broken = bytearray(sound)
            broken[position] ^= 1 << bit
            (step / MANIFEST).write_bytes(broken)
            assert checkpoints.latest() is None, (position, bit)


def test_a_missing_file_is_found(directory: Path) -> None:
    for path in files_of(directory / "8"):
        sound = path.read_bytes()
        path.unlink()
        reason = "no manifest" if path.name == MANIFEST else "is missing"
        assert_8_is_passed_over(directory, reason)
        path.write_bytes(sound)


def test_a_cut_or_added_file_is_found(directory: Path) -> None:
    path = max(files_of(directory / "8" / "state"), key=lambda path: path.stat().st_size)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])
    assert_8_is_passed_over(directory, f"has {len(sound) - 1} bytes instead of {len(sound)}")
    path.write_bytes(sound)
    (directory / "8" / "state" / "more").write_text("")
    assert_8_is_passed_over(directory, "state/more is not part of it")


def test_a_renamed_checkpoint_is_found(directory: Path) -> None:
    shutil.copytree(directory / "5", directory / "9")
    shutil.rmtree(directory / "8")
    (directory / "9").rename(directory / "8")
    assert_8_is_passed_over(directory, "its manifest is of step 5")


def test_what_is_no_checkpoint_misleads_nobody(directory: Path) -> None:
    (directory / "9").mkdir()
    (directory / "10").write_text("")
    (directory / ".saving-11" / "state").mkdir(parents=True)
    (directory / "12.orbax-checkpoint-tmp").mkdir()
    shutil.copytree(directory / "8", directory / ".removing-13")
    for name in ("notes", "007", "8.bak", "٣", "-3"):
        (directory / name).mkdir()
    checkpoints = CheckpointDirectory(directory, on_skip=lambda _: None)
    newest = checkpoints.latest()
    assert newest is not None
    assert newest.step == 8
    said = checkpoints.incomplete()
    assert [Path(line.partition(":")[0]).name for line in said] == [
        "10",
        "9",
        ".removing-13",
        ".saving-11",
        "12.orbax-checkpoint-tmp",
    ]
    assert checkpoints.clean() == said
    left = sorted(path.name for path in directory.iterdir())
    assert left == sorted(["5", "8", "notes", "007", "8.bak", "٣", "-3"])
    assert checkpoints.clean() == []


def test_clean_removes_damage_but_not_what_a_newer_version_wrote(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnxtrain.training.manifest.FORMAT", 2)
    (directory / "8" / "state" / "more").write_text("")
    checkpoints = CheckpointDirectory(directory, on_skip=lambda _: None)
    assert checkpoints.latest() is None
    assert checkpoints.clean() == []
    monkeypatch.undo()
    assert len(checkpoints.clean()) == 1
    assert [path.name for path in directory.iterdir()] == ["5"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    checkpoints = CheckpointDirectory(tmp_path / "none")
    assert (checkpoints.latest(), checkpoints.best(), checkpoints.all()) == (None, None, [])
    assert checkpoints.clean() == []
    with pytest.raises(InputError, match=r"3 does not exist; complete checkpoints here: none"):
        checkpoints.at(3)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("wrong", [{"keep_last": 0}, {"keep_best": -1}, {"mode": "largest"}])
def test_wrong_arguments_are_named(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        CheckpointDirectory(tmp_path, **wrong)


def make_checkpoint(directory: Path, step: int, score: float | None) -> None:
    path = directory / str(step)
    path.mkdir(parents=True)
    (path / "data").write_bytes(bytes([step % 256]))
    write_manifest(path, step=step, score=score, info={}, arrays={})


scores = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(allow_nan=False)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    saves=st.lists(st.tuples(st.integers(0, 10**6), scores), unique_by=lambda s: s[0], max_size=9),
    keep_last=st.integers(1, 4),
    keep_best=st.integers(0, 3),
    mode=st.sampled_from(["max", "min"]),
)
def test_what_is_kept(
    tmp_path_factory: pytest.TempPathFactory,
    saves: list[tuple[int, float | None]],
    keep_last: int,
    keep_best: int,
    mode: str,
) -> None:
    """After every save: the last and the best of all that were ever saved, and nothing else."""
    directory = tmp_path_factory.mktemp("kept")
    checkpoints = CheckpointDirectory(
        directory, keep_last=keep_last, keep_best=keep_best, mode=mode
    )
    saves = sorted(saves)
    for n in range(1, len(saves) + 1):
        step, score = saves[n - 1]
        make_checkpoint(directory, step, score)
        checkpoints._retain(step)
        sign = -1 if mode == "max" else 1
        scored = sorted((sign * s, step) for step, s in saves[:n] if s is not None)
        best = [step for _, step in scored[:keep_best]]
        expected = {step for step, _ in saves[max(0, n - keep_last) : n]} | set(best)
        assert {int(path.name) for path in directory.iterdir()} == expected
        found = checkpoints.best()
        assert (found.step if found else None) == (best[0] if best else None) or keep_best == 0
    shutil.rmtree(directory)


def test_retention_leaves_later_steps_and_damaged_ones_alone(tmp_path: Path) -> None:
    for step in (1, 2, 3, 8, 9):
        make_checkpoint(tmp_path, step, None)
    (tmp_path / "2" / "data").unlink()
    CheckpointDirectory(tmp_path, keep_last=1)._retain(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "8", "9"]


KILLS = 4  # two seconds each; 40 have passed

SAVER = """
import sys
import jax, jax.numpy as jnp
from nnxtrain.training.checkpoint import Checkpoints

with Checkpoints(sys.argv[1], keep_last=2, keep_best=1) as checkpoints:
    checkpoints.clean()
    newest = checkpoints.latest()
    step = newest.step if newest else 0
    like = {f"layer{i}": jnp.zeros((50, 50)) for i in range(8)}
    state = checkpoints.restore(newest, like) if newest else like
    while True:
        state = {name: x + 1 for name, x in state.items()}
        step += 1
        checkpoints.save(step, state, {"step": step}, score=1 / step)
        if step % 3 == 1:
            checkpoints.wait()
            print(step, flush=True)
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    """Processes are killed at random moments of their saves; each goes on where the last was."""
    rng = random.Random(0)
    acknowledged = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as saver:
            assert saver.stdout is not None
            acknowledged = int(saver.stdout.readline())
            time.sleep(rng.uniform(0.0, 0.3))
            saver.send_signal(signal.SIGKILL)
            lines = saver.stdout.read().split("\n")[:-1]
        acknowledged = max([acknowledged, *map(int, lines)])
        said: list[str] = []
        checkpoints = Checkpoints(tmp_path, on_skip=said.append)
        newest = checkpoints.latest()
        assert said == []  # a kill leaves hidden things only, never a broken step
        assert newest is not None
        assert newest.step >= acknowledged
        assert newest.info == {"step": newest.step}
        like = {f"layer{i}": np.zeros((50, 50), np.float32) for i in range(8)}
        restored = checkpoints.restore(newest, like)
        assert all((x == newest.step).all() for x in restored.values())
        checkpoints.close()
