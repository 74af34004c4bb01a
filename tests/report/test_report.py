"""The command and its page."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from nnxtrain.cli.main import main
from nnxtrain.errors import InputError
from nnxtrain.report.write import write_report
from nnxtrain.training.metrics_log import read_metrics
from nnxtrain.training.run_directory import RunDirectory

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects tables, addresses and text."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.tables, self.addresses, self.words = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.addresses += [names[key] for key in ("src", "href") if key in names]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def source(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "one.html"
    assert write_report(runs[:1], out) == out
    return out.read_text()


def test_the_page_needs_nothing_else(source):
    page = Page(source)
    assert all(address.startswith("data:") for address in page.addresses)
    assert not re.search(r"@import|url\(|<(script|link)[^>]*(src|href)=.?http|fetch\(", source)
    assert len(source) < 1_000_000


def test_its_numbers_are_those_of_the_run(source, runs):
    tables = Page(source).tables
    lines = read_metrics(runs[0] / "metrics.jsonl")
    test = next(line for line in lines if line["split"] == "test")
    results = dict(tables[0][1:])
    assert results["test accuracy"] == f"{test['accuracy']:.4g}"
    assert results["test loss"] == f"{test['loss']:.4g}"
    scores = [line["accuracy"] for line in lines if line["split"] == "val"]
    assert results["best validation accuracy"] == f"{max(scores):.4g}"
    assert results["at step"] == str(test["step"])

    matrix = [[int(cell) for cell in row[1:]] for row in tables[1][1:]]
    right = sum(matrix[i][i] for i in range(5))
    assert sum(map(sum, matrix)) == 100  # the test split
    assert right / 100 == pytest.approx(test["accuracy"], abs=1e-6)
    classes = tables[2][1:]
    assert [int(row[1]) for row in classes] == [sum(row) for row in matrix]
    recall = [f"{matrix[i][i] / sum(matrix[i]):.4g}" for i in range(5)]
    assert [row[3] for row in classes] == recall
    assert source.count("<figure>") == min(24, 100 - right)
    for name in ("loss", "accuracy", "learning rate", "examples per second"):
        assert f'aria-label="{name}: training from ' in source


def test_several_runs_show_what_differs(runs, tmp_path, capsys):
    out = tmp_path / "both.html"
    assert main(["report", *(f"run={run}" for run in runs), f"out={out}", "--no-model"]) == 0
    assert capsys.readouterr().out == f"report: {out}\n"
    page = Page(out.read_text())
    names = [run.name for run in runs]
    assert [row[0] for row in page.tables[0][1:]] == names
    assert page.tables[1] == [
        ["key", *names],
        ["seed", "0", "1"],
        ["name", "mlp_shapes5", "slower"],
        ["optim.learning_rate", "0.001", "0.0001"],
    ]
    assert "2 runs compared" in page.words
    assert len(page.tables) == 4  # no confusion matrix, no scores


def test_regression_shows_predictions_against_targets(regression, tmp_path):
    source = write_report([regression], tmp_path / "r.html").read_text()
    Page(source)
    assert source.count('<circle class="dot c0 faint"') >= 50
    assert "across: target; up: prediction" in source


def test_an_existing_file_stays_unless_forced(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text("mine")
    command = ["report", f"run={runs[0]}", f"out={out}", "--no-model"]
    assert main(command) == 2
    assert f"{out} exists; add --force to replace it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*command, "--force"]) == 0
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=nowhere"], "run 'nowhere' does not exist"),
        (["out=no/such/folder.html"], "the folder no/such does not exist"),
        (["split=tets"], "did you mean 'test'?"),
        (["checkpoint=bset"], "did you mean 'best'?"),
    ],
)
def test_bad_input_is_one_line(runs, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [f"run={runs[0]}"] if "run=nowhere" not in arguments else []
    assert main(["report", *given, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_failed_before_its_first_checkpoint(runs, tmp_path, capsys):
    failed = tmp_path / "failed"
    shutil.copytree(runs[0], failed, ignore=shutil.ignore_patterns("[0-9]*", "metrics.jsonl"))
    RunDirectory(failed).set_status("failed", error="step 2 is not finite")
    assert main(["report", f"run={failed}"]) == 0
    page = Page((failed / "report.html").read_text())
    assert {"failed", "step 2 is not finite"} <= set(page.words)
    assert "no checkpoint, so there is no model to look at" in page.words
    both = [f"run={run}" for run in (failed, runs[1])]
    assert main(["report", *both, f"out={tmp_path}/both.html"]) == 0
    assert "Confusion matrix" in (tmp_path / "both.html").read_text()  # of the one that has a model


def test_a_split_that_is_none_from_python(runs, tmp_path):
    with pytest.raises(InputError, match="split=tets: choose train, validation, test"):
        write_report(runs[:1], tmp_path / "r.html", split="tets")


def test_what_users_wrote_is_escaped(runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs[0], copy)
    (copy / "git.diff").write_text("+<script>alert(1)</script>\n")
    source = write_report([copy], model=False).read_text()
    Page(source)
    assert "<script>alert" not in source
    assert "&lt;script&gt;alert(1)" in source
    assert (copy / "report.html").exists()


def test_from_files_alone_it_does_without_jax(runs, tmp_path):
    code = (
        "import sys; from nnxtrain.cli.main import main; "
        f"code = main(['report', 'run={runs[0]}', 'out={tmp_path}/r.html', '--no-model']); "
        "sys.exit(code or 'jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
