"""The ranking, and the table as text, CSV, Markdown and JSON; of sweeps made of files."""

import csv
import json
import math
import sys

import numpy as np
import pytest

from nnxtrain.cli.main import main
from nnxtrain.sweep.results import differing_keys, rank, results_of
from nnxtrain.sweep.table import columns, rows

from .made import Made

SAME = ["model=mlp", "trainer.steps=30"]
SCORES = {
    (1e-3, 1): [0.5, 0.71, 0.70], (1e-3, 2): [0.4, 0.64, 0.66], (1e-3, 3): [0.3, 0.69, 0.61],
    (1e-2, 1): [0.2, 0.81, 0.90], (1e-2, 2): [0.3, 0.88, 0.80], (1e-2, 3): [0.1, 0.20, 0.93],
    (1e-1, 1): [0.1, 0.10, 0.12], (1e-1, 2): [0.1, 0.15, 0.12], (1e-1, 3): [0.1, 0.10, 0.11],
}  # fmt: skip


def grid(**others):
    return [
        Made([*SAME, f"optim.learning_rate={rate}", f"seed={seed}"], scores, **others)
        for (rate, seed), scores in SCORES.items()
    ]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_groups_are_ranked_by_the_mean_of_the_best_scores_over_seeds(make_sweep, mode):
    ranking = rank(results_of(make_sweep(grid(), monitor="score", mode=mode)))
    assert (ranking.monitor, ranking.mode, ranking.seeds) == ("score", mode, True)
    assert ranking.keys == ["optim.learning_rate"]  # neither the seed nor what is the same
    best = {rate: [] for rate, _ in SCORES}
    for (rate, _), scores in SCORES.items():
        best[rate].append(max(scores) if mode == "max" else min(scores))
    order = sorted(best, key=lambda rate: np.mean(best[rate]), reverse=mode == "max")
    assert [group.values for group in ranking.groups] == [
        {"optim.learning_rate": str(rate)} for rate in order
    ]
    for group, rate in zip(ranking.groups, order):
        assert group.score.mean == pytest.approx(np.mean(best[rate]), rel=1e-14)
        assert group.score.std == pytest.approx(np.std(best[rate], ddof=1), rel=1e-12)
        assert group.score.count == 3
        chosen = max(best[rate]) if mode == "max" else min(best[rate])
        assert group.best.score == chosen
        step = 10 * (1 + list(SCORES[rate, int(group.best.values["seed"])]).index(chosen))
        path = group.best.checkpoint
        assert path.is_dir()
        assert (path.parents[1].name, path.name) == (str(group.best.trial.number), str(step))


def test_the_test_split_is_averaged_and_ranks_nothing(make_sweep):
    trials = [
        Made(["a=1", "seed=1"], [0.9], test={"accuracy": 0.1, "loss": 2.0}),
        Made(["a=1", "seed=2"], [0.8], test={"accuracy": 0.3, "loss": None}),
        Made(["a=2", "seed=1"], [0.5], test={"accuracy": 0.9}),
    ]
    ranking = rank(results_of(make_sweep(trials)))
    first, second = ranking.groups
    assert first.values == {"a": "1"}
    assert first.test["accuracy"].mean == pytest.approx(0.2)
    assert first.test["accuracy"].std == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert (first.test["loss"].mean, first.test["loss"].count) == (2.0, 1)  # NaN does not count
    assert "loss" not in second.test
    assert ranking.metrics == ["accuracy", "loss"]
    assert rows(ranking)[1] == ["2", "2", "1", "0.5", "0.9", "", "2"]


def test_only_finished_trials_count_and_others_follow(make_sweep):
    trials = [
        Made(["a=1", "seed=1"], [0.99], "pruned"),
        Made(["a=1", "seed=2"], [0.98], "pruned"),
        Made(["a=2", "seed=1"], [0.5]),
        Made(["a=2", "seed=2"], [0.97], "failed", error="too large"),
        Made(["a=3", "seed=1"], [], "failed", error="no room"),
        Made(["a=4", "seed=1"], [0.2], "running"),
        Made(["a=5", "seed=1"], [], "waiting"),
        Made(["a=6", "seed=1"], [], "not started"),
        Made(["a=7", "seed=1"], [0.3], "died"),
        Made(["a=8", "seed=1"], [0.4], "stopped"),
        Made(["a=9", "seed=1"], [None, None]),
    ]
    ranking = rank(results_of(make_sweep(trials)))
    found = {row[1]: row for row in rows(ranking)}
    assert list(found) == ["2", "1", "8", "7", "4", "3", "5", "6", "9"]
    assert columns(ranking) == ["#", "a", "seeds", "validation accuracy", "trials"]
    assert found["2"] == ["1", "2", "1", "0.5", "2, 3 (failed)"]
    assert found["1"][2:] == ["0", "(0.99)", "0 (pruned), 1 (pruned)"]
    assert found["7"][2:] == ["0", "(0.3)", "8 (died)"]
    assert found["5"][2:] == ["0", "", "6 (waiting)"]
    assert found["9"][2:] == ["0", "", "10"]  # finished, and never a number
    best = ranking.groups[0].best
    assert best.trial.number == 2  # the failed one had a better score


def test_one_trial_has_no_deviation_and_no_key_differs(make_sweep):
    ranking = rank(results_of(make_sweep([Made([*SAME, "seed=1"], [0.25, 0.5])])))
    assert ranking.keys == []
    assert not ranking.seeds
    assert (ranking.groups[0].score.mean, ranking.groups[0].score.std) == (0.5, None)
    assert rows(ranking) == [["1", "0.5", "0"]]


def test_keys_that_not_all_trials_have(make_sweep):
    trials = [Made(["a=1", "b=1"], [0.1]), Made(["a=1"], [0.2]), Made(["a=1", "b=2"], [0.3])]
    results = results_of(make_sweep(trials))
    assert differing_keys(results) == ["b"]
    assert [row[1] for row in rows(rank(results))] == ["2", "", "1"]


def test_before_the_first_run(make_sweep, capsys):
    trials = [Made(["seed=1"], state="waiting"), Made(["seed=2"], state="not started")]
    sweep = make_sweep(trials)
    ranking = rank(results_of(sweep))
    assert (ranking.monitor, ranking.mode) == (None, None)
    assert columns(ranking) == ["#", "seeds", "validation score", "trials"]
    assert rows(ranking) == [["1", "0", "", "0 (waiting), 1 (not started)"]]
    assert main(["sweep", "table", str(sweep.path)]) == 0
    out, err = capsys.readouterr()
    assert "best checkpoint" not in out
    assert "1 of 2 trials have not ended well" in err


def test_trials_that_have_no_values_yet(make_sweep, capsys):
    trials = [Made(["a=0.5"], [0.5]), Made([], state="not started"), Made([], state="not started")]
    sweep = make_sweep(trials, asked=True)
    ranking = rank(results_of(sweep))
    assert [group.results[0].trial.number for group in ranking.groups] == [0]
    assert main(["sweep", "table", str(sweep.path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["groups"]) == 1


@pytest.fixture
def mixed(make_sweep):
    """Values that need quoting, an error, NaN."""
    trials = [
        Made(['model.name="a,b"', "seed=1"], [1 / 3], test={"accuracy": 2 / 3}),
        Made(['model.name="a,b"', "seed=2"], [0.25], test={"accuracy": None}),
        Made(["model.name='x|y'", "seed=1"], [], "failed", error='said "no", twice'),
    ]
    return make_sweep(trials)


def test_csv_is_read_back_in_full(mixed, tmp_path, capsys):
    out = tmp_path / "table.csv"
    assert main(["sweep", "table", str(mixed.path), f"out={out}"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with open(out, newline="") as file:
        lines = list(csv.DictReader(file))
    head = "rank trial state model.name seed val_accuracy test_accuracy checkpoint error"
    assert list(lines[0]) == head.split()
    assert [line["rank"] for line in lines] == ["1", "1", "2"]
    assert [line["trial"] for line in lines] == ["0", "1", "2"]
    assert [line["model.name"] for line in lines] == ['"a,b"', '"a,b"', "'x|y'"]
    assert float(lines[0]["val_accuracy"]) == 1 / 3
    assert float(lines[0]["test_accuracy"]) == 2 / 3
    assert math.isnan(float(lines[1]["test_accuracy"]))
    assert (mixed.path / lines[0]["checkpoint"]).is_dir()
    assert lines[2] == {
        "rank": "2", "trial": "2", "state": "failed", "model.name": "'x|y'", "seed": "1", "val_accuracy": "",
        "test_accuracy": "", "checkpoint": "", "error": 'said "no", twice',
    }  # fmt: skip


def test_markdown_keeps_its_columns(mixed, tmp_path):
    out = tmp_path / "table.md"
    assert main(["sweep", "table", str(mixed.path), f"out={out}"]) == 0
    head, rule, first, second, blank, failed = out.read_text().splitlines()
    assert head == "| # | model.name | seeds | validation accuracy | test accuracy | trials |"
    assert rule == "| --- | --- | --- | --- | --- | --- |"
    assert first == '| 1 | "a,b" | 2 | 0.2917 ± 0.05893 | 0.6667 | 0, 1 |'
    assert second == r"| 2 | 'x\|y' | 0 |  |  | 2 (failed) |"
    assert blank == ""
    assert failed == """- trial 2 (model.name='x|y' seed=1) failed: said "no", twice"""


def test_json_is_strict(mixed, capsys):
    assert main(["sweep", "table", str(mixed.path), "--json"]) == 0

    def reject(name):
        raise AssertionError(name)

    found = json.loads(capsys.readouterr().out, parse_constant=reject)
    assert (found["sweep"], found["monitor"], found["mode"]) == (str(mixed.path), "accuracy", "max")
    first, second = found["groups"]
    assert first["score"]["mean"] == pytest.approx(np.mean([1 / 3, 0.25]))
    assert first["score"]["std"] == pytest.approx(np.std([1 / 3, 0.25], ddof=1))
    assert [trial["test"] for trial in first["trials"]] == [{"accuracy": 2 / 3}, {"accuracy": None}]
    assert first["checkpoint"] == str(mixed.trial_path(0) / "checkpoints" / "10")
    assert (second["score"], second["checkpoint"]) == (None, None)
    assert second["trials"][0]["error"] == 'said "no", twice'


def test_a_score_whose_checkpoint_is_gone(make_sweep, capsys):
    sweep = make_sweep([Made(["seed=1"], [0.5])])
    (sweep.trial_path(0) / "checkpoints" / "10").rmdir()
    assert main(["sweep", "table", str(sweep.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["checkpoint"] is None
    assert main(["sweep", "table", str(sweep.path)]) == 0
    assert "best checkpoint" not in capsys.readouterr().out


def test_metrics_that_cannot_be_read_leave_the_others(make_sweep):
    sweep = make_sweep([Made(["a=1"], [0.5]), Made(["a=2"], [0.6])])
    (sweep.trial_path(1) / "metrics.jsonl").write_text("not JSON\n{}\n")
    ranking = rank(results_of(sweep))
    assert [(group.values["a"], group.score is None) for group in ranking.groups] == [
        ("1", False),
        ("2", True),
    ]


def test_a_file_is_replaced_only_by_force_and_its_name_says_what_it_is(mixed, tmp_path, capsys):
    out = tmp_path / "table.csv"
    out.write_text("mine")
    command = ["sweep", "table", str(mixed.path)]
    assert main([*command, f"out={out}"]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*command, f"out={out}", "--force"]) == 0
    assert out.read_text().startswith("rank,")
    assert main([*command, f"out={tmp_path / 'table.cvs'}"]) == 2
    assert "did you mean '.csv'?" in capsys.readouterr().err
    assert main([*command, f"out={tmp_path / 'no' / 'table.csv'}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


class Terminal:
    """Standard output that says it is one."""

    def __init__(self, inner):
        self.inner = inner

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize("width", [None, 40, 160])
def test_the_table_in_a_pipe_and_in_windows(make_sweep, capsys, monkeypatch, width):
    sweep = make_sweep(grid(test={"accuracy": 0.5}))
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    assert main(["sweep", "table", str(sweep.path)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "0.9033 ± 0.02517" in out
    assert f"best checkpoint: {sweep.trial_path(5) / 'checkpoints' / '30'}" in lines
    if width is None:
        cells = lines[1].split("  ")
        assert [cell.strip() for cell in cells if cell] == [
            "1", "0.01", "3", "0.9033 ± 0.02517", "0.5 ± 0", "3, 4, 5",
        ]  # fmt: skip
    elif width == 40:
        assert "# 1" in lines
        table = lines[: lines.index(next(x for x in lines if x.startswith("best")))]
        assert all(len(line) <= width for line in table)
    else:
        assert any("validation accuracy" in line and "test accuracy" in line for line in lines)


def test_a_fixed_seed_is_no_column_while_trials_have_no_values_yet(make_sweep):
    trials = [Made(["seed=1", "optim=adam"], [0.5]), Made([], state="not started")]
    ranking = rank(results_of(make_sweep(trials, asked=True)))
    assert not ranking.seeds
