"""shapes5: five kinds of shapes on busy backgrounds, 32x32 RGB; drawn here, nothing to download.

Easy for a small convolutional network (LeNet: about 95 % test accuracy after ten epochs) and hard
for a linear model (under 60 %): colour says nothing, and place, size, angle, clutter, noise and
partial cover vary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from nnxtrain.data.builders.shapes5_drawing import CLASS_NAMES, SIZE, draw
from nnxtrain.data.builders.tf_free import TFFree

_TEST_SEEDS = 1_000_000_000  # the test split's first seed, far above any seed of train


@dataclass
class Shapes5Config(tfds.core.BuilderConfig):
    """How many examples there are in each split."""

    num_train: int = 0
    num_test: int = 0


class Shapes5(TFFree, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Five kinds of shapes: circle, square, triangle, star, cross."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[Any]] = [
        Shapes5Config(name="full", description="The data set.", num_train=12_000, num_test=2_000),
        Shapes5Config(name="tiny", description="For quick tries.", num_train=400, num_test=100),
    ]

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Five kinds of shapes on busy backgrounds, 32x32 RGB.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 3)),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        config = self.builder_config
        return {
            "train": self._generate_examples(0, config.num_train),
            "test": self._generate_examples(_TEST_SEEDS, config.num_test),
        }

    def _generate_examples(
        self, first_seed: int, count: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            name = CLASS_NAMES[index % len(CLASS_NAMES)]
            yield index, {"image": draw(name, first_seed + index), "label": name}
