"""What the benchmark of networks trains: nnxtrain's models, their data and optimizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optax

from nnxtrain import nnx
from nnxtrain.data import Spec
from nnxtrain.models import ResNet, RNNClassifier, TransformerLM
from nnxtrain.tasks import Classification, LanguageModel
from nnxtrain.training.session import decide


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
      name: of the network.
      spec: of its data.
      model: makes nnxtrain's, from ``input_shape`` and ``rngs``.
      tx, rate: optimizer, and its learning rate.
      options: of the peers' models.
      batch: examples in a batch.
      steps: how many a turn has.
    """

    name: str
    spec: Spec
    model: Callable[..., nnx.Module]
    tx: optax.GradientTransformation
    rate: float
    options: dict[str, Any]
    batch: int
    steps: int

    @property
    def task(self) -> Any:
        return (LanguageModel if self.spec.vocab_size else Classification)(spec=self.spec)

    def fresh(self) -> nnx.Module:
        model = self.model(input_shape=self.spec.input_shape, rngs=nnx.Rngs(0))
        decide(model)
        return model

    def weights(self) -> tuple[dict, dict]:
        """The parameters that all begin with, and the batch statistics, as nested dicts by nnxtrain's names."""
        model = self.fresh()
        parts = nnx.state(model, nnx.Param), nnx.state(model, nnx.BatchStat)
        params, stats = (
            nnx.to_pure_dict(part, lambda v: np.asarray(v.raw_value)) for part in parts
        )
        return params, stats

    def batches(self) -> list[dict[str, np.ndarray]]:
        """A few batches, which training has again and again."""
        random, shape = np.random.default_rng(0), (self.batch, *self.spec.input_shape)
        made = []
        for _ in range(4):
            if self.spec.vocab_size:
                tokens = random.integers(0, self.spec.vocab_size, (shape[0], shape[1] + 1), "int32")
                made.append({"input": tokens[:, :-1].copy(), "label": tokens[:, 1:].copy()})
            else:
                label = random.integers(0, 10, self.batch, "int32")
                pixels = random.standard_normal(shape, "float32")
                made.append({"input": pixels, "label": label})
        return made


def networks(smoke: bool) -> dict[str, Network]:
    """The networks by name; a few examples and steps of each for a smoke test."""
    image, rows = (Spec(shape, "float32", num_classes=10) for shape in ((32, 32, 3), (28, 28)))
    layers: dict[str, Any] = {"width": 64, "stages": (2, 2, 2, 2)}
    decoder = {"vocab_size": 96, "max_length": 256, "num_layers": 6, "width": 256, "num_heads": 8}
    cell = {"in_features": 28, "hidden_features": 128}
    if smoke:
        layers = {"width": 4, "stages": (1, 1, 1)}
        decoder |= {"max_length": 16, "num_layers": 1, "width": 16, "num_heads": 2}
        cell["hidden_features"] = 8
    depth = 2 + 2 * sum(layers["stages"])
    text = Spec((decoder["max_length"],), "int32", vocab_size=decoder["vocab_size"])
    resnet = partial(ResNet, 10, depth=depth, width=layers["width"], zero_init_residual=False)
    lstm = partial(RNNClassifier, 10, hidden_features=cell["hidden_features"])
    transformer = partial(TransformerLM, **decoder)
    momentum, adamw, adam = optax.sgd(0.01, momentum=0.9), optax.adamw(1e-4), optax.adam(1e-3)
    listed = [
        Network("resnet18", image, resnet, momentum, 0.01, layers, 8 if smoke else 64, 1),
        Network("transformer", text, transformer, adamw, 1e-4, decoder, 2 if smoke else 16, 1),
        Network("lstm", rows, lstm, adam, 1e-3, cell, 8 if smoke else 128, 20),
    ]
    return {network.name: network for network in listed}
