"""Where arrays lie: batches by rows, parameters by rules, and the optimizer's moments and averages with them."""

import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from nnxtrain import nnx
from nnxtrain.config.schema import MeshConfig, RuleConfig
from nnxtrain.errors import InputError
from nnxtrain.parallel.layout import Layout
from nnxtrain.parallel.mesh import make_mesh
from nnxtrain.training.array_tree import flatten
from nnxtrain.training.state import TrainState, abstract, arrays_of

RULES = [RuleConfig("linear1.kernel", spec=[None, "fsdp"]), RuleConfig("linear2.kernel", spec=["fsdp"])]  # fmt: skip


class Net(nnx.Module):
    def __init__(self, rngs):
        self.linear1 = nnx.Linear(4, 8, rngs=rngs)
        self.linear2 = nnx.Linear(8, 4, rngs=rngs)


def layout_of(config):
    return Layout.of(make_mesh(config), config.rules, nnx.eval_shape(lambda: Net(nnx.Rngs(0))))


def test_what_goes_with_a_parameter_lies_as_it_does():
    layout = layout_of(MeshConfig(data=2, fsdp=2, rules=RULES))
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    state = abstract(lambda: TrainState(Net(nnx.Rngs(0)), tx, nnx.MultiMetric(), ema_decay=0.9))
    specs = {path: s.spec for path, s in flatten_shardings(layout, state).items()}
    cut = {path: spec for path, spec in specs.items() if spec != P()}
    assert cut == {
        f"{place}/{name}/kernel": spec
        for place in ("model", "ema/params", "optimizer/opt_state/1/0/mu", "optimizer/opt_state/1/0/nu")
        for name, spec in (("linear1", P(None, "fsdp")), ("linear2", P("fsdp")))
    }  # fmt: skip
    assert len(specs) > len(cut)


def test_annotations_of_the_model_are_followed_where_no_rule_is():
    class Annotated(nnx.Module):
        def __init__(self, rngs):
            split = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "model"))
            self.linear1 = nnx.Linear(4, 8, kernel_init=split, rngs=rngs)
            named = {
                "out_sharding": ("embed", "mlp"),
                "sharding_rules": [("embed", "model"), ("mlp", None)],
            }
            self.linear2 = nnx.Linear(8, 4, kernel_metadata=named, rngs=rngs)
            self.linear3 = nnx.Linear(4, 4, kernel_metadata={"out_sharding": ("embed",)}, rngs=rngs)

    def build():
        return TrainState(Annotated(nnx.Rngs(0)), optax.sgd(0.1, momentum=0.9), nnx.MultiMetric())

    layout = Layout.of(make_mesh(MeshConfig(data=2, model=2)), [], nnx.eval_shape(build).model)
    specs = {path: s.spec for path, s in flatten_shardings(layout, abstract(build)).items()}
    assert {path: spec for path, spec in specs.items() if path.endswith("kernel")} == {
        f"{place}/{name}/kernel": spec
        for place in ("model", "optimizer/opt_state/0/trace")
        for name, spec in (("linear1", P(None, "model")), ("linear2", P("model", None)), ("linear3", P()))
    }  # fmt: skip


def flatten_shardings(layout, state):
    arrays = arrays_of(state)
    shardings = layout.shardings(arrays)
    flat = flatten(arrays)
    return {path: _at(shardings, path.split("/")) for path in flat}


def _at(tree, keys):
    for key in keys:
        tree = tree[key]
    return tree


def test_an_array_of_another_shape_does_not_follow():
    layout = layout_of(MeshConfig(data=1, fsdp=2, rules=RULES))
    assert layout.sharding(("rows", "linear1", "kernel"), (8,)).spec == P()
    assert layout.sharding(("a", "b", "linear1", "kernel"), (4, 8)).spec == P(None, "fsdp")


def test_batches_are_cut_by_rows():
    layout = layout_of(MeshConfig(data=2, fsdp=2))
    assert layout.row_parts == 4
    batch = {"input": np.arange(24.0).reshape(8, 3), "label": np.arange(8)}
    placed = layout.put(batch, 8)
    assert [s.data.tolist() for s in placed["label"].addressable_shards] == [[0, 1], [2, 3], [4, 5], [6, 7]]  # fmt: skip
    np.testing.assert_array_equal(placed["input"], batch["input"])
    stacked = layout.put({"label": np.arange(16).reshape(2, 8)}, 8, leading=1)["label"]
    assert stacked.addressable_shards[0].data.tolist() == [[0, 1], [8, 9]]


def test_one_device_leaves_batches_as_they_are():
    layout = layout_of(MeshConfig(data=1))
    batch = {"label": np.arange(3)}
    assert layout.is_single
    assert layout.put(batch, 3)["label"] is batch["label"]


@pytest.mark.parametrize(
    ("count", "accumulate", "message"),
    [
        (6, 1, "trainer.batch_size=6 cannot be cut into 4 equal parts (mesh data x fsdp = 4); use trainer.batch_size=8"),
        (12, 2, "trainer.batch_size=12 cannot be cut into 8 equal parts (mesh data x fsdp = 4 x trainer.accumulate=2); "
                "use trainer.batch_size=16"),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_cut_is_said(count, accumulate, message):
    layout = layout_of(MeshConfig(data=4))
    with pytest.raises(InputError) as caught:
        layout.check_rows("trainer.batch_size", count, accumulate)
    assert str(caught.value) == message


def test_metrics_are_put_on_all_devices():
    layout = layout_of(MeshConfig(data=4))
    average = nnx.metrics.Average("loss")
    layout.replicate(average)
    assert average.total.get_raw_value().sharding == layout.replicated
    assert len(jax.devices()) >= 4
