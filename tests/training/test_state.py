import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnxtrain import nnx
from nnxtrain.data import ArraySource, Spec
from nnxtrain.models import MLP
from nnxtrain.training.evaluation import evaluate_source
from nnxtrain.training.state import TrainState, abstract, arrays_of, put_arrays
from nnxtrain.training.step import make_eval_step, make_train_step


class Task:
    """Least squares on a dropout model, to see everything that a state holds move."""

    def outputs(self, model, batch):
        logits = model(batch["x"])
        return {"loss": jnp.square(logits).mean(-1), "logits": logits, "labels": batch["y"]}

    def metrics(self):
        return nnx.MultiMetric(loss=nnx.metrics.Average("loss"), accuracy=nnx.metrics.Accuracy())


def build():
    model = MLP(3, input_shape=(4,), hidden=[8], dropout_rate=0.5, rngs=nnx.Rngs(0))
    return TrainState(model, optax.adam(1e-2), Task().metrics())


BATCH = {"x": np.ones((6, 4), np.float32), "y": np.zeros(6, np.int32)}


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, arrays_of(a), arrays_of(b))


def test_a_state_restored_from_its_arrays_goes_on_the_same_way():
    step = make_train_step(Task())
    state = build()
    step(state, BATCH)
    arrays = jax.tree.map(np.array, arrays_of(state))
    assert all(isinstance(key, str) for key in arrays["model"]["linears"])
    restored = abstract(build)
    assert jax.tree.map(jnp.shape, arrays_of(restored)) == jax.tree.map(jnp.shape, arrays)
    put_arrays(restored, jax.tree.map(jnp.asarray, arrays))
    assert_equal(state, restored)
    for _ in range(3):
        step(state, BATCH)
        step(restored, BATCH)
    assert_equal(state, restored)
    assert state.step == restored.step == 4


def test_an_evaluation_changes_metrics_and_nothing_else():
    state = build()
    before = jax.tree.map(np.array, arrays_of(state))
    metrics = Task().metrics()
    state.model.eval()
    make_eval_step(Task())(
        state.model, metrics, {**BATCH, "mask": np.array([1, 1, 1, 1, 0, 0], bool)}
    )
    state.model.train()
    jax.tree.map(np.testing.assert_array_equal, before, arrays_of(state))
    assert metrics.loss.count.value == 4


def test_training_compiles_once():
    step = make_train_step(Task())
    state = build()
    for _ in range(4):
        step(state, BATCH)
        state.metrics.reset()
        state.model.eval()
        state.model.train()
    assert step._cache_size() == 1


def test_an_evaluation_leaves_the_modes_of_the_layers_alone():
    model = nnx.Sequential(
        nnx.BatchNorm(3, use_running_average=True, rngs=nnx.Rngs(0)),
        nnx.Dropout(0.5, rngs=nnx.Rngs(0)),
    )
    graphdef = nnx.graphdef(model)
    spec = Spec((3,), "uint8", 3, ("a", "b", "c"), (0.0,), (1.0,))
    source = ArraySource({"input": np.ones((4, 3), np.uint8), "label": np.zeros(4, np.int32)}, spec)

    def eval_step(model, metrics, batch, arrays):
        assert model.layers[1].deterministic
        metrics.update(loss=jnp.ones(2), logits=jnp.ones((2, 3)), labels=jnp.zeros(2, int))

    assert evaluate_source(eval_step, Task(), model, source, batch_size=2)["loss"] == 1.0
    assert nnx.graphdef(model) == graphdef
