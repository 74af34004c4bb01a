"""Classification of images and of rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnxtrain import nnx
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError
from nnxtrain.tasks.class_metrics import ConfusionMatrix, MacroF1, TopK
from nnxtrain.tasks.inputs import standardized, with_statistics
from nnxtrain.tasks.mean_loss import MeanLoss
from nnxtrain.tasks.precision import at_least_float32


class Classification:
    """Cross-entropy over classes.

    Args:
      label_smoothing: this much of each label is spread over all classes (Szegedy et al. 2015,
        https://arxiv.org/abs/1512.00567).
      class_weights: a positive number for each class, in the order of the labels, or ``balanced``: the number of training
        examples over (classes times examples of the class). The loss is the weighted mean ``sum(w * loss) / sum(w)``, ``w``
        being the weight of an example's class, as PyTorch's ``CrossEntropyLoss(weight=)`` has it.
      top_k: for each k a metric ``top<k>_accuracy``: the label is among the k largest logits.
      macro_f1: a metric ``macro_f1``, the mean over classes of the F1 score.
      mean, std: of the inputs' channels (of images on the 0..1 scale), one number for each or one for all, in place of those
        of the train split; a pretrained model wants those that it was trained with.
      spec: the data set's.

    A batch has ``input`` (of the spec's shape and dtype), ``label`` int32[B] (float32[B, classes] where labels were mixed),
    and perhaps ``mask`` bool[B] (False: padding). Against mixed labels, an example's weight is mixed likewise, and what
    counts as right is the class of the largest share.
    """

    monitor = "accuracy"

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | str | None = None,
        top_k: Sequence[int] = (),
        macro_f1: bool = False,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        *,
        spec: Spec,
    ):
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing is a share, 0 to 1; it got {label_smoothing}")
        if spec.num_classes is None:
            raise InputError(
                "task: classification needs a label for each example, and the data has none; "
                + (
                    "tokens want task=language_model"
                    if spec.vocab_size
                    else "numbers want task=regression"
                )
            )
        for k in top_k:
            if not 0 < k < spec.num_classes:
                raise InputError(
                    f"task.top_k: {k} of {spec.num_classes} classes; give numbers from 1 to {spec.num_classes - 1}"
                )
        self.num_classes = spec.num_classes
        self.label_smoothing = label_smoothing
        self.class_weights = _weights(class_weights, spec)
        self.top_k = tuple(top_k)
        self.macro_f1 = macro_f1
        self.spec = with_statistics(spec, mean, std)

    def inputs(self, batch: dict[str, jax.Array]) -> jax.Array:
        """The model's input: see :func:`standardized`."""
        return standardized(batch["input"], self.spec)

    def call(self, model: Any, batch: dict[str, jax.Array]) -> jax.Array:
        """What the model makes of a batch."""
        return model(self.inputs(batch))

    def logits(self, model: Any, batch: dict[str, jax.Array]) -> jax.Array:
        """Run the model; return float32[B, classes]."""
        logits = at_least_float32(self.call(model, batch))
        if logits.ndim != 2 or logits.shape[-1] != self.num_classes:
            raise InputError(
                f"model: its output is {list(logits.shape)}, and an example has to have one number for each of the "
                f"{self.num_classes} classes"
            )
        return logits

    def outputs(self, model: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Run the model; return per example ``loss`` float32[B], ``logits`` float32[B, classes] and ``labels`` int32[B], and
        with class weights ``weight`` float32[B]. Of a batch without labels there are ``logits`` alone.
        """
        logits = self.logits(model, batch)
        if "label" not in batch:
            return {"logits": logits}
        labels = batch["label"]
        if labels.ndim == 1:
            shares = jax.nn.one_hot(labels, logits.shape[-1])
        else:
            shares, labels = labels, labels.argmax(-1).astype(jnp.int32)
        targets = optax.smooth_labels(shares, self.label_smoothing)
        outputs = {"logits": logits, "labels": labels}
        if self.class_weights is None:
            return outputs | {"loss": optax.softmax_cross_entropy(logits, targets)}
        # PyTorch weighs each class's part of the (smoothed) target, and divides by the weights of the labels.
        by_class = jnp.asarray(self.class_weights, jnp.float32)
        weight = shares @ by_class
        weighted = optax.softmax_cross_entropy(logits, targets * by_class)
        return outputs | {"loss": weighted / weight, "weight": weight}

    def metrics(self) -> nnx.MultiMetric:
        """Fresh metrics; their ``update`` takes :meth:`outputs` and the mask."""
        metrics: dict[str, nnx.Metric] = {"loss": MeanLoss(), "accuracy": nnx.metrics.Accuracy()}
        metrics |= {f"top{k}_accuracy": TopK(k) for k in self.top_k}
        if self.macro_f1:
            metrics["macro_f1"] = MacroF1(self.num_classes)
        return nnx.MultiMetric(**metrics)

    def predictions(self, outputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """``prediction`` int32[B], the most probable class; ``probability`` float32[B], its probability; ``probabilities``
        float32[B, classes]; and ``label`` int32[B] where it is known.
        """
        probabilities = jax.nn.softmax(outputs["logits"])
        found = {
            "prediction": probabilities.argmax(-1).astype(jnp.int32),
            "probability": probabilities.max(-1),
            "probabilities": probabilities,
        }
        return found | ({"label": outputs["labels"]} if "labels" in outputs else {})

    def diagnostics(self) -> nnx.MultiMetric:
        """``confusion_matrix``, from which :func:`class_scores` derives each class's scores."""
        return nnx.MultiMetric(confusion_matrix=ConfusionMatrix(self.num_classes))


def _weights(given: Sequence[float] | str | None, spec: Spec) -> tuple[float, ...] | None:
    """A weight for each class, in the order of the labels."""
    if given is None:
        return None
    if isinstance(given, str):
        if given != "balanced":
            raise InputError(f"task.class_weights: a list of numbers, or balanced; got {given!r}")
        if not spec.class_counts:
            raise InputError(
                "task.class_weights: the data does not say how many examples each class has; give a list of numbers"
            )
        if 0 in spec.class_counts:
            name = spec.class_names[spec.class_counts.index(0)]
            raise InputError(f"task.class_weights: class {name!r} has no training examples")
        counts = np.array(spec.class_counts, np.float64)
        return tuple((counts.sum() / (len(counts) * counts)).tolist())
    if len(given) != spec.num_classes:
        raise InputError(
            f"task.class_weights: {len(given)} numbers for {spec.num_classes} classes ({', '.join(spec.class_names[:10])})"
        )
    if bad := [weight for weight in given if not 0 < weight < float("inf")]:
        raise InputError(f"task.class_weights: weights are positive numbers, got {bad[0]!r}")
    return tuple(map(float, given))
