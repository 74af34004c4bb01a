"""What is seen of a run: on terminals of any width, in pipes, and where only ASCII can be shown."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap

import numpy as np
import pytest

from nnxtrain.training.progress import LineProgress, Progress, open_progress
from nnxtrain.training.progress_bar import fit
from nnxtrain.training.results_table import print_results

TIME = r"\d\d:\d\d:\d\d"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_say_everything_and_are_seldom(clock: Clock) -> None:
    stream = io.StringIO()
    with LineProgress(stream, every=5, clock=clock) as progress:
        progress.start(1720, 0, 172)
        for step in range(10, 410, 10):
            clock.now += 0.5
            metrics = {"loss": 0.412, "accuracy": np.float32(0.8612), "examples_per_second": 9800}
            progress.update(step, metrics)
        progress.evaluation("val", 400, {"loss": 0.4, "accuracy": 0.871})
        progress.message("saved")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4 + 2
    assert all(re.match(TIME, line) for line in lines)
    assert [line[9:] for line in lines[-3:]] == [
        "step 310/1720 (epoch 1.8) loss 0.412 accuracy 0.861 9.8k images/s eta 0:01:10",
        "step 400/1720 (epoch 2.3) val loss 0.400 accuracy 0.871",
        "saved",
    ]


def test_the_rate_is_that_of_tokens_where_there_are_such(clock: Clock) -> None:
    stream = io.StringIO()
    with LineProgress(stream, clock=clock, unit="sequences") as progress:
        progress.start(10, 0)
        progress.update(10, {"loss": 0.4, "examples_per_second": 80.0, "tokens_per_second": 10240})
    assert stream.getvalue()[9:] == "step 10/10 loss 0.400 10.2k tokens/s\n"


def test_waiting_for_data_is_told_where_it_is_much(clock: Clock) -> None:
    stream = io.StringIO()
    with LineProgress(stream, every=0, clock=clock) as progress:
        progress.start(10, 0)
        for step, wait in enumerate((0.0, 0.05, 0.23, 0.31), 1):
            progress.update(step, {"loss": 0.4, "data_wait": wait})
    lines = [line[9:].partition(" eta")[0] for line in stream.getvalue().splitlines()]
    hint = lines.pop(2)
    assert hint.startswith("23% of the time goes into waiting for data: trainer.placement=device")
    assert lines == [
        "step 1/10 loss 0.400",
        "step 2/10 loss 0.400",
        "step 3/10 loss 0.400 waiting for data 23%",
        "step 4/10 loss 0.400 waiting for data 31%",
    ]


def test_the_last_step_is_always_shown_and_a_resumed_run_keeps_its_numbers(clock: Clock) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, clock=clock, unit="tokens")
    progress.start(30, start_step=20)
    progress.update(21, {"loss": float("nan")})
    progress.update(22, {"loss": 1})
    progress.update(30)
    lines = [line[9:] for line in stream.getvalue().splitlines()]
    assert lines == ["step 21/30 loss nan", "step 30/30 loss 1"]


def test_everything_may_be_called_in_any_order() -> None:
    for progress in (Progress(), LineProgress(io.StringIO())):
        progress.message("before")
        progress.evaluation("val", 0, {})
        progress.update(1, {})
        progress.start(0)
        progress.update(0)
        progress.close()
        progress.close()
        progress.evaluation("test", 3, {"loss": 1.0})


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_no_bar_off_the_terminal(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert type(open_progress(io.StringIO())) is LineProgress


def test_a_closed_stream_ends_the_talk_and_not_the_training() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    progress = LineProgress(stream)
    progress.message("x" * 100_000)
    progress.message("again")
    with contextlib.suppress(BrokenPipeError):
        stream.close()
    progress.message("closed")


@pytest.mark.parametrize("width", [0, 8, 20, 31, 40, 100])
def test_fit_takes_what_matters_most(width: int) -> None:
    parts = [(3, "epoch 2.3"), (0, "400/1720"), (2, "loss 0.412"), (9, ""), (1, "eta 0:01:10")]
    text = fit(parts, width)
    assert len(text) <= width
    assert (fit(parts, 7), fit(parts, 8)) == ("", "400/1720")
    assert fit(parts, 20) == "400/1720 eta 0:01:10"
    assert fit(parts, 100) == "epoch 2.3 400/1720 loss 0.412 eta 0:01:10"


PROGRAM = """
import sys, time
from nnxtrain.training.progress import open_progress
from nnxtrain.training.results_table import print_results

with open_progress() as progress:
    progress.message("[data] \\u2192 ready")
    progress.start(1720, 0, 172)
    for i in range(1, 11):
        time.sleep(0.06)
        metrics = {"loss": 2 / i, "accuracy": 0.5, "learning_rate": 1e-5}
        progress.update(40 * i, metrics | {"examples_per_second": 9812.0})
    progress.evaluation("val", 400, {"loss": 0.4})
    print("in between")
    time.sleep(0.3)
    if "fail" in sys.argv:
        raise RuntimeError("boom")
print_results([{"split": "val", "loss": 0.41234}, {"split": "\\u2192"}], title="Results")
"""


def run(arguments: list[str], width: int | None = None, **environment: str) -> tuple[int, str]:
    """Run the program with its output on a terminal of ``width`` columns, or in a pipe."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), *arguments]
    clean = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    env = clean | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | environment
    if width is None:
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode(env["PYTHONIOENCODING"])
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        output = b""
        with contextlib.suppress(OSError):  # Linux's way to say the other end is closed
            while data := os.read(ours, 65536):
                output += data
        os.close(ours)
    return process.returncode, output.decode(env["PYTHONIOENCODING"])


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize(
    ("width", "seen"),
    [
        (40, r"400/1720 loss 0\.200 eta 0:00:\d\d"),
        (80, r"epoch 2\.3 400/1720 loss 0\.200 accuracy 0\.500 9\.8k images/s eta 0:00:\d\d"),
        (160, r"accuracy 0\.500 learning_rate 1\.00e-05 9\.8k images/s eta 0:00:\d\d"),
    ],
)
def test_the_bar_fits_the_terminal(width: int, seen: str) -> None:
    status, output = run([], width)
    assert status == 0, output
    bars = [line for line in re.split(r"[\r\n]+", without_colours(output)) if "━" in line]
    assert max(len(bar.rstrip()) for bar in bars) <= width
    assert any(re.search(f"━+ .*{seen}", bar) for bar in bars), bars
    assert re.search(rf"{TIME} \[data\] → ready", output)
    assert "in between" in output
    assert "\x1b[?25h" in output.split("\x1b[?25l")[-1]  # the cursor is shown again


def test_the_terminal_is_left_in_order_after_an_exception() -> None:
    status, output = run(["fail"], 80)
    assert status == 1
    assert output.rstrip().endswith("RuntimeError: boom")
    assert "\x1b[?25h" in output.split("\x1b[?25l")[-1]


def test_a_terminal_without_unicode() -> None:
    status, output = run([], 80, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert status == 0, output
    assert "[data] ? ready" in output
    assert "400/1720 loss 0.200" in without_colours(output)


def test_a_dumb_terminal_gets_lines() -> None:
    status, output = run([], 80, TERM="dumb")
    assert status == 0, output
    assert "\x1b" not in output
    assert "step 400/1720 (epoch 2.3) val loss 0.400" in output


def test_a_pipe_gets_lines() -> None:
    status, output = run(
        [], None, TTY_COMPATIBLE="1", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0"
    )
    assert status == 0, output
    updates = [line for line in output.splitlines() if re.match(TIME, line)]
    assert [line[9:] for line in updates] == [
        "[data] ? ready",
        "step 40/1720 (epoch 0.2) loss 2.000 accuracy 0.500 learning_rate 1.00e-05 9.8k images/s",
        "step 400/1720 (epoch 2.3) val loss 0.400",
    ]
    assert "\r" not in output
    assert "in between" in output


def test_the_table_is_as_wide_as_it_needs() -> None:
    stream = io.StringIO()
    rows = [{"split": "test", "accuracy": 0.87123, "checkpoint": "/long" * 20}]
    print_results(rows, title="Results", stream=stream)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].split() == ["test", "0.871", "/long" * 20]
    print_results([], stream=stream)
