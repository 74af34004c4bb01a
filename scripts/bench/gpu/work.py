"""What is trained, how large, and by whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flops import flops_per_token


@dataclass(frozen=True)
class Work:
    """One model's training, the same for all contestants.

    Attributes:
      subject: resnet18, gpt2 or lenet.
      batch: examples a step.
      steps: of a window; each window is timed by itself.
      windows: how many are timed, after one that is not.
      model: its sizes.
      examples: how many there are, images or (of a language model) tokens.
    """

    subject: str
    batch: int
    steps: int
    windows: int
    model: Mapping[str, int]
    examples: int

    @property
    def unit(self) -> str:
        """What is counted by the second."""
        return {"resnet18": "images", "gpt2": "tokens", "lenet": "steps"}[self.subject]

    @property
    def units_per_step(self) -> int:
        counted = {
            "images": self.batch,
            "tokens": self.batch * self.model.get("length", 1),
            "steps": 1,
        }
        return counted[self.unit]

    def flops_per_step(self, parameters: int) -> float | None:
        """Of a language model (see :func:`flops_per_token`); None for others, which are not held against the peak."""
        if self.subject != "gpt2":
            return None
        width, length, heads = (self.model[name] for name in ("width", "length", "heads"))
        counted = parameters - length * width
        layers = self.model["layers"]
        return self.units_per_step * flops_per_token(counted, layers, heads, width // heads, length)


@dataclass(frozen=True)
class Contestant:
    """Who trains it: a script of this folder, and what it is told."""

    name: str
    script: str
    options: Mapping[str, Any] = field(default_factory=dict)
    cuda_only: bool = False  # on a CPU there is nothing to try


def _torch(name: str, cuda_only: bool = False, **options: Any) -> Contestant:
    return Contestant(name, "with_torch.py", options, cuda_only)


NNXTRAIN = Contestant("nnxtrain", "with_nnxtrain.py")
CONTESTANTS = {
    "resnet18": (
        NNXTRAIN,
        _torch("torch.compile", compile="default"),
        _torch("torch.compile max-autotune", cuda_only=True, compile="max-autotune"),
    ),
    "gpt2": (NNXTRAIN, _torch("torch.compile", compile="default")),
    "lenet": (
        NNXTRAIN,
        Contestant("nnxtrain, 1 step a call", "with_nnxtrain.py", {"steps_per_call": 1}),
        # Not on a CPU, where the steps of a call are compiled one after the other: a long wait.
        Contestant("nnxtrain, 32 steps a call", "with_nnxtrain.py", {"steps_per_call": 32}, True),
        _torch("torch, eager"),
        _torch("torch.compile", compile="default"),
        _torch("torch.compile reduce-overhead", cuda_only=True, compile="reduce-overhead"),
        _torch("torch, a CUDA graph of the step", cuda_only=True, graph=True),
    ),
}

SIZES = {
    "resnet18": Work("resnet18", 512, 50, 5, {"depth": 18, "width": 64}, 50_000),
    "gpt2": Work(
        "gpt2",
        16,
        20,
        5,
        # A vocabulary of GPT-2's 50 257 tokens, rounded up to a multiple of 64 as in nanoGPT, for all contestants.
        {"vocabulary": 50_304, "length": 1024, "layers": 12, "width": 768, "heads": 12},
        10_000_000,
    ),
    "lenet": Work("lenet", 64, 3200, 5, {}, 50_000),
}
SMOKE = {
    "resnet18": Work("resnet18", 8, 2, 2, {"depth": 8, "width": 4}, 200),
    "gpt2": Work(
        "gpt2",
        2,
        2,
        2,
        {"vocabulary": 64, "length": 16, "layers": 1, "width": 16, "heads": 2},
        2000,
    ),
    "lenet": Work("lenet", 8, 8, 2, {}, 200),
}


def sized(work: Work, **changes: Any) -> Work:
    """Work of another size: what is None stays, ``vocabulary`` and ``length`` are the model's."""
    given = {name: value for name, value in changes.items() if value is not None}
    of_model = {name: given.pop(name) for name in ("vocabulary", "length") if name in given}
    return dataclasses.replace(work, model={**work.model, **of_model}, **given)
