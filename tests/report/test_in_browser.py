"""The page in a real browser, where there is one: Chromium driven by playwright."""

import shutil

import pytest

from nnxtrain.report.write import write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    return write_report(runs, tmp_path_factory.mktemp("browser") / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1400])
def test_it_opens_without_errors_or_requests_and_fits(browser, report, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    for heading in ("Results", "Curves", "Configuration", "Environment"):
        assert page.get_by_role("heading", name=heading).first.is_visible()
    charts = page.locator("svg[role=img]")
    boxes = [charts.nth(i).bounding_box() for i in range(charts.count())]
    assert len(boxes) >= 4
    assert all(box["width"] >= 300 and box["x"] + box["width"] <= width for box in boxes)
    assert (len({box["x"] for box in boxes}) > 1) == (width == 1400)
    assert page.locator("table.matrix").first.is_visible()
    images = page.locator(".mistakes img")
    assert images.count() > 0
    assert images.evaluate_all("all => all.every(x => x.complete && x.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # only tables scroll

    charts.first.hover()
    assert page.locator(".readout").first.inner_text().startswith("step ")
    page.get_by_text("config.yaml of").first.click()
    assert page.get_by_text("_target_: nnxtrain.models.MLP").first.is_visible()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    page.close()


def test_the_keyboard_reads_the_charts(browser, report):
    page = browser.new_page()
    page.goto(report.as_uri())
    page.locator("svg[data-chart]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".readout").first.inner_text().startswith("step 3 ")
    page.keyboard.press("ArrowRight")
    assert page.locator(".readout").first.inner_text().startswith("step 6 ")
    page.close()
