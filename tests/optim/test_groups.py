"""Groups of parameters against optimizers of optax that were put together by hand, on plain dicts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.config.schema import GroupConfig, OptimConfig
from nnxtrain.errors import InputError
from nnxtrain.optim import build_optimizer, cosine
from nnxtrain.training.state import TrainState, abstract, arrays_of
from nnxtrain.training.step import make_train_step

ADAMW = {"_target_": "optax.adamw", "weight_decay": 0.1}
COSINE = {"_target_": "nnxtrain.optim.cosine"}
LENGTH = 10


class Net(nnx.Module):
    def __init__(self, rngs):
        self.body = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 4, rngs=rngs)])
        self.norm = nnx.LayerNorm(4, rngs=rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        for layer in self.body:
            x = jnp.tanh(layer(x))
        return self.head(self.norm(x))


def net():
    return Net(nnx.Rngs(0))


def train(config, steps=4):
    """Parameters by path before and after, and the gradients by path of each step."""
    model = net()
    made = build_optimizer(config, model, LENGTH)
    optimizer = nnx.Optimizer(model, made.tx, wrt=made.wrt)
    before, gradients = by_path(nnx.state(model, nnx.Param)), []
    x = jnp.arange(6.0).reshape(2, 3)
    wrt = nnx.DiffState(0, made.wrt)
    gradient = nnx.jit(nnx.grad(lambda m, t: jnp.square(m(x) - t).sum(), argnums=wrt))
    for step in range(steps):
        grads = gradient(model, step)
        gradients.append(by_path(grads))
        optimizer.update(model, grads)
    return before, by_path(nnx.state(model, nnx.Param)), gradients


def by_path(state):
    return {".".join(map(str, path)): np.array(v[...]) for path, v in nnx.to_flat_state(state)}


def by_hand(parts, before, gradients):
    """Each part, an optimizer and its paths, by itself; the other parameters as they were."""
    after = dict(before)
    for tx, paths in parts:
        params = {path: jnp.asarray(before[path]) for path in paths}
        state = tx.init(params)
        for grads in gradients:
            updates, state = tx.update(
                {path: jnp.asarray(grads[path]) for path in paths}, state, params
            )
            params = optax.apply_updates(params, updates)
        after |= params
    return after


def assert_bits(ours, theirs):
    assert set(ours) == set(theirs)
    for path in ours:
        a, b = np.asarray(ours[path]), np.asarray(theirs[path])
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32), err_msg=path)


def test_rates_decay_schedules_and_optimizers_of_groups():
    config = OptimConfig(
        ADAMW,
        0.1,
        schedule=COSINE,
        groups=[
            GroupConfig("head.bias", learning_rate=0.5),
            GroupConfig("head", scale=0.1, weight_decay=0.0),
            GroupConfig("norm", schedule={"_target_": "nnxtrain.optim.constant"}),
            GroupConfig("re:.*0.bias", optimizer={"_target_": "optax.sgd", "momentum": 0.9}),
        ],
    )
    before, after, gradients = train(config)
    base = cosine(0.1, LENGTH)
    others = ["body.0.kernel", "body.1.kernel", "body.1.bias"]
    parts = [
        (optax.adamw(base, weight_decay=0.1), others),
        (optax.adamw(cosine(0.5, LENGTH), weight_decay=0.1), ["head.bias"]),
        (optax.adamw(lambda step: 0.1 * base(step), weight_decay=0.0), ["head.kernel"]),
        (optax.adamw(optax.constant_schedule(0.1), weight_decay=0.1), ["norm.bias", "norm.scale"]),
        (optax.sgd(base, momentum=0.9), ["body.0.bias"]),
    ]
    assert sorted(path for _, paths in parts for path in paths) == sorted(before)
    assert_bits(after, by_hand(parts, before, gradients))


def test_the_same_on_the_whole_tree_with_masks_of_optax():
    groups = [GroupConfig("**.bias", learning_rate=0.01)]
    config = OptimConfig(ADAMW, 0.1, groups=groups, clip_norm=0.5)
    before, after, gradients = train(config)
    tx = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.partition(
            {"a": optax.adamw(0.1, weight_decay=0.1), "b": optax.adamw(0.01, weight_decay=0.1)},
            {path: "b" if path.endswith("bias") else "a" for path in before},
        ),
    )
    params, state = before, tx.init(before)
    for grads in gradients:
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    for path in after:  # the norm is summed in another order
        np.testing.assert_allclose(after[path], params[path], rtol=1e-5, atol=1e-7)


def test_clipping_counts_all_groups_but_not_the_frozen():
    groups = [GroupConfig("head.bias", learning_rate=2.0), GroupConfig("body.0", frozen=True)]
    config = OptimConfig({"_target_": "optax.sgd"}, 1.0, clip_norm=0.01, groups=groups)
    before, after, (grads,) = train(config, steps=1)
    norm = np.sqrt(sum(np.square(g.astype(np.float64)).sum() for g in grads.values()))
    assert norm > 0.01
    assert not any(path.startswith("body.0") for path in grads)
    for path in grads:
        rate = 2.0 if path == "head.bias" else 1.0
        np.testing.assert_allclose(
            before[path] - after[path], rate * 0.01 * grads[path] / norm, rtol=1e-3, atol=1e-6
        )


def test_biases_and_scales_may_be_spared_weight_decay():
    config = OptimConfig(
        ADAMW, 0.1, decay_bias_and_scale=False, groups=[GroupConfig("head.bias", weight_decay=0.3)]
    )
    before, after, gradients = train(config)
    kernels = [path for path in before if path.endswith("kernel")]
    parts = [
        (optax.adamw(0.1, weight_decay=0.1), kernels),
        (optax.adamw(0.1, weight_decay=0.3), ["head.bias"]),  # said in so many words
        (optax.adamw(0.1, weight_decay=0.0), sorted({*before} - {*kernels, "head.bias"})),
    ]
    assert_bits(after, by_hand(parts, before, gradients))


class Task:
    def outputs(self, model, batch):
        return {"loss": jnp.square(model(batch["x"])).mean(-1)}

    def metrics(self):
        return nnx.MultiMetric(loss=nnx.metrics.Average("loss"))


@pytest.fixture(scope="module")
def frozen_body():
    """A state before and after some compiled steps with a frozen body, which holds -0.0, denormals and NaN too."""
    groups = [GroupConfig("body", frozen=True)]
    config = OptimConfig(ADAMW, 0.1, groups=groups)
    made = []

    def build():
        model = net()
        model.head.bias.value = jnp.array([0.0, -0.0])
        model.body[0].bias.value = jnp.array([-0.0, 0.0, 1e-40, -1e-40])
        if not made:
            made.append(build_optimizer(config, model, LENGTH))
        return TrainState(model, made[0].tx, Task().metrics(), wrt=made[0].wrt)

    abstract(build)  # as fit does it first
    state = build()
    before = jax.tree.map(np.array, arrays_of(state))
    step = make_train_step(Task())
    for _ in range(3):
        step(state, {"x": np.ones((2, 3), np.float32)})
    return before, jax.tree.map(np.array, arrays_of(state)), step


def test_frozen_parameters_keep_every_bit(frozen_body):
    before, after, _ = frozen_body
    flat = lambda tree: {  # noqa: E731
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)
    }
    assert_bits(flat(before["model"]["body"]), flat(after["model"]["body"]))
    assert np.signbit(after["model"]["body"]["0"]["bias"][0])
    assert (before["model"]["head"]["kernel"] != after["model"]["head"]["kernel"]).all()


def test_frozen_parameters_have_no_optimizer_state(frozen_body):
    _, after, step = frozen_body
    shapes = [leaf.shape for leaf in jax.tree.leaves(after["optimizer"])]
    trained = [(4,), (4,), (4, 2), (2,)]
    assert sorted(s for s in shapes if s) == sorted(trained * 2)  # both moments of Adam
    assert step._cache_size() == 1


def test_the_rates_to_log():
    config = OptimConfig(
        ADAMW,
        0.1,
        schedule=COSINE,
        groups=[
            GroupConfig("head", scale=0.5),
            GroupConfig("norm", learning_rate=1.0),
            GroupConfig("body.1", frozen=True),
        ],
    )
    rates = build_optimizer(config, net(), LENGTH).rates
    assert {name: round(float(rate(5)), 6) for name, rate in rates.items()} == {
        "learning_rate": 0.05,
        "learning_rate/head": 0.025,
        "learning_rate/norm": 0.5,
    }


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["haed"], "optim.groups[0].match: 'haed' matches no parameter; did you mean 'head'?"),
        (["head", "head.*"], "optim.groups[1].match: optim.groups[0] comes first and takes all"),
        (["head", "nrom.*"], "optim.groups[1].match: 'nrom.*' matches no parameter; did you mean"),
    ],
)
def test_a_group_without_parameters(groups, message):
    config = OptimConfig(ADAMW, 0.1, groups=[GroupConfig(match) for match in groups])
    with pytest.raises(InputError) as caught:
        build_optimizer(config, net(), LENGTH)
    assert message in str(caught.value)


def test_nothing_left_to_train():
    config = OptimConfig(ADAMW, 0.1, groups=[GroupConfig("**", frozen=True)])
    with pytest.raises(InputError, match="all parameters are frozen"):
        build_optimizer(config, net(), LENGTH)
