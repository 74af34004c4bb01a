"""nnx.struct.dataclass."""

import dataclasses
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import checkify

from nnxtrain import nnx


@nnx.struct.dataclass
class Line:
    slope: jax.Array
    offset: jax.Array | float = 0.0
    name: str = nnx.struct.field(pytree_node=False, default="line")
    act: object = nnx.struct.field(pytree_node=False, default=None)

    def __call__(self, x):
        return self.slope * x + self.offset


def test_frozen_and_replaced():
    line = Line(jnp.array(2.0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        line.slope = 1.0
    other = line.replace(offset=3.0, name="other")
    assert (line.offset, line.name, other.offset, other.name) == (0.0, "line", 3.0, "other")
    assert other.slope is line.slope
    with pytest.raises(TypeError, match="unexpected keyword"):
        line.replace(gradient=1.0)
    assert dataclasses.is_dataclass(Line)
    assert pickle.loads(pickle.dumps(other)).name == "other"


def test_transformations_and_paths():
    line = Line(jnp.array(2.0), jnp.array(1.0))
    grads = jax.grad(lambda line: line(3.0) ** 2)(line)
    assert (type(grads), float(grads.slope), float(grads.offset)) == (Line, 42.0, 14.0)
    assert jax.vmap(lambda line: line(1.0))(Line(jnp.arange(3.0), jnp.ones(3))).tolist() == [
        1,
        2,
        3,
    ]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(line)]
    assert paths == [".slope", ".offset"]


def test_checkify_names_its_fields():
    def f(line):
        checkify.check(line.slope > 0, "slope is {}", line.slope)
        return line

    error, out = checkify.checkify(f)(Line(jnp.array(-1.0)))
    assert "slope is -1.0" in error.get()
    assert isinstance(out, Line)


def test_static_fields_compile_anew_and_compare_with_their_types():
    traced = []

    @jax.jit
    def f(line):
        traced.append(line.name)
        return line.replace(slope=line.slope + 1)

    line = Line(jnp.array(2.0), jnp.array(0.0))
    for name in ("a", "a", "b", 1, True, 1.0):
        assert f(line.replace(name=name)).name is name
    assert traced == ["a", "b", 1, True, 1.0]
    for _ in range(2):  # equal partials, and values that cannot be hashed, are one program
        f(line.replace(act=partial(jax.nn.gelu, approximate=True)))
        f(line.replace(act=["list", {"of": 1}]))
    assert len(traced) == 7
    with pytest.raises(ValueError, match=r"[Ss]tructure|node data|Mismatch|metadata"):
        jax.tree.map(jnp.add, line, line.replace(name="b"))


def test_options_of_dataclass():
    @nnx.struct.dataclass(kw_only=True, eq=False)
    class Options:
        a: int
        b: int = nnx.struct.field(pytree_node=False, metadata={"unit": "m"}, default=1)

    with pytest.raises(TypeError, match="positional"):
        Options(1)
    assert dataclasses.fields(Options)[1].metadata == {"pytree_node": False, "unit": "m"}
    assert jax.tree.leaves(Options(a=1)) == [1]
    assert nnx.struct.dataclass(Options) is Options


def test_inheritance_and_post_init():
    @nnx.struct.dataclass
    class Base:
        x: jax.Array

        def __post_init__(self):
            if not hasattr(self.x, "shape"):
                raise TypeError("x must be an array")

    @nnx.struct.dataclass
    class Derived(Base):
        y: jax.Array

    value = Derived(jnp.ones(1), jnp.zeros(2))
    assert len(jax.tree.leaves(value)) == 2
    assert jax.tree.map(lambda _: None, value).x is None  # trees are rebuilt without __post_init__
    with pytest.raises(TypeError, match="must be an array"):
        Derived(1, 2)

    class Node(nnx.struct.PyTreeNode):
        x: jax.Array

    class Leaf(Node):
        y: jax.Array

    assert jax.tree.leaves(Leaf(1, 2).replace(y=3)) == [1, 3]


def test_modules_inside():
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    line = Line(model)
    assert len(jax.tree.leaves(line)) == 3

    @nnx.jit
    def write(line):
        line.slope.bias.value += 1.0

    write(line)
    assert model.bias.value[0] == 1.0
