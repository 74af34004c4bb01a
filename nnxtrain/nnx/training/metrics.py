"""Metrics: running sums on the device, so that a training loop need not wait for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.constants import constant
from nnxtrain.nnx.variable.variable import Variable


class MetricState(Variable):
    """State of a metric."""


class Metric(Module):
    """Base class: ``update`` takes keywords and ignores those that it does not know, ``compute`` gives the value."""

    def reset(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define reset")

    def update(self, **kwargs: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def compute(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define compute")

    def split(self, *filters: Any) -> Any:
        """``nnx.split(self, *filters)``."""
        from nnxtrain.nnx.graph.functional import split

        return split(self, *filters)


def _taken(metric: Any, kwargs: dict[str, Any], mask: Any) -> tuple[jax.Array, jax.Array]:
    """The values that a metric is given, zero where they do not count, and their weights (float32, of one shape)."""
    name = f"{type(metric).__name__}.update"
    if metric.argname not in kwargs:
        raise TypeError(f"{name} needs {metric.argname}=; it got {', '.join(kwargs) or 'nothing'}")
    values = jnp.asarray(kwargs[metric.argname], jnp.float32)
    if mask is None:
        return values, jnp.ones(values.shape, jnp.float32)
    mask = jnp.asarray(mask, jnp.float32)
    if mask.shape != values.shape[: mask.ndim]:
        raise ValueError(
            f"{name}: mask {list(mask.shape)} must have the leading axes of {metric.argname} {list(values.shape)}; "
            "give one value for each example, not their mean"
        )
    weights = jnp.broadcast_to(
        mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values.shape
    )
    return jnp.where(weights > 0, values * weights, 0.0), weights  # a masked NaN must not count


class Average(Metric):
    """The mean of all values given, NaN before the first.

    Args:
      argname: the keyword of ``update`` that is averaged: a scalar or an array of any shape.

    ``update(values=..., mask=...)``: where ``mask`` (the leading axes of the values) is false, a value does not count.

    >>> average = Average("loss"); average.update(loss=jnp.array([1.0, 3.0])); float(average.compute())
    2.0
    """

    def __init__(self, argname: str = "values"):
        self.argname = argname
        self.total = MetricState(constant(0, (), np.float32))
        self.count = MetricState(constant(0, (), np.float32))

    def reset(self) -> None:
        self.total.value = constant(0, (), np.float32)
        self.count.value = constant(0, (), np.float32)

    def update(self, *, mask: Any = None, **kwargs: Any) -> None:
        values, weights = _taken(self, kwargs, mask)
        self.total.value += values.sum()
        self.count.value += weights.sum()

    def compute(self) -> jax.Array:
        return self.total.value / self.count.value


class Accuracy(Average):
    """The fraction of right predictions.

    Args:
      threshold: None for several classes (``logits`` float[..., classes], ``labels`` int[...]); a number for two
        (``logits`` float[...], from this value on they mean class 1).

    >>> accuracy = Accuracy(); accuracy.update(logits=jnp.eye(3), labels=jnp.array([0, 1, 1]))
    >>> round(float(accuracy.compute()), 4)
    0.6667
    """

    def __init__(self, threshold: float | None = None):
        super().__init__("accuracy")
        self.threshold = threshold

    def update(self, *, logits: jax.Array, labels: jax.Array, mask: Any = None, **_: Any) -> None:  # type: ignore[override]
        expected = labels.ndim + (self.threshold is None)
        if logits.ndim != expected or not jnp.issubdtype(labels.dtype, jnp.integer):
            raise ValueError(
                f"Accuracy takes integer labels and logits with {expected} axes; it got labels {labels.dtype}"
                f"{list(labels.shape)} and logits {list(logits.shape)}"
            )
        if self.threshold is None:
            right = logits.argmax(-1) == labels
        else:
            right = (logits >= self.threshold) == (labels > 0)
        super().update(accuracy=right, mask=mask)


class Statistics(NamedTuple):
    """What a :class:`Welford` computes, each float32[]."""

    mean: jax.Array
    standard_error_of_mean: jax.Array
    standard_deviation: jax.Array


class Welford(Metric):
    """Mean and standard deviation in one pass (Welford 1962, in the pairwise form of Chan et al. 1979).

    Args:
      argname: the keyword of ``update`` that is taken: a scalar or an array of any shape.

    ``update(values=..., mask=...)``: where ``mask`` (the leading axes of the values) is false, a value does not count.
    ``compute()`` gives (mean, standard_error_of_mean, standard_deviation), NaN before the first value.

    >>> w = Welford("x"); w.update(x=jnp.array([1.0, 2.0])); w.update(x=jnp.array([3.0, 4.0]))
    >>> mean, sem, std = w.compute(); float(mean), round(float(std), 4)
    (2.5, 1.118)
    """

    def __init__(self, argname: str = "values"):
        self.argname = argname
        self.count = MetricState(constant(0, (), np.float32))
        self.mean = MetricState(constant(0, (), np.float32))
        self.m2 = MetricState(constant(0, (), np.float32))

    def reset(self) -> None:
        for state in (self.count, self.mean, self.m2):
            state.value = constant(0, (), np.float32)

    def update(self, *, mask: Any = None, **kwargs: Any) -> None:
        values, weights = _taken(self, kwargs, mask)
        count, old = weights.sum(), self.count.value
        total = jnp.maximum(old + count, 1.0)  # nothing counts yet: all stays zero
        mean = values.sum() / jnp.maximum(count, 1.0)
        squares = jnp.where(weights > 0, weights * (values - mean) ** 2, 0.0).sum()
        delta = mean - self.mean.value
        self.m2.value += squares + delta**2 * old * count / total
        self.mean.value += delta * count / total
        self.count.value = old + count

    def compute(self) -> Statistics:
        deviation = jnp.sqrt(self.m2.value / self.count.value)
        mean = jnp.where(self.count.value > 0, self.mean.value, jnp.nan)
        return Statistics(mean, deviation / jnp.sqrt(self.count.value), deviation)


class MultiMetric(Metric):
    """Several metrics under one roof: ``MultiMetric(loss=Average("loss"), accuracy=Accuracy())``.

    ``update`` hands its keywords to all of them. ``mask`` is one for all, or a dict of masks by the metrics' names.

    >>> metrics = MultiMetric(loss=Average("loss"), length=Average("length"))
    >>> metrics.update(loss=jnp.array([1.0, 3.0]), length=jnp.array([4, 6]), mask={"loss": jnp.array([True, False])})
    >>> {name: float(value) for name, value in metrics.compute().items()}
    {'loss': 1.0, 'length': 5.0}
    """

    def __init__(self, **metrics: Metric):
        for name, metric in metrics.items():
            if name in ("reset", "update", "compute", "split"):
                raise ValueError(
                    f"a metric cannot be called {name!r}: MultiMetric has a method of that name"
                )
            setattr(self, name, metric)

    def _metrics(self) -> dict[str, Metric]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Metric)}

    def reset(self) -> None:
        for metric in self._metrics().values():
            metric.reset()

    def update(self, *, mask: Any = None, **updates: Any) -> None:
        metrics = self._metrics()
        masks = mask if isinstance(mask, Mapping) else dict.fromkeys(metrics, mask)
        if unknown := masks.keys() - metrics.keys():
            raise ValueError(
                f"there is a mask for {min(unknown)!r}, and no such metric (there are: {', '.join(metrics)})"
            )
        for name, metric in metrics.items():
            given = masks.get(name)
            metric.update(**updates, **({} if given is None else {"mask": given}))

    def compute(self) -> dict[str, Any]:
        return {name: metric.compute() for name, metric in self._metrics().items()}
