"""Properties of flatten, build, split, merge, clone and update on random object graphs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnxtrain import nnx
from nnxtrain.nnx.graph import Check, structure_of, walk


class Node(nnx.Module):
    pass


KINDS = [nnx.Param, nnx.BatchStat, nnx.Variable]
STATICS = [1, True, 1.0, "text", None, (1, 2), float("nan"), jax.nn.relu]


@st.composite
def graphs(draw):
    """A random graph: modules with sharing and cycles, lists, dicts, tuples, arrays, static values."""
    nodes = [Node() for _ in range(draw(st.integers(1, 5)))]
    variables = [
        draw(st.sampled_from(KINDS))(jnp.asarray(float(i))) for i in range(draw(st.integers(0, 4)))
    ]
    for i, node in enumerate(nodes):
        if i:
            setattr(
                nodes[draw(st.integers(0, i - 1))], f"child{i}", node
            )  # everything hangs on the root
        for j in range(draw(st.integers(0, 4))):
            what = draw(st.integers(0, 6))
            if what == 0:
                value = draw(st.sampled_from(nodes))
            elif what in (1, 2) and variables:
                value = draw(st.sampled_from(variables))
            elif what == 3:
                value = jnp.asarray(float(j))
            elif what == 4:
                value = [
                    draw(st.sampled_from(STATICS)),
                    draw(st.sampled_from(nodes)),
                    {"k": draw(st.sampled_from(STATICS))},
                ]
            elif what == 5 and variables:
                value = (
                    draw(st.sampled_from(variables)),
                    draw(st.sampled_from(STATICS)),
                    jnp.asarray(2.0),
                )
            else:
                value = draw(st.sampled_from(STATICS))
            setattr(node, f"a{j}", value)
    return nodes[0]


def values_of(node):
    return [np.asarray(v).tolist() for v in walk(node).values()]


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_split_and_merge_are_inverse(root):
    graphdef, state = nnx.split(root)
    merged = nnx.merge(graphdef, state)
    assert nnx.graphdef(merged) == graphdef
    assert hash(nnx.graphdef(merged)) == hash(graphdef)
    assert values_of(merged) == values_of(root)
    assert type(merged) is type(root)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_clones_keep_sharing_and_share_nothing(root):
    copied = nnx.clone(root)
    assert nnx.find_duplicates(copied) == nnx.find_duplicates(root)
    ours, theirs = walk(root), walk(copied)
    assert not {id(n) for n in ours.nodes if isinstance(n, nnx.Object | nnx.Variable)} & {
        id(n) for n in theirs.nodes if isinstance(n, nnx.Object | nnx.Variable)
    }
    before = values_of(root)
    for leaf in theirs.leaves:
        if isinstance(leaf, nnx.Variable):
            leaf.value = leaf.value + 100.0
    assert values_of(root) == before


@settings(max_examples=100, deadline=None)
@given(graphs(), st.floats(-5, 5, width=32))
def test_update_writes_in_place_and_keeps_the_structure(root, amount):
    structure = structure_of(root)
    _graphdef, variables, _rest = nnx.split(root, nnx.Variable, ...)
    nnx.update(root, jax.tree.map(lambda x: x + amount, variables))
    assert structure_of(root) is structure
    moved = nnx.state(root, nnx.Variable)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a + amount, b), variables, moved)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_filters_part_the_state_completely(root):
    graphdef, params, stats, rest = nnx.split(root, nnx.Param, nnx.BatchStat, ...)
    assert nnx.graphdef(nnx.merge(graphdef, params, stats, rest)) == graphdef
    assert all(isinstance(v, nnx.Param) for _, v in nnx.to_flat_state(params))
    number = sum(len(nnx.to_flat_state(s)) for s in (params, stats, rest))
    assert number == graphdef.num_leaves


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_jit_returns_what_python_computes(root):
    def bump(root):
        for leaf in walk(root).leaves:
            if isinstance(leaf, nnx.Variable):
                leaf.value = leaf.value * 2 + 1

    expected = nnx.clone(root)
    bump(expected)
    identity = [id(n) for n in walk(root).nodes if isinstance(n, nnx.Object | nnx.Variable)]
    nnx.jit(bump)(root)
    assert values_of(root) == values_of(expected)
    assert [id(n) for n in walk(root).nodes if isinstance(n, nnx.Object | nnx.Variable)] == identity


def test_state_is_a_snapshot():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    state = nnx.state(model)
    model.bias.value = jnp.ones(2)
    assert state["bias"].value.tolist() == [0.0, 0.0]
    state["bias"].value = jnp.full(2, 5.0)
    assert model.bias.value.tolist() == [1.0, 1.0]
    live = nnx.variables(model)
    assert live["bias"] is model.bias


def test_merge_and_update_name_the_paths_that_do_not_fit():
    graphdef, state = nnx.split(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    del state["bias"]
    with pytest.raises(ValueError, match="missing bias"):
        nnx.merge(graphdef, state)
    with pytest.raises(ValueError, match=r"unexpected a\.b"):
        nnx.update(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), nnx.State({"a": {"b": jnp.ones(1)}}))
    with pytest.raises(ValueError, match="no filter takes"):
        nnx.split(nnx.BatchNorm(2, rngs=nnx.Rngs(0)), nnx.Param)


def test_static_values_are_compared_with_their_types():
    def graphdef_with(value):
        node = Node()
        node.x = value
        return nnx.graphdef(node)

    assert graphdef_with(1) != graphdef_with(True)
    assert graphdef_with(1) != graphdef_with(1.0)
    assert graphdef_with(0.0) != graphdef_with(-0.0)
    assert graphdef_with(float("nan")) == graphdef_with(float("nan"))
    assert graphdef_with((1, (2,))) != graphdef_with((1, (2.0,)))


def test_versions_count_structure_alone():
    node = Node()
    node.v = nnx.Param(jnp.ones(2))
    node.h = jnp.zeros(2)
    node.n = 1
    structure = structure_of(node)
    node.v.value = jnp.zeros(2)
    node.h = jnp.ones(2)
    node.n = 1
    assert structure_of(node) is structure
    for change in (
        lambda: setattr(node, "n", 2),
        lambda: setattr(node, "new", [1]),
        lambda: node.new.append(node),
        lambda: setattr(node, "v", nnx.Param(jnp.ones(2))),
        lambda: delattr(node, "n"),
        lambda: setattr(node.v, "note", 1),
    ):
        before = structure_of(node)
        change()
        assert structure_of(node) is not before


def test_check_mode_notices_what_versions_cannot_see(monkeypatch):
    class Box:
        def __init__(self):
            self.rate = 1.0

        def __eq__(self, other):
            return self.rate == other.rate

        def __hash__(self):
            return hash(self.rate)

    node = Node()
    node.x = jnp.ones(1)
    structure_of(node)
    vars(node)["sneaked"] = 3
    assert Check.enabled
    with pytest.raises(nnx.StructureError, match="sneaked changed without an attribute write"):
        structure_of(node)


def test_dicts_keep_their_order_through_a_clone():
    node = Node()
    node.layers = {"b": nnx.Param(1.0), "a": nnx.Param(2.0)}
    assert list(nnx.clone(node).layers) == ["b", "a"]


def test_methods_and_partials_of_the_graph_follow_the_clone():
    from functools import partial

    class Owner(nnx.Module):
        def __init__(self):
            self.v = nnx.Param(jnp.ones(()))
            self.get = self.read
            self.part = partial(Owner.read, self)

        def read(self):
            return self.v.value

    owner = Owner()
    copied = nnx.clone(owner)
    copied.v.value = 7.0
    assert copied.get() == 7.0
    assert copied.part() == 7.0
    assert owner.get() == 1.0


def test_pop_takes_sown_values_out():
    class M(nnx.Module):
        def __call__(self, x):
            self.sow(nnx.Intermediate, "seen", x)
            return x

    m = M()
    m(jnp.ones(1))
    m(jnp.zeros(1))
    popped = nnx.pop(m, nnx.Intermediate)
    assert [float(x[0]) for x in popped["seen"].value] == [1.0, 0.0]
    assert not hasattr(m, "seen")


def test_modules_are_pytrees():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    grads = jax.grad(lambda m: m(jnp.ones((1, 2))).sum())(model)
    assert isinstance(grads, nnx.Linear)
    assert grads.kernel.value.tolist() == [[1.0] * 3] * 2
    stacked = jax.vmap(lambda s: jax.tree.map(lambda x: x * s, model))(jnp.arange(2.0))
    assert stacked.kernel.value.shape == (2, 2, 3)
    names = [
        jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(model)[0]
    ]
    assert names == [".kernel.value", ".bias.value"]


def test_sharing_and_cycles_are_no_trees():
    node = Node()
    node.a = node.b = nnx.Param(jnp.ones(1))
    with pytest.raises(nnx.StructureError, match=r"nnx\.split"):
        jax.tree.leaves(node)
    node = Node()
    node.me = node
    with pytest.raises(nnx.StructureError, match=r"nnx\.split"):
        jax.tree.leaves(node)


def test_a_dead_model_is_freed_at_once():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
        jitted = nnx.jit(lambda m, n: m(n(jnp.ones((1, 2)))))
        other = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
        jitted(model, other)
        nnx.state(model)
        dead = weakref.ref(model.kernel)
        del model
        assert dead() is None
    finally:
        gc.enable()


def test_pop_takes_several_items_of_a_list():
    node = Node()
    node.items = [nnx.Intermediate(1.0), nnx.Intermediate(2.0), nnx.Param(3.0)]
    popped = nnx.pop(node, nnx.Intermediate)
    assert [float(v.value) for _, v in nnx.to_flat_state(popped)] == [1.0, 2.0]
    assert [float(v.value) for v in node.items] == [3.0]


def test_pop_says_that_it_cannot_change_a_tuple():
    node = Node()
    node.pair = (nnx.Intermediate(1.0), nnx.Param(2.0))
    with pytest.raises(nnx.StructureError, match=r"pair\.0 .* use a list"):
        nnx.pop(node, nnx.Intermediate)
    assert len(node.pair) == 2


def test_a_variable_is_a_graph_by_itself():
    v = nnx.Param(1.0, tag="a")
    graphdef, state = nnx.split(v)
    merged = nnx.merge(graphdef, state)
    assert (type(merged), float(merged.value), merged.tag) == (nnx.Param, 1.0, "a")
    nnx.update(v, nnx.state(nnx.Param(2.0)))
    assert v.value == 2.0
    with pytest.raises(nnx.StructureError, match="the Variable itself"):
        nnx.pop(v, nnx.Param)


def test_recursive_map_reaches_what_is_shared_and_what_tuples_hold():
    shared = nnx.Param(1.0)
    node, left, right = Node(), Node(), Node()
    left.s = right.s = shared
    node.left, node.right, node.pair, node.me = left, right, (shared, 1), node

    def add_one(path, value):
        return value.replace(value.value + 1) if isinstance(value, nnx.Variable) else value

    mapped = nnx.recursive_map(add_one, node)
    assert mapped.left.s is mapped.right.s is mapped.pair[0]
    assert mapped.pair[0].value == 2.0
    assert mapped.me is mapped
    assert shared.value == 1.0


def test_duplicates_are_found_inside_tuples():
    node = Node()
    node.v = nnx.Param(1.0)
    node.pair = (node.v, 1)
    node.me = node
    assert sorted(nnx.find_duplicates(node)) == [[(), ("me",)], [("v",), ("pair", 0)]]
    assert nnx.find_duplicates(node, only=nnx.Param) == [[("v",), ("pair", 0)]]


def test_modules_come_in_order_children_first():
    node = Node()
    node.a, node.b = Node(), Node()
    node.a.c = Node()
    assert [path for path, _ in node.iter_modules()] == [("a", "c"), ("a",), ("b",), ()]


def test_copies_of_a_frozen_model_are_not_frozen():
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    with nnx.frozen(model), nnx.frozen(model.bias):
        copied, merged = nnx.clone(model), nnx.merge(*nnx.split(model))
    for copy in (copied, merged):
        copy.bias.value = jnp.ones(1)


def test_properties_of_a_module_have_their_setters_and_deleters():
    class Scaled(nnx.Module):
        def __init__(self):
            self.raw = 1

        @property
        def scale(self):
            return self.raw * 10

        @scale.setter
        def scale(self, value):
            self.raw = value / 10

        @scale.deleter
        def scale(self):
            del self.raw

    module = Scaled()
    module.scale = 30
    assert (module.raw, module.scale) == (3.0, 30.0)
    del module.scale
    assert not hasattr(module, "raw")
    with pytest.raises(AttributeError):
        del module.nothing


def test_containers_can_be_subclassed_and_lists_have_no_attributes():
    class Stack(nnx.List):
        def push(self, value):
            self.append(value)

    stack = Stack([1])
    stack.push(2)
    assert list(nnx.clone(stack)) == [1, 2]
    assert type(nnx.clone(stack)) is Stack
    with pytest.raises(AttributeError, match="items and no attributes"):
        stack.name = "x"
