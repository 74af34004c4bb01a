"""The page of a sweep: what it says, and that it works in a real browser."""

import itertools
import re
import shutil
from html.parser import HTMLParser

import pytest

from nnxtrain.cli.main import main
from nnxtrain.sweep.report.effects import effects
from nnxtrain.sweep.report.marks import marks_of
from nnxtrain.sweep.report.write import write_report
from nnxtrain.sweep.results import rank, results_of

from .made import Made, sweep_of

RATES = ("1e-4", "1e-3", "1e-2")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page(HTMLParser):
    """Collects tables, marks, addresses and what pictures are said to show; tags must be closed in order."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tables, self.marks, self.said, self.addresses = [], [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.addresses += [names[key] for key in ("src", "href") if key in names]
        if "data-trial" in names:
            self.marks.append((tag, int(names["data-trial"]), names["class"]))
        if tag == "svg" and "aria-label" in names:
            self.said.append(names["aria-label"])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def curve(score, steps=6):
    return [score * (step + 1) / steps for step in range(steps)]


def searched(seeds=(1, 2)):
    """A full grid of two keys, and seeds."""
    return [
        Made(
            [f"optim={name}", f"optim.learning_rate={rate}", f"seed={seed}"],
            curve(0.5 + 0.1 * RATES.index(rate) + 0.05 * (name == "sgd") + 0.001 * seed),
            test={"accuracy": 0.5},
        )
        for name, rate, seed in itertools.product(("adam", "sgd"), RATES, seeds)
    ]


def mixed():
    return [
        *searched(),
        Made(["optim=lion", "optim.learning_rate=1e-3", "seed=1"], curve(0.2)[:2], "pruned"),
        Made(
            ["optim=lion", "optim.learning_rate=1e-2", "seed=1"],
            curve(0.1)[:1],
            "failed",
            error="<b>no room</b> & more",
        ),
        Made(["optim=lion", "optim.learning_rate=1e-4", "seed=1"], [], "died"),
    ]


def test_the_page_of_a_mixed_sweep(make_sweep, capsys):
    sweep = make_sweep(mixed())
    assert main(["sweep", "report", str(sweep.path)]) == 0
    path = sweep.path / "report.html"
    assert capsys.readouterr().out == f"report: {path}\n"
    source = path.read_text()
    page = Page(source)
    assert all(address.startswith("data:") for address in page.addresses)
    assert not re.search(r"@import|url\(|<(script|link)[^>]*(src|href)=.?http|fetch\(", source)
    assert "15 trials: 12 finished, 1 pruned, 1 failed, 1 died" in source
    assert "<code>optim=sgd optim.learning_rate=1e-2</code>" in source
    ranking, failed, *_ = page.tables
    assert ranking[0][:4] == ["#", "optim", "optim.learning_rate", "seeds"]
    assert ranking[1] == [
        "1", "sgd", "1e-2", "2", "0.7515 ± 0.0007071", "0.5 ± 0", "10, 11", "trials/11/checkpoints/60",
    ]  # fmt: skip
    assert [row[4] for row in ranking[-3:]] == ["(0.06667)", "(0.01667)", ""]
    assert failed[1] == [
        "13", "optim=lion optim.learning_rate=1e-2 seed=1", "failed", "<b>no room</b> & more",
        str(sweep.path / "logs" / "13.log"),
    ]  # fmt: skip
    assert failed[2][2:4] == ["died", "its process ended without a word"]
    titles = [said.partition(":")[0] for said in page.said]
    assert titles == [
        "accuracy against optim",
        "accuracy against optim.learning_rate",
        "accuracy of each trial",
        "all keys",
        "validation accuracy over the steps",
    ]
    assert "14 trials from 0.01667 to 0.752; the best is trial 11" in page.said[0]
    assert page.said[2].endswith("the best so far ends at 0.752")
    points = [mark for mark in page.marks if mark[0] != "polyline"]
    assert sorted(number for _, number, _ in points) == sorted([*range(14)] * 3)
    kinds = {number: (tag, kind) for tag, number, kind in points}
    assert kinds[0] == ("circle", "mark finished")
    assert kinds[12] == ("circle", "mark pruned")
    assert kinds[13] == ("rect", "mark partial")
    lines = [number for tag, number, _ in page.marks if tag == "polyline"]
    assert lines.count(12) == 3  # all keys, its curve, the cross at its end
    assert lines.count(0) == 2


def test_logarithmic_axes_have_even_steps(make_sweep):
    page = write_report(make_sweep(searched())).read_text()
    chart = re.search(r'aria-label="accuracy against optim.learning_rate:.*?</svg>', page)[0]
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', chart)]
    low, middle, high = sorted(set(places))
    assert middle - low == pytest.approx(high - middle, abs=0.2)
    assert all(f">{rate}</text>" in chart for rate in RATES)


def test_nothing_has_a_score_yet(make_sweep):
    trials = [Made([f"seed={n}"], state=s) for n, s in enumerate(("running", "waiting"))]
    source = write_report(make_sweep(trials)).read_text()
    page = Page(source)
    assert "2 trials: 1 running, 1 waiting" in source
    assert "No trial has a score yet." in source
    assert page.said == []
    assert page.tables[0][1][:3] == ["1", "0", ""]


def test_seeds_alone_are_drawn_as_a_key(make_sweep):
    sweep = make_sweep([Made([f"seed={n}"], curve(0.5 + n / 10)) for n in range(3)])
    page = Page(write_report(sweep).read_text())
    titles = [said.partition(":")[0] for said in page.said]
    assert titles[0] == "accuracy against seed"
    assert "all keys" not in titles


def test_a_loss_is_better_the_lower_it_is(make_sweep):
    trials = [Made([f"a={n}"], [1.0, 1 / (n + 1)]) for n in range(3)]
    sweep = make_sweep(trials, monitor="loss", mode="min")
    marks = marks_of(rank(results_of(sweep)))
    assert [(mark.number, mark.share) for mark in marks] == [(2, 1.0), (1, 0.5), (0, 0.0)]
    page = Page(write_report(sweep).read_text())
    assert page.said[1].endswith("the best so far ends at 0.3333")


def test_effects_are_sums_of_squares_of_a_full_grid(make_sweep):
    ranking = rank(results_of(make_sweep(searched(seeds=(1,)))))
    found = {effect.key: effect for effect in effects(ranking)}
    # Scores are 0.1 * i + 0.05 * j without anything else: by hand, 2 * (0.1² + 0.1²) and 6 * 0.025².
    rate, name = 0.04, 0.00375
    assert found["optim.learning_rate"].share == pytest.approx(rate / (rate + name))
    assert found["optim"].share == pytest.approx(name / (rate + name))
    assert found["optim"].chance == pytest.approx(1 / 5)
    assert found["optim.learning_rate"].chance == pytest.approx(2 / 5)


@pytest.mark.parametrize("change", ["missing", "pruned", "equal", "one key"])
def test_no_effects_where_they_would_mislead(tmp_path, change):
    trials = searched(seeds=(1,))
    if change == "missing":
        trials.pop()
    if change == "pruned":
        trials[-1].state = "pruned"
    if change == "equal":
        trials = [Made(trial.overrides, [0.5]) for trial in trials]
    if change == "one key":
        trials = trials[:3]
    assert effects(rank(results_of(sweep_of(tmp_path, trials)))) == []


def test_an_existing_file_stays_unless_forced(make_sweep, tmp_path, capsys):
    sweep = make_sweep(searched())
    out = tmp_path / "page.html"
    out.write_text("mine")
    command = ["sweep", "report", str(sweep.path), f"out={out}"]
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*command, "--force"]) == 0
    assert out.read_text().startswith("<!doctype html>")
    assert main(["sweep", "report", str(sweep.path), f"out={tmp_path / 'no' / 'x.html'}"]) == 2


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        yield found
        found.close()


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1400, "light")])
def test_in_a_browser(browser, make_sweep, width, scheme):
    path = write_report(make_sweep(mixed()))
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    def column(number):
        return page.locator(f".ranking tbody tr > :nth-child({number})").all_inner_texts()

    assert column(1) == [str(n) for n in range(1, 10)]
    page.get_by_role("button", name="validation accuracy").click()
    up = column(5)
    assert up[-1] == ""
    values = [float(text.strip("()").split()[0]) for text in up[:-1]]
    assert values == sorted(values)
    page.get_by_role("button", name="validation accuracy").focus()
    page.keyboard.press("Enter")
    down = column(5)
    assert down == [*reversed(up[:-1]), ""]
    heads = page.locator('.ranking th[aria-sort="descending"]')
    assert heads.count() == 1

    page.locator(".charts circle[data-trial='11']").first.hover()
    assert page.locator(".told").inner_text().startswith("trial 11 (optim=sgd")
    lit = page.locator(".here").evaluate_all("all => all.map(x => x.dataset.trial)")
    assert lit.count("11") == 5
    assert page.locator("tr.here").count() == 1
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    page.close()
