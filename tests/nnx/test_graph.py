"""The graph functions by example; test_graph_properties.py has their properties."""

import jax
import jax.numpy as jnp
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.graph.structure import Check, structure_of


class Node(nnx.Module):
    pass


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


def test_graph_false_names_both_paths_of_what_is_shared():
    node = Node()
    node.a = [nnx.Param(1.0)]
    node.b = (node.a[0],)
    message = r"a\.0 and b\.0 are one and the same"
    for function in (
        nnx.split, nnx.state, nnx.variables, nnx.graphdef, nnx.clone, nnx.flatten, nnx.as_abstract,
        lambda node, graph: list(nnx.iter_graph(node, graph=graph)),
        lambda node, graph: nnx.recursive_map(lambda path, value: value, node, graph=graph),
        lambda node, graph: nnx.view(node, graph=graph),
    ):  # fmt: skip
        function(node, graph=None)
        with pytest.raises(nnx.StructureError, match=message):
            function(node, graph=False)
    node.b = node
    with pytest.raises(nnx.StructureError, match="the root and b are one"):
        nnx.split(node, graph=False)


def test_a_state_may_name_a_shared_variable_by_any_of_its_paths():
    node = Node()
    node.z = node.a = nnx.Param(1.0)
    assert nnx.graphdef(node).paths == (("z",),)
    nnx.update(node, {"a": jnp.asarray(2.0)})
    assert node.z.value == 2.0
    merged = nnx.merge(nnx.graphdef(node), nnx.State({"a": nnx.Param(3.0)}))
    assert merged.z is merged.a
    assert merged.z.value == 3.0


def test_update_writes_nothing_if_a_path_is_unknown():
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="unexpected other"):
        nnx.update(model, {"bias": jnp.ones(1), "other": jnp.ones(1)})
    assert model.bias.value == 0.0


def test_merge_takes_lists_of_leaves_and_bare_values():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    graphdef, leaves = nnx.flatten(model, with_paths=False)
    merged = nnx.merge(graphdef, leaves)
    assert isinstance(merged.kernel, nnx.Param)
    bare = nnx.merge(graphdef, leaves, recreate_variables=False)
    assert bare.kernel is leaves[0]
    with pytest.raises(ValueError, match="has 2 leaves, and 1 were given"):
        nnx.merge(graphdef, leaves[:1])
    with pytest.raises(TypeError, match="needs a state"):
        nnx.merge(graphdef)
    with pytest.raises(TypeError, match="takes a GraphDef first"):
        nnx.merge(model)


def test_clones_may_have_arrays_of_their_own():
    model = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    shared, own = nnx.clone(model), nnx.clone(model, arrays=True)
    assert shared.rngs.count.value is model.rngs.count.value
    pointer = model.rngs.count.value.unsafe_buffer_pointer()
    assert own.rngs.count.value.unsafe_buffer_pointer() != pointer
    assert (own.rngs.key.value == model.rngs.key.value).all()
    with pytest.raises(ValueError, match="copies the Variables too"):
        nnx.clone(model, False, arrays=True)


def test_pop_does_not_leave_a_variable_behind_in_a_tuple():
    node = Node()
    node.v = nnx.Intermediate(1.0)
    node.pair = (node.v, 1)
    with pytest.raises(nnx.StructureError, match=r"cannot take v out"):
        nnx.pop(node, nnx.Intermediate)
    assert isinstance(node.v, nnx.Intermediate)


def test_recursive_map_refuses_to_replace_a_part_of_a_cycle():
    node = Node()
    node.inner = Node()
    node.inner.back = node.inner
    with pytest.raises(nnx.StructureError, match=r"inner was replaced, but is part of a cycle"):
        nnx.recursive_map(lambda path, value: Node() if path == ("inner",) else value, node)


def test_children_are_objects_and_variables():
    node = Node()
    node.a, node.b, node.c, node.d = nnx.Param(1.0), [1], 5, jnp.ones(1)
    assert [name for name, _ in nnx.iter_children(node)] == ["a", "b"]
    with pytest.raises(TypeError, match="a int has no children"):
        nnx.iter_children(5)


def test_keys_of_any_kind():
    node = Node()
    node.table = {
        "a.b": nnx.Param(1.0),
        3: nnx.Param(2.0),
        "3": nnx.Param(3.0),
        "items": nnx.Param(4.0),
    }
    setattr(node, "with space", nnx.Param(5.0))
    merged = nnx.merge(*nnx.split(node))
    assert [float(merged.table[k].value) for k in ("a.b", 3, "3", "items")] == [1.0, 2.0, 3.0, 4.0]
    assert dict(merged.table.items()).keys() == dict(node.table.items()).keys()
    doubled = jax.tree.map(lambda x: 2 * x, nnx.state(node))
    nnx.update(node, doubled)
    assert (node.table["3"].value, getattr(node, "with space").value) == (6.0, 10.0)


def test_states_of_a_class_of_ones_own_stay_what_they_are():
    class Gradients(nnx.State):
        pass

    grads = Gradients({"a": {"b": jnp.ones(2)}, "c": jnp.ones(1)})
    doubled = jax.tree.map(lambda x: 2 * x, grads)
    assert (
        type(doubled)
        is type(doubled.a)
        is type(grads | grads)
        is type(grads.map(lambda p, v: v))
        is Gradients
    )
    assert type(grads.filter(lambda path, v: "a" in path)) is Gradients
    assert type(Gradients.merge(nnx.State({"d": 1}), grads)) is Gradients
    with pytest.raises(ValueError, match="_copy=False takes a dict"):
        nnx.State([("a", 1)], _copy=False)


def test_pure_dicts_from_text_formats_find_their_int_keys():
    node = Node()
    node.layers = [nnx.Param(1.0), nnx.Param(2.0)]
    state = nnx.state(node)
    nnx.replace_by_pure_dict(state, {"layers": {"1": jnp.asarray(5.0)}})
    assert state.layers[1].value == 5.0
    with pytest.raises(ValueError, match=r"no leaf at layers\.2"):
        nnx.replace_by_pure_dict(state, {"layers": {"0": jnp.zeros(()), "2": jnp.zeros(())}})
    assert state.layers[0].value == 1.0


def test_everything_may_stand_last_more_than_once():
    model = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    _, params, rest, none = nnx.split(model, nnx.Param, ..., True)
    assert (len(params), len(rest), len(none)) == (2, 2, 0)
    with pytest.raises(ValueError, match="may only stand last"):
        nnx.split(model, ..., nnx.Param)
