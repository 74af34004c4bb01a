import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


def test_the_value_is_read_and_written():
    v = nnx.Param(jnp.ones(3))
    v.value = v.value + 1
    v[0] = 5.0
    v[...] = v[...] * 2
    assert v.value.tolist() == [10.0, 4.0, 4.0]
    assert v.get_value(index=0) == 10.0


@pytest.mark.parametrize("value", [1, 1.5, True, np.float64(2.0), np.arange(3), [1.0][0]])
def test_values_become_strong_jax_arrays(value):
    held = nnx.Variable(value).value
    assert isinstance(held, jax.Array)
    assert not held.weak_type


def test_a_weakly_typed_result_becomes_strong():
    v = nnx.Variable(jnp.asarray(1.0))
    v.value = jnp.asarray(2.0) * 1
    assert not v.value.weak_type


def test_operators_act_on_the_value():
    v, w = nnx.Param(jnp.array([1.0, 2.0])), nnx.Param(jnp.array([3.0, 4.0]))
    assert (v + w).tolist() == [4.0, 6.0]
    assert (1 - v).tolist() == [0.0, -1.0]
    assert (v @ w) == 11.0
    assert (-v).tolist() == [-1.0, -2.0]
    assert (v == jnp.array([1.0, 0.0])).tolist() == [True, False]
    assert jnp.sum(v) == 3.0
    assert v.sum() == 3.0
    assert len(v) == 2
    assert float(nnx.Variable(2.5)) == 2.5
    assert list(range(3))[nnx.Variable(1)] == 1


def test_metadata_is_read_as_attributes_and_written():
    v = nnx.Param(jnp.ones(2), sharding=("data",))
    assert v.sharding == ("data",)
    v.note = "x"
    assert v.get_metadata() == {"sharding": ("data",), "note": "x"}
    v.del_metadata("note")
    assert not v.has_metadata("note")
    with pytest.raises(AttributeError, match="no metadata 'nothing'"):
        _ = v.nothing


def test_hooks_see_reads_and_writes():
    v = nnx.Variable(
        jnp.array(1.0),
        on_get_value=lambda variable, value: value + 1,
        on_set_value=lambda variable, value: value * 10,
        on_create_value=lambda variable, value: value + 100,
    )
    assert v.raw_value == 101.0
    assert v.value == 102.0
    v.value = 3.0
    assert v.raw_value == 30.0


def test_copies_share_no_writes():
    v = nnx.Param(jnp.ones(2), tag="a")
    for other in (
        v.copy(),
        copy.copy(v),
        copy.deepcopy(v),
        pickle.loads(pickle.dumps(v)),
        nnx.Param(v),
    ):
        assert type(other) is nnx.Param
        assert other.tag == "a"
        other.value = jnp.zeros(2)
        assert v.value.tolist() == [1.0, 1.0]


def test_a_variable_is_a_pytree_of_its_value():
    v = nnx.BatchStat(jnp.ones(2), tag="a")
    doubled = jax.tree.map(lambda x: 2 * x, v)
    assert type(doubled) is nnx.BatchStat
    assert doubled.value.tolist() == [2.0, 2.0]
    assert doubled.tag == "a"
    assert jax.jit(lambda v: v)(v).value.tolist() == [1.0, 1.0]


def test_subclasses_are_kinds_of_their_own():
    class Counter(nnx.Variable):
        pass

    class M(nnx.Module):
        def __init__(self):
            self.n = Counter(0)
            self.p = nnx.Param(jnp.ones(1))

    assert list(nnx.state(M(), Counter)) == ["n"]


def test_names_of_kinds():
    assert nnx.variable_type_from_name("params") is nnx.Param
    assert nnx.variable_name_from_type(nnx.BatchStat) == "batch_stats"
    with pytest.raises(ValueError, match="no Variable kind is named"):
        nnx.variable_type_from_name("nope")
    made = nnx.variable_type_from_name("my_stats", allow_register=True)
    assert made.__name__ == "MyStats"
    with pytest.raises(ValueError, match="belongs to"):
        nnx.register_variable_name("params", made)


def test_a_write_under_a_foreign_jax_transform_raises_and_a_leak_is_impossible():
    v = nnx.Param(jnp.ones(2))

    def write(x):
        v.value = x
        return x

    for transform in (jax.jit, jax.vmap, jax.grad):
        with pytest.raises(nnx.TraceError, match="made outside"):
            transform(lambda x: write(x).sum())(jnp.ones(2))
    assert v.value.tolist() == [1.0, 1.0]


def test_hooks_see_the_metadata_of_the_new_variable():
    v = nnx.Variable(2.0, factor=3, on_create_value=lambda variable, value: value * variable.factor)
    assert v.value == 6.0


def test_in_place_operators_refuse_to_replace_the_variable():
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match=r"variable\.value \+="):
        model.bias += 1
    assert isinstance(model.bias, nnx.Param)


def test_the_less_common_operators():
    v = nnx.Variable(2.5)
    assert round(nnx.Variable(2.25), 1) == pytest.approx(2.2, abs=0.06)
    assert [float(x) for x in divmod(v, 1.0)] == [2.0, 0.5]
    assert complex(v) == 2.5
    assert 3 in nnx.Variable(jnp.arange(4))
    assert (nnx.Variable(6) & 3) == 2


def test_leaves_of_a_pytree_value_become_strong_arrays_too():
    v = nnx.Variable({"a": np.zeros(2), "n": 0, "none": None})
    count = nnx.jit(lambda v: v.set_value({**v.value, "n": v.value["n"] + 1}))
    for _ in range(3):
        count(v)
    assert count._cache_size() == 1
    assert v.value["n"] == 3
    assert v.value["none"] is None


def test_initialisers_with_hooks_and_metadata():
    init = nnx.with_metadata(jax.nn.initializers.ones, lambda variable, value: value * 10, note="x")
    v = nnx.Param(init(jax.random.key(0), (2,)))
    v.value = v.value + 1
    assert v.value.tolist() == [20.0, 20.0]
    assert v.note == "x"
    assert not v.has_metadata("on_get_value")


def test_a_write_of_the_whole_keeps_shape_and_dtype():
    v = nnx.Param(jnp.ones((2, 3), jnp.bfloat16))
    v[...] = 0.5
    assert (v.shape, v.dtype, float(v.sum())) == ((2, 3), jnp.bfloat16, 3.0)
    with pytest.raises(ValueError, match="broadcast"):
        v[...] = jnp.ones(5, jnp.bfloat16)
    v.value = jnp.ones(5)  # this may change the shape
    assert v.shape == (5,)


def test_a_part_is_written_without_the_read_hooks():
    v = nnx.Variable(
        jnp.zeros(2), on_get_value=lambda v, x: x + 1, on_set_value=lambda v, x: x * 10
    )
    v[0] = 2.0
    assert v.raw_value.tolist() == [20.0, 0.0]
    v.raw_value = jnp.ones(2)
    assert v.value.tolist() == [2.0, 2.0]


def test_values_that_are_containers_change_by_item_and_not_behind_the_back():
    v = nnx.Variable({"a": 1.0, "b": {"c": 2.0}})
    snapshot = v.copy()
    v["a"] = 5.0
    v.value["b"]["c"] = 7.0  # a copy
    assert (float(v["a"]), float(v["b"]["c"]), float(snapshot["a"])) == (5.0, 2.0, 1.0)
    del v["b"]
    assert list(v.value) == ["a"]


def test_kinds_may_have_hooks_of_their_own():
    class Positive(nnx.Param):
        def create_value(self, value):
            return value + self.offset

        def on_set_value(self, value):
            return jnp.maximum(value, 0.0)

    class Smaller(Positive):
        pass

    v = Smaller(jnp.array(1.0), offset=2.0)
    assert v.value == 3.0
    v.value = jnp.array(-5.0)
    assert v.value == 0.0


def test_axis_hooks_are_told():
    told = []
    hook = lambda v, index, name: told.append((index, name))  # noqa: E731
    v = nnx.Param(
        nnx.with_metadata(jax.nn.initializers.zeros, on_add_axis=hook, on_remove_axis=[hook, hook])(
            jax.random.key(0), (2,)
        )
    )
    v.add_axis(0, "layers")
    v.remove_axis(1, None)
    assert told == [(0, "layers"), (1, None), (1, None)]


def test_sharding_names_are_found_under_each_of_their_names():
    for name in ("out_sharding", "sharding", "sharding_names"):
        assert nnx.Param(1.0, **{name: ("data",)}).sharding_names == ("data",)
    assert nnx.Param(1.0).sharding_names is None


def test_metadata_calls_that_make_no_sense_raise():
    v = nnx.Param(1.0, tag="a")
    assert v.get_metadata(exclude_required=True) == {"tag": "a"}
    assert v.get_metadata("no", 5) == 5
    for call in (
        lambda: v.set_metadata(),
        lambda: v.set_metadata({}, tag="b"),
        lambda: v.set_metadata("a", 1, 2),
        lambda: v.get_metadata("tag", exclude_required=True),
        lambda: v.get_metadata(default=1),
    ):
        with pytest.raises(TypeError, match="metadata takes"):
            call()
    with pytest.raises(KeyError):
        v.del_metadata("no")
    del v.tag
    assert v.get_metadata() == {}


def test_modes_that_do_not_exist_are_refused():
    assert (nnx.Param(1.0, ref=False, hijax=None).get_metadata(), nnx.Param(1.0).ref) == ({}, False)
    with pytest.raises(ValueError, match=r"Param\(hijax=True\)"):
        nnx.Param(1.0, hijax=True)


def test_a_variable_takes_over_another():
    v, w = nnx.Param(1.0, a=1), nnx.BatchStat(2.0, b=2)
    v.update_from_state(w)
    assert (type(v), float(v.value), v.get_metadata()) == (nnx.Param, 2.0, {"b": 2})
    with pytest.raises(ValueError, match="cannot copy a BatchStat into a Param"):
        v.copy_from(w)


def test_annotated_initialisers_can_be_pickled_and_compared():
    from nnxtrain.nnx.graph.static import Static

    make = lambda: nnx.with_metadata(jnp.zeros, out_sharding=("x",))  # noqa: E731
    again = pickle.loads(pickle.dumps(make()))
    assert nnx.Param(again((2,))).out_sharding == ("x",)
    assert Static(make()) == Static(make())
