# ruff: noqa: SIM905 - a hundred names in quotes and commas would be harder to read
"""The data sets known by name, and what can be said of each without opening anything."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError, nearest


@dataclass(frozen=True)
class Entry:
    """A data set known by name.

    Attributes:
      name: Its name in tensorflow-datasets.
      builder: ``"module:class"`` of its builder.
      version: The version that the builder prepares.
      class_names: In the order of the labels.
      image_shape: ``(height, width, channels)``.
      sizes: Number of examples of each split, for each variant (``""`` where there are none).
      origin: Where it comes from, in words.
      hint: How else to come by its files.
    """

    name: str
    builder: str
    version: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    sizes: dict[str, dict[str, int]] = field(hash=False)
    origin: str
    hint: str = ""

    @property
    def default_variant(self) -> str:
        return next(iter(self.sizes))

    def directory(self, prepared: Path, variant: str) -> Path:
        """Where tensorflow-datasets keeps the prepared set under ``prepared``."""
        return prepared / self.name / variant / self.version

    def builder_class(self) -> Any:
        """Import the builder (and with it tensorflow-datasets)."""
        module, name = self.builder.split(":")
        return getattr(importlib.import_module(module), name)


def lookup(name: str) -> tuple[Entry, str]:
    """Return the entry and the variant of ``name`` (``"shapes5"``, ``"shapes5/tiny"``).

    Raises:
      InputError: No such data set or variant.

    >>> lookup("shapes5/tiny")[1], lookup("shapes5")[1], lookup("cifar10")[1]
    ('tiny', 'full', '')
    """
    base, _, variant = str(name).partition("/")
    if base not in CATALOG:
        known = ", ".join(CATALOG)
        raise InputError(f"data: no data set {name!r}{nearest(base, CATALOG)} (known: {known})")
    entry = CATALOG[base]
    if variant and variant not in entry.sizes:
        variants = ", ".join(f"{base}/{v}" for v in entry.sizes if v) or base
        raise InputError(f"data: no data set {name!r}; there is: {variants}")
    return entry, variant or entry.default_variant


_CIFAR_URL = "www.cs.toronto.edu/~kriz/cifar.html"
_CIFAR_SIZES = {"": {"train": 50_000, "test": 10_000}}
_MNIST_SIZES = {"": {"train": 60_000, "test": 10_000}}
_BUILDERS = "nnxtrain.data.builders"

CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="shapes5",
            builder=f"{_BUILDERS}.shapes5:Shapes5",
            version="1.0.0",
            class_names=("circle", "square", "triangle", "star", "cross"),
            image_shape=(32, 32, 3),
            sizes={
                "full": {"train": 12_000, "test": 2_000},
                "tiny": {"train": 400, "test": 100},
            },
            origin="drawn on this machine",
        ),
        Entry(
            name="cifar10",
            builder=f"{_BUILDERS}.cifar:Cifar10",
            version="3.0.2",
            class_names=tuple(
                "airplane automobile bird cat deer dog frog horse ship truck".split()
            ),
            image_shape=(32, 32, 3),
            sizes=_CIFAR_SIZES,
            origin=_CIFAR_URL,
        ),
        Entry(
            name="cifar100",
            builder=f"{_BUILDERS}.cifar:Cifar100",
            version="3.0.2",
            class_names=tuple(
                """
                apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge
                bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud
                cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox
                girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
                man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter
                palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit
                raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
                spider squirrel streetcar sunflower sweet_pepper table tank telephone television
                tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
                """.split()
            ),
            image_shape=(32, 32, 3),
            sizes=_CIFAR_SIZES,
            origin=_CIFAR_URL,
        ),
        Entry(
            name="mnist",
            builder=f"{_BUILDERS}.mnist:MNIST",
            version="3.0.1",
            class_names=tuple("0123456789"),
            image_shape=(28, 28, 1),
            sizes=_MNIST_SIZES,
            origin="yann.lecun.com/exdb/mnist",
        ),
        Entry(
            name="fashion_mnist",
            builder=f"{_BUILDERS}.mnist:FashionMNIST",
            version="3.0.1",
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            image_shape=(28, 28, 1),
            sizes=_MNIST_SIZES,
            origin="github.com/zalandoresearch/fashion-mnist",
            hint=(
                "on Debian: apt install dataset-fashion-mnist, "
                "then data.local_dir=/usr/share/datasets/fashion-mnist"
            ),
        ),
        Entry(
            name="kmnist",
            builder=f"{_BUILDERS}.mnist:KMNIST",
            version="3.0.1",
            class_names=tuple("o ki su tsu na ha ma ya re wo".split()),
            image_shape=(28, 28, 1),
            sizes=_MNIST_SIZES,
            origin="codh.rois.ac.jp/kmnist",
        ),
    )
}
