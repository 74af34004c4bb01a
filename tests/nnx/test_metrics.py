import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


def test_average_over_batches_and_masks():
    average = nnx.metrics.Average("loss")
    assert np.isnan(average.compute())
    average.update(loss=jnp.array([1.0, 2.0]))
    average.update(loss=jnp.array([6.0, jnp.nan]), mask=jnp.array([True, False]), other=1)
    assert average.compute() == 3.0
    average.reset()
    average.update(loss=4.0)
    assert average.compute() == 4.0
    with pytest.raises(TypeError, match="needs loss="):
        average.update(other=1.0)


def test_accuracy_counts_examples():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    mask = rng.random(50) < 0.7
    accuracy = nnx.metrics.Accuracy()
    for part in np.split(np.arange(50), [13, 30]):
        accuracy.update(
            logits=jnp.asarray(logits[part]),
            labels=jnp.asarray(labels[part]),
            mask=jnp.asarray(mask[part]),
        )
    np.testing.assert_allclose(
        accuracy.compute(), (logits.argmax(-1) == labels)[mask].mean(), rtol=1e-6
    )
    with pytest.raises(ValueError, match="integer labels"):
        accuracy.update(logits=jnp.ones((2, 3)), labels=jnp.ones(2))


def test_binary_accuracy():
    accuracy = nnx.metrics.Accuracy(threshold=0.5)
    accuracy.update(logits=jnp.array([0.2, 0.7, 0.9]), labels=jnp.array([0, 1, 0]))
    np.testing.assert_allclose(accuracy.compute(), 2 / 3)


def test_welford_is_numpy():
    values = np.random.default_rng(0).normal(3.0, 2.0, 101).astype(np.float32)
    welford = nnx.metrics.Welford()
    for part in np.split(values, [7, 50]):
        welford.update(values=part)
    result = welford.compute()
    np.testing.assert_allclose(result.mean, values.mean(), rtol=1e-5)
    np.testing.assert_allclose(result.standard_deviation, values.std(), rtol=1e-5)
    np.testing.assert_allclose(
        result.standard_error_of_mean, values.std() / np.sqrt(101), rtol=1e-5
    )


def test_several_under_one_roof():
    metrics = nnx.MultiMetric(loss=nnx.metrics.Average("loss"), accuracy=nnx.metrics.Accuracy())
    nnx.jit(lambda m: m.update(loss=jnp.ones(2), logits=jnp.eye(2), labels=jnp.array([0, 0])))(
        metrics
    )
    assert {k: float(v) for k, v in metrics.compute().items()} == {"loss": 1.0, "accuracy": 0.5}
    metrics.reset()
    assert metrics.loss.count.value == 0
    with pytest.raises(ValueError, match="cannot be called"):
        nnx.MultiMetric(update=nnx.metrics.Average())


def test_welford_counts_no_masked_values():
    metric = nnx.metrics.Welford("x")
    assert np.isnan(metric.compute().mean)
    metric.update(x=jnp.array([jnp.nan]), mask=jnp.array([False]))
    assert np.isnan(metric.compute().mean)
    metric.update(x=jnp.array([1.0, 3.0, jnp.nan]), mask=jnp.array([True, True, False]))
    metric.update(x=jnp.array([[5.0, 7.0], [99.0, 99.0]]), mask=jnp.array([1, 0]))
    mean, error, deviation = metric.compute()
    expected = np.array([1.0, 3.0, 5.0, 7.0])
    np.testing.assert_allclose(
        [mean, error, deviation],
        [expected.mean(), expected.std() / 2, expected.std()],
        rtol=1e-6,
    )


def test_a_mask_that_does_not_fit_is_explained():
    with pytest.raises(ValueError, match=r"mask \[3\] must have the leading axes of x \[\]"):
        nnx.Average("x").update(x=1.0, mask=jnp.ones(3))


def test_masks_by_name():
    metrics = nnx.MultiMetric(a=nnx.Average("x"), b=nnx.Average("x"), c=nnx.metrics.Welford("x"))
    x = jnp.array([1.0, 3.0])
    metrics.update(x=x, mask={"a": jnp.array([True, False])})
    assert [float(v) for v in (metrics.compute()["a"], metrics.compute()["b"])] == [1.0, 2.0]
    metrics.update(x=x, mask=jnp.array([False, False]))
    assert metrics.compute()["c"].mean == 2.0
    with pytest.raises(
        ValueError, match=r"a mask for 'd', and no such metric \(there are: a, b, c\)"
    ):
        metrics.update(x=x, mask={"d": x})

    class Count(nnx.Metric):  # knows no mask
        def __init__(self):
            self.n = nnx.metrics.MetricState(jnp.zeros(()))

        def update(self, **kwargs):
            assert "mask" not in kwargs
            self.n.value += 1

        def compute(self):
            return self.n.value

    mixed = nnx.MultiMetric(count=Count(), mean=nnx.Average("x"))
    mixed.update(x=x, mask={"mean": jnp.array([False, True])})
    assert {k: float(v) for k, v in mixed.compute().items()} == {"count": 1.0, "mean": 3.0}


def test_split_and_merge_in_a_plain_jit():
    metrics = nnx.MultiMetric(loss=nnx.Average("loss"), spread=nnx.metrics.Welford("loss"))
    graphdef, state = metrics.split()

    @jax.jit
    def step(state, loss):
        metrics = nnx.merge(graphdef, state)
        metrics.update(loss=loss)
        return metrics.split()[1], metrics.compute()

    for loss in ([1.0, 2.0], [6.0, 7.0]):
        state, values = step(state, jnp.array(loss))
    assert values["loss"] == 4.0
    np.testing.assert_allclose(values["spread"].standard_deviation, np.std([1, 2, 6, 7]), rtol=1e-6)
    nnx.update(metrics, state)
    assert metrics.compute()["loss"] == 4.0
    kinds = metrics.loss.split(nnx.metrics.MetricState, ...)
    assert len(kinds) == 3
    assert not kinds[2]


def test_threshold_belongs_to_class_one():
    accuracy = nnx.metrics.Accuracy(threshold=0.5)
    accuracy.update(logits=jnp.array([0.5, 0.5, 0.4]), labels=jnp.array([1, 0, 2]))
    np.testing.assert_allclose(accuracy.compute(), 1 / 3, rtol=1e-6)


def test_as_flax_where_installed():
    theirs = pytest.importorskip("flax.nnx").metrics
    random = np.random.default_rng(0)
    pairs = [
        (nnx.metrics.Average("x"), theirs.Average("x")),
        (nnx.metrics.Welford("x"), theirs.Welford("x")),
        (nnx.metrics.Accuracy(), theirs.Accuracy()),
        (nnx.metrics.Accuracy(threshold=0.0), theirs.Accuracy(threshold=0.0)),
    ]
    for n in (3, 1, 8):
        x = jnp.asarray(random.normal(size=(n, 2)), jnp.float32)
        logits = jnp.asarray(random.normal(size=(n, 4)), jnp.float32)
        labels = jnp.asarray(random.integers(0, 4, n), jnp.int32)
        for pair in pairs:
            for metric in pair:
                binary = getattr(metric, "threshold", None) is not None
                given = {"logits": logits[:, 0] if binary else logits, "labels": labels}
                metric.update(x=x, **given)
    for ours, flax in pairs:
        a, b = jax.tree.leaves(ours.compute()), jax.tree.leaves(flax.compute())
        np.testing.assert_allclose(a, b, rtol=1e-5)
