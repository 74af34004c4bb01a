"""Data sets in CSV tables: rows of numbers and words, with a class or with numbers to predict."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnxtrain.data.assembly import Division, assemble
from nnxtrain.data.new_examples import NewArrays, joined
from nnxtrain.data.paths import existing_file
from nnxtrain.data.source import Splits
from nnxtrain.errors import InputError, nearest

Columns = Mapping[str, list[str]]


@dataclass(frozen=True)
class Table:
    """A CSV file with a header, read into memory.

    Args:
      train: The file; columns are separated by commas, in a ``.tsv`` by tabs.
      label: The column with the class (words or numbers), for classification.
      targets: The columns with the numbers to predict, for regression. One of ``label`` and ``targets`` is given.
      features: The columns the model sees; None takes all others. A column of words becomes one of zeros and ones for
        each of its values in train.
      ignore: Columns that are left out.
      validation: A file with the same columns; None takes ``validation_fraction`` of train.
      test: The same; None takes ``test_fraction`` of train.
      class_names: The classes in the order of their labels; None sorts those of train.
      validation_fraction, test_fraction: The shares that are taken, class by class.
      split_seed: Decides which rows are taken.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "flowers.csv")
    >>> rows = [f"{i},{i % 3},{'red' if i % 2 else 'blue'}" for i in range(40)]
    >>> _ = path.write_text("\\n".join(["size,petals,kind", *rows]))
    >>> splits = Table(str(path), label="kind").load()
    >>> splits.train.spec.class_names, splits.train.spec.input_shape, len(splits.test)
    (('blue', 'red'), (2,), 4)
    """

    train: str
    label: str | None = None
    targets: Sequence[str] | None = None
    features: Sequence[str] | None = None
    ignore: Sequence[str] = field(default_factory=list)
    validation: str | None = None
    test: str | None = None
    class_names: Sequence[str] | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    split_seed: int = 0

    def __post_init__(self) -> None:
        if (self.label is None) == (not self.targets):
            raise InputError(
                "data: give the column to predict: data.label=COLUMN for a class, or data.targets=[COLUMN] for numbers"
            )

    def load(self) -> Splits:
        """Return the three splits: ``input``, ``float32[B, features]``, with ``label`` or ``target``.

        Raises:
          InputError: A file or a column is missing, or a value is.
        """
        given = {name: getattr(self, name) for name in ("train", "validation", "test")}
        tables = {name: _read(file, f"data.{name}") for name, file in given.items() if file}
        encoding = self._encoding(tables["train"])
        arrays = {
            name: self._inputs(table, f"data.{name}", encoding)
            | self._truth(table, f"data.{name}", encoding)
            for name, table in tables.items()
        }
        division = Division(self.validation_fraction, self.test_fraction, self.split_seed)
        return assemble(
            arrays,
            division,
            class_names=encoding.classes or None,
            target_names=self.targets or None,
        )

    def read(self, files: Sequence[Path]) -> NewArrays:
        """Return the rows of other tables with the same columns; that of the label, or the targets, may be missing.

        Raises:
          InputError: As ``load``.
        """
        encoding = self._encoding(_read(self.train, "data.train"))
        predicted = [self.label] if self.label is not None else list(self.targets or ())
        parts = []
        for file in files:
            table, key = _read(str(file), "files"), str(file)
            arrays = self._inputs(table, key, encoding)
            if all(name in table for name in predicted):
                arrays |= self._truth(table, key, encoding)
            names = [f"{file}:{row}" for row in range(1, len(arrays["input"]) + 1)]
            parts.append(NewArrays(names, arrays))
        return joined(parts)

    def _encoding(self, train: Columns) -> Encoding:
        features = self._features(train)
        words = {name: _values(train[name]) for name in features if not _is_numeric(train[name])}
        classes = tuple(map(str, self.class_names or ()))
        if self.label is not None and not classes:
            classes = _values(train[self.label])
        return Encoding(features, words, classes)

    def _features(self, train: Columns) -> list[str]:
        predicted = [self.label] if self.label is not None else list(self.targets or ())
        for key, names in (
            ("label" if self.label is not None else "targets", predicted),
            ("features", self.features or ()),
            ("ignore", self.ignore),
        ):
            for name in names:
                if name not in train:
                    close = nearest(str(name), train) or f"; it has {', '.join(train)}"
                    raise InputError(f"data.{key}: {self.train} has no column {name!r}{close}")
        left_out = {*predicted, *self.ignore}
        chosen = [name for name in self.features or train if name not in left_out]
        if not chosen:
            raise InputError(f"data.features: no column of {self.train} is left to learn from")
        return chosen

    def _inputs(self, table: Columns, key: str, encoding: Encoding) -> dict[str, np.ndarray]:
        parts = []
        for name in encoding.features:
            column = _column(table, name, key, f"the column with data.ignore=[{name}]")
            if (words := encoding.words.get(name)) is not None:
                numbers = _numbered(column, words, name, key)
                parts.append(np.eye(len(words), dtype=np.float32)[numbers])
            else:
                parts.append(_floats(column, name, key)[:, None])
        return {"input": np.concatenate(parts, axis=1)}

    def _truth(self, table: Columns, key: str, encoding: Encoding) -> dict[str, np.ndarray]:
        if self.label is not None:
            column = _column(table, self.label, key, "the row")
            return {"label": _numbered(column, encoding.classes, self.label, key)}
        columns = [
            _floats(_column(table, name, key, "the row"), name, key) for name in self.targets or ()
        ]
        return {"target": np.stack(columns, axis=1)}


@dataclass(frozen=True)
class Encoding:
    """How rows become numbers, as the train table decides it.

    Attributes:
      features: The columns the model sees.
      words: The values of those that hold words, in the order of their zeros and ones.
      classes: In the order of the labels.
    """

    features: Sequence[str]
    words: Mapping[str, Sequence[str]]
    classes: tuple[str, ...]


def _read(file: str, key: str) -> dict[str, list[str]]:
    """The columns of a CSV file, as text."""
    path = existing_file(file, key)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(
                lines, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True
            )
            header = [name.strip() for name in next(reader, [])]
            rows = []
            for row in reader:
                if len(row) != len(header):
                    if not row:  # an empty line
                        continue
                    raise InputError(
                        f"{key}: {file}:{reader.line_num} has {len(row)} values, the header {len(header)} names"
                    )
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{key}: {file} is not a CSV file ({error})") from error
    if twice := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{key}: {file} has two columns {twice[0]!r}")
    if not rows:
        raise InputError(f"{key}: {file} has no rows")
    return {name: [value.strip() for value in column] for name, column in zip(header, zip(*rows))}


def _column(table: Columns, name: str, key: str, dispensable: str) -> list[str]:
    """The values of a column, each of which must be there; ``dispensable``: what may be left out otherwise."""
    if name not in table:
        raise InputError(f"{key}: there is no column {name!r}; it has {', '.join(table)}")
    values = table[name]
    if "" in values:
        raise InputError(
            f"{key}: row {values.index('') + 1} has no {name!r}; fill it in, or leave out {dispensable}"
        )
    return values


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_numeric(column: Sequence[str]) -> bool:
    return all(_number(value) is not None for value in column if value)


def _values(column: Sequence[str]) -> tuple[str, ...]:
    """The different values of a column: numbers by size, words by the alphabet."""
    found = sorted({value for value in column if value})
    return tuple(sorted(found, key=float) if _is_numeric(found) else found)


def _floats(column: Sequence[str], name: str, key: str) -> np.ndarray:
    numbers = [_number(value) for value in column]
    for row, (text, number) in enumerate(zip(column, numbers), 1):
        if number is None or not math.isfinite(number):
            raise InputError(f"{key}: row {row}: {name!r} is to be a number, got {text!r}")
    return np.array(numbers, np.float32)


def _numbered(column: Sequence[str], values: Sequence[str], name: str, key: str) -> np.ndarray:
    """Each value's place among ``values``."""
    places = {value: place for place, value in enumerate(values)}
    for row, text in enumerate(column, 1):
        if text not in places:
            close = nearest(text, values) or f"; known: {', '.join(values[:10])}"
            raise InputError(f"{key}: row {row}: {name!r} has the new value {text!r}{close}")
    return np.array([places[text] for text in column], np.int32)
