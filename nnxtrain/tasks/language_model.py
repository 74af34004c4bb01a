"""Language modelling: the next token at each place of a sequence."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError
from nnxtrain.tasks.mean_loss import MeanLoss
from nnxtrain.tasks.precision import at_least_float32


class LanguageModel:
    """Cross-entropy of each next token.

    Args:
      label_smoothing: this much of each label is spread over all tokens.
      z_loss: this much of ``log(Z)**2`` is added to the loss, Z being the sum that the softmax divides by: it keeps logits
        near 0 (Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311, section 5; they take 1e-4).
      spec: the data set's.

    A batch has ``input`` int32[B, L], ``label`` int32[B, L] (the tokens that follow), and perhaps ``weight`` float32[B, L]
    (0: does not count) and ``mask`` bool[B] (False: padding). The model gives logits [B, L, vocab_size].

    Metrics, over all tokens that count: ``loss``, the cross-entropy in nats, without smoothing and z-loss, so that it is
    comparable; ``perplexity``, its exponential; ``bits_per_token``, in units of log(2): for characters, the bits per
    character; ``accuracy``.
    """

    monitor = "loss"

    def __init__(self, label_smoothing: float = 0.0, z_loss: float = 0.0, *, spec: Spec):
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing is a share, 0 to 1; it got {label_smoothing}")
        if z_loss < 0:
            raise ValueError(f"z_loss is at least 0; it got {z_loss}")
        if spec.vocab_size is None:
            raise InputError(
                "task: a language model needs tokens, and the data has none; choose e.g. data=text data.train=FILE"
            )
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss
        self.spec = spec

    def inputs(self, batch: dict[str, jax.Array]) -> jax.Array:
        """The model's input: tokens int32[B, L]."""
        return batch["input"]

    def outputs(self, model: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Run the model; return ``loss``, ``nll`` (the cross-entropy alone) and ``correct`` float32[B, L], ``logits``
        float32[B, L, vocab_size], ``labels`` int32[B, L], and ``weight`` float32[B, L] where the batch has it.
        """
        logits = at_least_float32(model(self.inputs(batch)))
        if "label" not in batch:
            return {"logits": logits}
        labels = batch["label"]
        if logits.shape != (*labels.shape, self.spec.vocab_size):
            raise InputError(
                f"model: its output is {list(logits.shape)}, and for labels {list(labels.shape)} it has to be "
                f"{[*labels.shape, self.spec.vocab_size]}, a number for each token"
            )
        log_z = jax.nn.logsumexp(logits, axis=-1)
        nll = log_z - jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
        loss = nll
        if self.label_smoothing:
            spread = log_z - logits.mean(-1)
            loss = (1 - self.label_smoothing) * nll + self.label_smoothing * spread
        if self.z_loss:
            loss = loss + self.z_loss * jnp.square(log_z)
        correct = (logits.argmax(-1) == labels).astype(jnp.float32)
        outputs = {"loss": loss, "nll": nll, "correct": correct, "logits": logits, "labels": labels}
        return outputs | ({"weight": batch["weight"]} if "weight" in batch else {})

    def metrics(self) -> nnx.MultiMetric:
        """Fresh metrics; their ``update`` takes :meth:`outputs` and the mask."""
        return nnx.MultiMetric(
            loss=MeanLoss("nll"),
            perplexity=Perplexity(),
            bits_per_token=BitsPerToken(),
            accuracy=MeanLoss("correct"),
        )

    def predictions(self, outputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Of each sequence, over its tokens that count: ``loss`` in nats a token, ``perplexity`` and ``accuracy``,
        float32[B]. Where the next tokens are not known: ``prediction`` int32[B, L], the most probable ones.
        """
        if "labels" not in outputs:
            return {"prediction": outputs["logits"].argmax(-1).astype(jnp.int32)}
        weight = outputs.get("weight", jnp.ones_like(outputs["nll"]))
        loss, accuracy = (
            (outputs[name] * weight).sum(-1) / weight.sum(-1) for name in ("nll", "correct")
        )
        return {"loss": loss, "perplexity": jnp.exp(loss), "accuracy": accuracy}

    def diagnostics(self) -> nnx.MultiMetric:
        """``loss_by_position`` float32[L]: how much the tokens before help."""
        return nnx.MultiMetric(loss_by_position=LossByPosition(self.spec.input_shape[0]))


class Perplexity(MeanLoss):
    """The exponential of the mean cross-entropy."""

    def __init__(self) -> None:
        super().__init__("nll")

    def compute(self) -> jax.Array:
        return jnp.exp(super().compute())


class BitsPerToken(MeanLoss):
    """The mean cross-entropy in bits."""

    def __init__(self) -> None:
        super().__init__("nll")

    def compute(self) -> jax.Array:
        return super().compute() / math.log(2)


class LossByPosition(nnx.Metric):
    """The mean cross-entropy at each place of the window, float32[L]; NaN for a place where no token counts.

    >>> metric = LossByPosition(2)
    >>> metric.update(nll=jnp.array([[2.0, 1.0], [4.0, 9.0]]), weight=jnp.array([[1.0, 1.0], [1.0, 0.0]]))
    >>> metric.compute().tolist()
    [3.0, 1.0]
    """

    def __init__(self, length: int):
        self.total = nnx.metrics.MetricState(jnp.zeros(length, jnp.float32))
        self.count = nnx.metrics.MetricState(jnp.zeros(length, jnp.float32))

    def reset(self) -> None:
        self.total.value = jnp.zeros_like(self.total.value)
        self.count.value = jnp.zeros_like(self.count.value)

    def update(  # type: ignore[override]
        self, *, nll: jax.Array, weight: jax.Array | None = None, mask: Any = None, **_: Any
    ) -> None:
        counted = jnp.ones_like(nll) if weight is None else weight
        if mask is not None:
            mask = jnp.asarray(mask, jnp.float32)
            counted = counted * mask.reshape(mask.shape + (1,) * (nll.ndim - mask.ndim))
        self.total.value += jnp.where(counted > 0, nll * counted, 0.0).sum(0)
        self.count.value += counted.sum(0)

    def compute(self) -> jax.Array:
        return self.total.value / self.count.value
