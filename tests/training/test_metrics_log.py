"""Every line can be read by anybody, exactly, and resuming gives the uninterrupted file."""

from __future__ import annotations

import json
import math
import resource
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.errors import InputError, RunError
from nnxtrain.training.metrics_log import MetricsLog, read_metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write_steps(log: MetricsLog, steps: range) -> None:
    for step in steps:
        log.write(step=step, epoch=step / 4, split="train", metrics={"loss": 1 / (step + 1)})


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


def test_each_line_is_there_at_once_with_its_fields_in_order(path: Path) -> None:
    with MetricsLog(path) as log:
        log.write(step=1, epoch=0.5, split="val", metrics={"loss": 2, "accuracy": 0.5})
        line = path.read_text()
        assert line.endswith("\n")
        assert list(json.loads(line)) == ["step", "epoch", "split", "time", "loss", "accuracy"]
        log.write(step=2, epoch=1, split="val", metrics={})
        assert len(read_metrics(path)) == 2
        assert read_metrics(path)[0]["time"] <= read_metrics(path)[1]["time"]


@given(value=st.floats() | st.floats(width=32).map(np.float32))
def test_floats_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, value: float | np.float32
) -> None:
    path = tmp_path_factory.mktemp("floats") / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(step=0, epoch=0.0, split="train", metrics={"x": value})
    json.loads(path.read_text(), parse_constant=refuse)
    (record,) = read_metrics(path)
    if math.isfinite(value):
        assert np.float64(record["x"]).tobytes() == np.float64(value).tobytes()
    else:
        assert math.isnan(record["x"])


def test_scalars_of_all_libraries(path: Path) -> None:
    metrics = {
        "jax": jnp.float32(0.1),
        "half": jnp.bfloat16(0.1),
        "int": np.int64(3),
        "flag": np.bool_(True),
        "text": "é",
        "nothing": None,
        "nan": jnp.nan,
    }
    with MetricsLog(path) as log:
        log.write(step=np.int32(1), epoch=np.float32(0.5), split="train", metrics=metrics)
        for wrong in ([1.0], 1j, {}):
            with pytest.raises(TypeError, match="a metric must be a number"):
                log.write(step=1, epoch=1, split="train", metrics={"x": wrong})
        with pytest.raises(ValueError, match="must not be called 'time'"):
            log.write(step=1, epoch=1, split="train", metrics={"time": 3})
    (record,) = read_metrics(path)
    assert record["jax"] == float(np.float32(0.1))
    assert record["half"] == 0.10009765625
    assert (record["step"], record["int"], record["flag"], record["text"]) == (1, 3, True, "é")
    assert math.isnan(record["nan"])
    assert math.isnan(record["nothing"])


def test_resuming_gives_the_uninterrupted_file(path: Path) -> None:
    """Also for a line of the checkpoint's own step that was written after the checkpoint."""

    def run(log: MetricsLog, steps: range) -> dict[int, int]:
        positions = {}
        for step in steps:
            log.write(step=step, epoch=0, split="train", metrics={"loss": 1 / step}, time=0)
            if step % 2 == 0:
                log.write(step=step, epoch=0, split="val", metrics={"loss": 2 / step}, time=0)
                positions[step] = log.position()
                log.write(step=step, epoch=0, split="train", metrics={"later": step}, time=0)
        return positions

    def after(log: MetricsLog, step: int) -> None:
        log.write(step=step, epoch=0, split="train", metrics={"later": step}, time=0)

    with MetricsLog(path) as log:
        run(log, range(1, 11))
    whole = path.read_bytes()
    path.unlink()
    with MetricsLog(path) as log:
        positions = run(log, range(1, 8))
    with open(path, "ab") as file:
        file.write(b'{"step": 8, "lo')
    with MetricsLog(path) as log:
        assert log.truncate(positions[6], step=6)
        after(log, 6)
        run(log, range(7, 11))
    assert path.read_bytes() == whole


def test_truncate_by_step_where_the_position_is_no_end_of_a_line(path: Path) -> None:
    with MetricsLog(path) as log:
        write_steps(log, range(4))
        position = log.position()
        write_steps(log, range(4, 6))
    edited = path.read_text().splitlines()[1:]
    path.write_text("\n".join([*edited, ""]))
    with MetricsLog(path) as log:
        assert not log.truncate(position, step=3)
        assert [record["step"] for record in read_metrics(path)] == [1, 2, 3]
        assert log.position() == path.stat().st_size
        log.write(step=4, epoch=1, split="train", metrics={})
        assert log.position() == path.stat().st_size
    path.unlink()
    with MetricsLog(path) as log:
        assert not log.truncate(position, step=3)
        assert log.truncate(0, step=0)
    assert read_metrics(path) == []


def test_a_torn_last_line_goes_and_is_never_continued(path: Path) -> None:
    with MetricsLog(path) as log:
        write_steps(log, range(2))
    for torn in (b'{"step": 2', b'{"step": 2}', b"\xff\x00"):
        with open(path, "ab") as file:
            file.write(torn)
        assert [record["step"] for record in read_metrics(path)] == [0, 1]
    with MetricsLog(path) as log:
        write_steps(log, range(2, 3))
    assert [record["step"] for record in read_metrics(path)] == [0, 1, 2]


def test_a_bad_line_inside_is_named(path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_metrics(path)
    for bad in ("{oops", "[1]", ""):
        path.write_text(f'{{"step": 1}}\n{bad}\n{{"step": 2}}\n')
        with pytest.raises(InputError, match=r"metrics\.jsonl, line 2: not a JSON object"):
            read_metrics(path)


def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MetricsLog(path) as log:
        write_steps(log, range(3))
        size = log.position()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
            with pytest.raises(RunError, match="cannot be written"):
                write_steps(log, range(3, 4))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.stat().st_size == size
        write_steps(log, range(3, 4))
    assert [record["step"] for record in read_metrics(path)] == [0, 1, 2, 3]
    with pytest.raises(RunError, match="cannot be opened"):
        MetricsLog(path.parent)
