"""Properties of the graph functions on random object graphs with sharing and cycles, and of the structure cache.

Graphs are compared by :func:`describe`, which does not use the library's own walk.
"""

import copy
import dataclasses
import functools
import math
import pickle
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nnxtrain import nnx
from nnxtrain.nnx.graph.structure import structure_of, walk
from nnxtrain.nnx.transforms.lift import structure_of_roots


class Node(nnx.Module):
    def read(self):
        return len(vars(self))


class Scale(nnx.Param):
    pass


Pair = namedtuple("Pair", ["first", "second"])


@functools.partial(jax.tree_util.register_dataclass, data_fields=["inner"], meta_fields=["name"])
@dataclasses.dataclass(frozen=True)
class Wrapper:
    inner: object
    name: str


def free_function(*args):
    return len(args)


KINDS = [nnx.Param, Scale, nnx.BatchStat, nnx.Variable]
METADATA = [{}, {"tag": "a"}, {"out_sharding": ("data", None)}, {"tag": "b", "rate": 0.5}]
STATICS = [1, True, 1.0, "text", None, (1, 2), float("nan"), math.sin, -0.0]
KEYS = ["a", "b", "a.b", "items", "_x", "é", 3, "3"]

statics = st.sampled_from(STATICS)


@st.composite
def variables(draw):
    start = draw(st.integers(0, 9))
    value = draw(
        st.sampled_from(
            [float(start), jnp.arange(start, start + 3), {"w": jnp.ones(2), "n": start}]
        )
    )
    return draw(st.sampled_from(KINDS))(value, **draw(st.sampled_from(METADATA)))


@st.composite
def values(draw, nodes, shared):
    """A value for an attribute: something new, or something that the graph holds already."""
    held = draw(st.sampled_from(nodes))
    variable = draw(st.sampled_from(shared)) if shared else draw(variables())
    return draw(
        st.sampled_from(
            [
                held,
                variable,
                jnp.asarray(float(draw(st.integers(0, 9)))),
                np.arange(2.0),
                draw(statics),
                [variable, draw(statics), {draw(st.sampled_from(KEYS)): held}],
                {draw(st.sampled_from(KEYS)): variable, "k": draw(statics)},
                (variable, draw(statics), jnp.ones(2)),
                Pair(held, draw(statics)),
                Wrapper((variable, 1.0), "w"),
                functools.partial(free_function, held, key=variable),
                held.read,
            ]
        )
    )


@st.composite
def graphs(draw):
    """A root with modules, sharing, cycles, containers, Variables of several kinds, arrays and static values."""
    nodes = [Node() for _ in range(draw(st.integers(1, 4)))]
    shared = draw(st.lists(variables(), max_size=4))
    for i, node in enumerate(nodes[1:], 1):
        setattr(nodes[draw(st.integers(0, i - 1))], f"child{i}", node)  # all hang on the root
    for node in nodes:
        for j in range(draw(st.integers(0, 3))):
            setattr(node, f"a{j}", draw(values(nodes, shared)))
    return nodes[0]


def describe(root):
    """What a graph is: types, keys in order, values, metadata, and what is shared; equal for equal graphs."""
    return _Description().of(root)


def members(root):
    """The objects and Variables of a graph in the order of the first visit."""
    description = _Description()
    description.of(root)
    return description.members


class _Description:
    def __init__(self):
        self.numbers = {}
        self.members = []

    def of(self, value):
        if id(value) in self.numbers:
            return ("again", self.numbers[id(value)])
        if isinstance(value, nnx.Object | nnx.Variable):
            self.numbers[id(value)] = len(self.members)
            self.members.append(value)
        if isinstance(value, nnx.Variable):
            metadata = sorted(value.get_metadata().items())
            return (type(value), repr(metadata), self.of_value(value.get_raw_value()))
        if isinstance(value, nnx.List):
            return (type(value), [self.of(item) for item in value])
        if isinstance(value, nnx.Dict):
            return (type(value), [(repr(k), self.of(v)) for k, v in dict(value).items()])
        if isinstance(value, nnx.Object):
            return (type(value), [(k, self.of(v)) for k, v in vars(value).items()])
        if isinstance(value, functools.partial):
            keywords = [(k, self.of(v)) for k, v in value.keywords.items()]
            return ("partial", value.func.__name__, [self.of(v) for v in value.args], keywords)
        if hasattr(value, "__self__") and isinstance(value.__self__, nnx.Object):
            return ("method", value.__name__, self.of(value.__self__))
        if isinstance(value, tuple):
            return (type(value), [self.of(item) for item in value])
        if isinstance(value, Wrapper):
            return (Wrapper, value.name, self.of(value.inner))
        return self.of_value(value)

    def of_value(self, value):
        if isinstance(value, dict):
            return {key: self.of_value(inner) for key, inner in value.items()}
        if isinstance(value, jax.Array | np.ndarray) and not isinstance(value, jax.core.Tracer):
            return ("array", str(value.dtype), np.asarray(value).tolist())
        return (type(value), repr(value))


def bounded(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def live(root):
    return [m for m in members(root) if isinstance(m, nnx.Variable)]


def disjoint(a, b):
    return not set(map(id, members(a))) & set(map(id, members(b)))


def add_to_all(root, amount):
    for variable in live(root):
        variable.set_value(jax.tree.map(lambda x: x + amount, variable.get_value()))


@bounded(80)
@given(graphs(), st.permutations([0, 1, 2]))
def test_split_and_merge_are_inverse_and_the_parts_are_snapshots(root, order):
    before = describe(root)
    graphdef, *states = nnx.split(root, nnx.Param, nnx.BatchStat, ...)
    add_to_all(root, 1)
    merged = nnx.merge(graphdef, *(states[i] for i in order))
    assert describe(merged) == before
    assert disjoint(merged, root)
    add_to_all(merged, 5)
    assert describe(nnx.merge(graphdef, *states)) == before
    assert nnx.graphdef(merged) == graphdef == nnx.graphdef(root)
    assert hash(nnx.graphdef(merged)) == hash(graphdef)


@bounded(80)
@given(graphs())
def test_filters_part_the_state_completely(root):
    _, *states = nnx.split(root, nnx.Param, "a", ...)
    params, tagged, rest = (dict(nnx.to_flat_state(state)) for state in states)
    assert all(isinstance(v, nnx.Param) for v in params.values())
    assert all(v.tag == "a" and not isinstance(v, nnx.Param) for v in tagged.values())
    arrays = [v for v in rest.values() if not isinstance(v, nnx.Variable)]
    assert len(params) + len(tagged) + len(rest) - len(arrays) == len(live(root))
    kinds = sorted(type(v).__name__ for v in live(root))
    boxes = [*params.values(), *tagged.values(), *rest.values()]
    assert sorted(type(v).__name__ for v in boxes if isinstance(v, nnx.Variable)) == kinds


@bounded(80)
@given(graphs())
def test_clones_are_equal_and_share_what_they_are_told_to(root):
    before = describe(root)
    for copied in (
        nnx.clone(root),
        nnx.clone(root, arrays=True),
        copy.deepcopy(root),
        pickled(root),
    ):
        assert describe(copied) == before
        assert disjoint(copied, root)
        add_to_all(copied, 1)
    assert describe(root) == before
    for copied in (
        nnx.clone(root, variables=False),
        nnx.unflatten(*nnx.flatten(root)),
        nnx.recursive_map(lambda path, value: value, root),
    ):
        assert describe(copied) == before
        assert [id(v) for v in live(copied)] == [id(v) for v in live(root)]
        objects = [m for m in members(copied) if isinstance(m, nnx.Object)]
        assert not set(map(id, objects)) & set(map(id, members(root)))
    assert describe(nnx.unflatten(*nnx.flatten(root, with_paths=False))) == before


def pickled(root):
    return pickle.loads(pickle.dumps(root))


@bounded(80)
@given(graphs(), st.integers(-5, 5))
def test_update_writes_in_place_and_keeps_the_structure(root, amount):
    structure = structure_of(root)
    identities = list(map(id, members(root)))
    expected = nnx.clone(root)
    add_to_all(expected, amount)
    state = nnx.state(root, nnx.Variable)
    moved = state.map(lambda path, v: v.replace(jax.tree.map(lambda x: x + amount, v.get_value())))
    nnx.update(root, moved)
    assert describe(root) == describe(expected)
    assert list(map(id, members(root))) == identities
    assert structure_of(root) is structure
    add_to_all(root, 1)  # the state is the caller's, and stays as it is
    nnx.update(root, moved)
    assert describe(root) == describe(expected)


@bounded(60)
@given(graphs())
def test_every_path_to_a_shared_variable_leads_there(root):
    for paths in nnx.find_duplicates(root, only=nnx.Variable):
        for path in paths:
            nnx.update(root, nnx.from_flat_state({path: jnp.full(2, 7.0)}))
            held = nnx.variables(root)
            for key in paths[0]:
                held = held[key]
            assert held.value.tolist() == [7.0, 7.0]
            held.value = jnp.zeros(2)


@bounded(60)
@given(graphs(), st.sampled_from([nnx.Param, nnx.BatchStat, "a"]))
def test_pop_takes_out_what_is_meant_and_nothing_else(root, which):
    before = describe(root)
    meant = dict(nnx.to_flat_state(nnx.state(root, which)))
    others = [v for v in live(root) if not wanted(v, which)]
    try:
        popped = nnx.pop(root, which)
    except nnx.StructureError:  # one is in a tuple, a partial, ...
        assert describe(root) == before
        return
    taken = dict(nnx.to_flat_state(popped))
    assert set(taken) == set(meant)
    assert all(describe(taken[path]) == describe(meant[path]) for path in meant)
    assert list(map(id, live(root))) == list(map(id, others))
    assert not [v for v in live(root) if wanted(v, which)]
    assert structure_of(root).graphdef == walk(root).graphdef


def wanted(variable, which):
    if isinstance(which, str):
        return variable.get_metadata("tag", None) == which
    return isinstance(variable, which)


@bounded(60)
@given(graphs())
def test_walks_reach_everything_once(root):
    nodes = (nnx.Object, nnx.Variable)
    reached = [v for _, v in nnx.iter_graph(root) if isinstance(v, nodes)]
    assert sorted(map(id, reached)) == sorted(map(id, members(root)))
    assert reached[-1] is root
    shared = structure_of(root).graphdef.shared_paths
    if shared is None:
        nnx.split(root, graph=False)
        tree = jax.tree.map(lambda x: x, root)
        assert describe(tree) == describe(root)
    else:
        with pytest.raises(nnx.StructureError, match="one and the same"):
            nnx.split(root, graph=False)


@bounded(20)
@given(graphs())
def test_jit_of_the_identity_keeps_everything(root):
    before, identities = describe(root), list(map(id, members(root)))
    same, copied = nnx.jit(lambda root: (root, nnx.clone(root)))(root)
    assert same is root
    assert list(map(id, members(root))) == identities
    assert without_numpy(describe(root)) == without_numpy(before)
    assert without_numpy(describe(copied)) == without_numpy(before)
    assert disjoint(copied, root)


def without_numpy(description):
    return str(description).replace("float64", "float32")


@bounded(20)
@given(graphs())
def test_jit_computes_what_python_computes(root):
    expected = nnx.clone(root)
    add_to_all(expected, 2)
    identities = list(map(id, members(root)))
    nnx.jit(lambda root: add_to_all(root, 2))(root)
    assert without_numpy(describe(root)) == without_numpy(describe(expected))
    assert list(map(id, members(root))) == identities


class StructureCache(RuleBasedStateMachine):
    """Any changes to a graph, after each of which the cached structures must be those of a new walk."""

    @initialize(root=graphs())
    def start(self, root):
        self.root = root
        self.other = Node()
        self.other.link = root

    def some(self, kind, data):
        held = [m for m in members(self.root) if type(m) is kind or kind is nnx.Variable]
        held = [m for m in held if isinstance(m, kind)]
        return data.draw(st.sampled_from(held)) if held else None

    def value(self, data):
        nodes = [m for m in members(self.root) if isinstance(m, Node)]
        return data.draw(values(nodes, live(self.root)))

    @rule(data=st.data(), name=st.sampled_from(["a0", "a1", "new"]))
    def set_attribute(self, data, name):
        setattr(self.some(Node, data), name, self.value(data))

    @rule(data=st.data(), name=st.sampled_from(["a0", "a1", "child1", "new"]))
    def delete_attribute(self, data, name):
        node = self.some(Node, data)
        if name in vars(node):
            delattr(node, name)

    @rule(
        data=st.data(), what=st.sampled_from(["append", "insert", "pop", "set", "slice", "reverse"])
    )
    def change_list(self, data, what):
        items = self.some(nnx.List, data)
        if items is None:
            self.root.items = []
        elif what == "append":
            items.append(self.value(data))
        elif what == "insert":
            items.insert(0, self.value(data))
        elif what == "slice":
            items[0:1] = [self.value(data), data.draw(statics)]
        elif items and what == "pop":
            items.pop(data.draw(st.integers(-len(items), len(items) - 1)))
        elif items and what == "set":
            items[data.draw(st.integers(-len(items), len(items) - 1))] = self.value(data)
        elif what == "reverse":
            items.reverse()

    @rule(data=st.data(), key=st.sampled_from(KEYS), delete=st.booleans())
    def change_dict(self, data, key, delete):
        items = self.some(nnx.Dict, data)
        if items is None:
            self.root.table = {}
        elif delete:
            items.pop(key, None)
        else:
            items[key] = self.value(data)

    @rule(data=st.data())
    def write_a_value(self, data):
        variable = self.some(nnx.Variable, data)
        before = structure_of(self.root)
        if variable is not None:
            variable.set_value(jax.tree.map(lambda x: x + 1, variable.get_value()))
        assert structure_of(self.root) is before  # a value is no structure

    @rule(data=st.data(), name=st.sampled_from(["tag", "note"]), value=statics)
    def write_metadata(self, data, name, value):
        variable = self.some(nnx.Variable, data)
        if variable is not None:
            variable.set_metadata(name, value)

    @rule(data=st.data(), new=variables())
    def add_and_pop(self, data, new):
        node = self.some(Node, data)
        node.fresh = nnx.Cache(new)
        popped = nnx.pop(self.root, nnx.Cache)
        assert [type(v) for _, v in nnx.to_flat_state(popped)] == [nnx.Cache]

    @invariant()
    def caches_agree_with_a_new_walk(self):
        if not hasattr(self, "root"):
            return
        for held, fresh in (
            (structure_of(self.root), walk(self.root)),
            (structure_of(self.other), walk(self.other)),
            (structure_of_roots((self.root, self.other)), walk((self.root, self.other))),
        ):
            assert held.graphdef == fresh.graphdef
            boxes = [leaf for leaf in fresh.leaves if isinstance(leaf, nnx.Variable)]
            assert [id(x) for x in held.leaves if isinstance(x, nnx.Variable)] == list(
                map(id, boxes)
            )
            for ours, theirs in zip(held.values(), fresh.values(), strict=True):
                jax.tree.map(np.testing.assert_array_equal, ours, theirs)


StructureCache.TestCase.settings = settings(bounded(60), stateful_step_count=15)
TestStructureCache = StructureCache.TestCase
