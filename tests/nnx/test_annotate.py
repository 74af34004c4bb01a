"""data, static, Pytree, dataclass, cached properties, views."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from nnxtrain import nnx


class Box(nnx.Pytree):
    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


def test_numbers_that_are_data_do_not_compile_anew():
    box = Box(step=nnx.data(0), name="a")
    count = nnx.jit(lambda box: setattr(box, "step", box.step + 1))
    for _ in range(3):
        count(box)
    box.step = 7
    count(box)
    assert (int(box.step), count._cache_size()) == (8, 1)
    assert nnx.state(box)["step"] == 8


def test_data_takes_pytrees_and_names_what_it_cannot_take():
    assert isinstance(nnx.data([1]), nnx.List)
    assert [type(x) for x in jax.tree.leaves(nnx.data((1, {"a": 2.0})))] == [type(jnp.ones(1))] * 2
    assert nnx.data(None) is None
    with pytest.raises(TypeError, match="a str is no data"):
        nnx.data(("text", 1))
    with pytest.raises(TypeError, match="not both"):
        nnx.data(1, default=2)
    with pytest.raises(ValueError, match="cannot be static"):
        nnx.static((jnp.ones(1), 2))
    with pytest.raises(ValueError, match="belongs to"):
        nnx.static(metadata={"static": True})


def test_registered_types_are_leaves():
    @nnx.register_data_type
    @functools.partial(
        jax.tree_util.register_dataclass, data_fields=["low", "high"], meta_fields=[]
    )
    @dataclasses.dataclass
    class Range:
        low: float
        high: float

    box = Box(range=Range(0.0, 1.0))
    width = nnx.jit(lambda box: box.range.high - box.range.low)
    assert width(box) == 1.0
    box.range = Range(0.0, 5.0)
    assert width(box) == 5.0
    assert width._cache_size() == 1
    assert type(nnx.merge(*nnx.split(box)).range) is Range
    assert nnx.is_data(box.range)


def test_declared_attributes_are_what_they_were_declared():
    class Counter(nnx.Module):
        step = nnx.data()
        name = nnx.static()

        def __init__(self):
            self.step = 0
            self.name = "steps"

    class Named(Counter):
        pass

    counter = Named()
    assert jax.tree.leaves(counter) == [0]
    with pytest.raises(ValueError, match=r"Named\.name: .* cannot be static"):
        counter.name = jnp.ones(1)
    with pytest.raises(TypeError, match=r"Named\.step: a str is no data"):
        counter.step = "x"


def test_dataclasses_are_objects_of_the_graph():
    @nnx.dataclass
    class Scaled(nnx.Module):
        rate: float = nnx.data()
        layers: list = dataclasses.field(default_factory=list)
        name: str = nnx.static(default="x", kw_only=True)

    scaled = Scaled(0.5)
    scaled.layers.append(nnx.Param(1.0))
    assert jax.tree.leaves(scaled) == [0.5, 1.0]
    assert nnx.clone(scaled).name == "x"
    assert repr(scaled).startswith("Scaled(")
    assert Scaled(0.5, name="y") != Scaled(0.5)
    with pytest.raises(TypeError, match="takes no slots"):
        nnx.dataclass(slots=True)(type("A", (nnx.Module,), {}))

    @nnx.dataclass(kw_only=True)
    class Keyed(nnx.Pytree):
        x: int

    with pytest.raises(TypeError, match="positional"):
        Keyed(1)


def test_a_class_can_stay_out_of_jax():
    class Plain(nnx.Object, pytree=False):
        pass

    plain = Plain()
    assert jax.tree.leaves(plain) == [plain]
    assert isinstance(nnx.Module(), nnx.Pytree)


def test_cached_properties_are_no_part_of_the_graph():
    class Norm(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.ones(3))

        @functools.cached_property
        def size(self):
            return self.w.value.sum()

    norm = Norm()
    run = nnx.jit(lambda norm: norm.size)
    assert run(norm) == norm.size == run(norm) == 3.0
    assert "size" in vars(norm)
    assert run._cache_size() == 1
    assert jax.tree.structure(norm) == jax.tree.structure(Norm())
    assert "size" not in vars(nnx.clone(norm))


class Block(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones(()))
        self.deterministic = False
        self.inner = Inner()


class Inner(nnx.Module):
    def __init__(self):
        self.deterministic = False

    def set_view(self, deterministic=None):
        if deterministic is not None:
            self.deterministic = deterministic


def test_views_share_the_variables():
    block = Block()
    seen = nnx.view(block, deterministic=True)
    assert (seen.deterministic, seen.inner.deterministic) == (False, True)
    assert not block.inner.deterministic
    block.w.value = jnp.asarray(5.0)
    assert seen.w.value == 5.0
    with pytest.raises(ValueError, match="no set_view of Block's modules takes other"):
        nnx.view(block, other=1)
    assert not nnx.view(
        block, only=Block, raise_if_not_found=False, deterministic=True
    ).inner.deterministic


def test_with_attributes_copies_and_set_attributes_writes():
    block = Block()
    copied = nnx.with_attributes(block, deterministic=True)
    assert copied.deterministic
    assert copied.inner.deterministic
    assert copied.w is block.w
    assert not block.deterministic
    assert not nnx.with_attributes(block, only=Inner, deterministic=True).deterministic
    block.set_attributes(Inner, deterministic=True)
    assert (block.deterministic, block.inner.deterministic) == (False, True)
    for function in (
        lambda: nnx.with_attributes(block, other=1),
        lambda: block.set_attributes(other=1),
    ):
        with pytest.raises(ValueError, match=r"attribute\(s\) other"):
            function()
