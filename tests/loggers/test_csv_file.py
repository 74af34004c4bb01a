import csv
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnxtrain.loggers import CsvFile, Line

lines = st.lists(
    st.builds(
        Line,
        st.integers(1, 6),
        st.just(0.5),
        st.sampled_from(["train", "val", "test"]),
        st.just(0.0),
        st.dictionaries(st.sampled_from(["loss", "accuracy", 'a "b", c']), st.floats(), max_size=3),
    ),
    max_size=12,
)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(directory, given, history=()):
    logger = CsvFile()
    logger.open(directory, {}, history)
    for line in given:
        logger.log(line)
    logger.close("finished")
    return read(directory / "metrics.csv")


@settings(deadline=None, max_examples=50)
@given(lines, st.data())
def test_every_number_is_there_and_a_resumed_file_is_that_of_one_go(tmp_path_factory, given, data):
    directory = tmp_path_factory.mktemp("run")
    found = write(directory, given)
    expected = {
        (line.step, name, repr(value)) for line in given for name, value in line.tagged().items()
    }
    cells = {
        (int(row["step"]), name, value) for row in found for name, value in row.items() if value
    }
    assert {cell for cell in cells if "/" in cell[1]} == expected

    cut = data.draw(st.integers(0, len(given)))
    write(directory, data.draw(lines))  # what an earlier process measured, of which some is void
    resumed = write(directory, given[cut:], history=given[:cut])
    assert resumed == found


def test_one_row_a_step_and_one_column_a_metric(tmp_path):
    rows = write(
        tmp_path,
        [
            Line(5, 1.0, "train", 0.0, {"loss": 0.5}),
            Line(10, 2.0, "train", 0.0, {"loss": 0.25}),
            Line(10, 2.0, "val", 0.0, {"loss": math.nan}),
        ],
    )
    assert (tmp_path / "metrics.csv").read_text().splitlines()[
        0
    ] == "step,epoch,train/loss,val/loss"
    assert [list(row.values()) for row in rows] == [
        ["5", "1.0", "0.5", ""],
        ["10", "2.0", "0.25", "nan"],
    ]
    table = np.genfromtxt(tmp_path / "metrics.csv", delimiter=",", skip_header=1)
    np.testing.assert_array_equal(table, [[5, 1, 0.5, np.nan], [10, 2, 0.25, np.nan]])


def test_rows_can_be_read_while_the_run_goes_on(tmp_path):
    logger = CsvFile()
    logger.open(tmp_path, {}, ())
    for step in (1, 2, 3):
        logger.log(Line(step, 0.0, "train", 0.0, {"loss": 1.0 / step}))
    assert [row["step"] for row in read(tmp_path / "metrics.csv")] == ["1", "2"]
