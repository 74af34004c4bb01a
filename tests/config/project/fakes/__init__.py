"""A user's package: what ``_target_`` may name once ``--package fakes`` allows it."""

import os
import pathlib  # noqa: F401  (a test tries to reach it through this package)
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path as Path
from typing import Any

built: list[Any] = []


class Wrapped(type):
    """Hides every constructor's signature, as the metaclass of a module library does."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class Model(metaclass=Wrapped):
    def __init__(
        self,
        hidden: list[int],
        num_classes: int,
        *,
        dropout_rate: float = 0.0,
        activation: Any = None,
        rngs: Any = None,
    ) -> None:
        self.given = {
            "hidden": hidden,
            "num_classes": num_classes,
            "dropout_rate": dropout_rate,
            "activation": activation,
            "rngs": rngs,
        }


class Stack:
    def __init__(self, *layers: Any, rngs: Any = None) -> None:
        self.layers, self.rngs = layers, rngs


class Whole:
    def __init__(self, parts: Sequence[partial[Any]]) -> None:
        self.parts = parts


@dataclass
class Data:
    size: int = 10
    image_size: "tuple[int, int] | None" = None
    name: str = "fake"
    extra: dict = field(default_factory=dict)

    def prepare(self) -> str:
        return f"/prepared/{self.name}/{self.size}"


class Task:
    def __init__(self, label_smoothing: float = 0.0) -> None:
        if label_smoothing >= 1:
            raise ValueError(f"label_smoothing must be below 1,\ngot {label_smoothing}")
        self.label_smoothing = label_smoothing


def anything(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def pair(first: int, second: int) -> tuple[int, int]:
    return first, second


def unknown_annotation(x: "Nowhere") -> Any:  # noqa: F821
    return x


half = partial(pair, 1)
system = os.system
write_text = Path.write_text
CONSTANT = 3
