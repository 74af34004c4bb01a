import itertools
import json
import math
from xml.etree import ElementTree

from hypothesis import assume, given
from hypothesis import strategies as st

from nnxtrain.report.axes import ticks
from nnxtrain.report.charts import Series, line_chart, scatter_chart, thinned

numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 4))


@given(numbers, numbers)
def test_ticks_are_round_even_and_inside(a, b):
    low, high = min(a, b), max(a, b)
    assume(high - low > 1e-3)
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    slack = (high - low) * 1e-6
    assert all(low - slack <= value <= high + slack for value in found)
    step = found[1] - found[0]
    assert all(
        math.isclose(later - value, step, rel_tol=1e-5)
        for value, later in itertools.pairwise(found)
    )
    digits = f"{step:.3e}".partition("e")[0]
    assert float(digits) in (1.0, 2.0, 2.5, 5.0)


@given(st.lists(numbers, min_size=1, max_size=300), st.integers(4, 40))
def test_thinning_keeps_order_and_extremes(values, limit):
    points = list(enumerate(values))
    found = thinned(points, limit)
    assert len(found) <= limit
    assert [x for x, _ in found] == sorted({x for x, _ in found})
    assert set(found) <= set(points)
    assert min(y for _, y in found) == min(values)
    assert max(y for _, y in found) == max(values)


def test_a_line_goes_where_its_numbers_are():
    points = [(0.0, 1.0), (50.0, 2.0), (100.0, 0.0)]
    svg = ElementTree.fromstring(line_chart("loss", [Series("a", points)]))
    (line,) = svg.findall("polyline")
    places = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    xs, ys = zip(*places)
    assert xs[1] - xs[0] == xs[2] - xs[1] > 0
    assert ys[2] > ys[0] > ys[1]  # down is small
    assert math.isclose((ys[2] - ys[0]), (ys[0] - ys[1]), abs_tol=0.2)
    labels = {text.text: float(text.get("y")) for text in svg.findall("text")}
    assert labels["1"] == ys[0] + 4  # the tick stands where the value is


def test_what_is_not_finite_is_a_gap_and_nothing_is_no_chart():
    points = [(float(x), math.nan if x == 3 else float(x)) for x in range(8)]
    svg = ElementTree.fromstring(line_chart("loss", [Series("a", points)]))
    assert [len(line.get("points").split()) for line in svg.findall("polyline")] == [3, 4]
    assert line_chart("loss", [Series("a", [(1.0, math.nan)])]) == ""
    assert line_chart("loss", []) == ""
    assert scatter_chart("y", [], x_label="a", y_label="b") == ""


def test_names_are_escaped_and_told_to_screen_readers():
    name = """<b>"a" & 'b'"""
    svg = ElementTree.fromstring(line_chart(name, [Series(name, [(1.0, 0.5), (2.0, 0.25)])]))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == f"{name}: {name} from 0.5 to 0.25, lowest 0.25, highest 0.5"
    assert json.loads(svg.get("data-chart"))["series"][0]["points"] == [[1.0, 0.5], [2.0, 0.25]]


def test_one_value_throughout_is_in_the_middle():
    svg = ElementTree.fromstring(line_chart("rate", [Series("a", [(1.0, 0.1), (2.0, 0.1)])]))
    (line,) = svg.findall("polyline")
    heights = {float(pair.split(",")[1]) for pair in line.get("points").split()}
    grid = [float(item.get("y1")) for item in svg.findall("line")]
    assert len(heights) == 1
    assert min(grid) < heights.pop() < max(grid)
