"""What a transform may be given: functions, methods, modules and partials of them."""

import inspect
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Counter(nnx.Module):
    def __init__(self):
        self.n = nnx.Variable(jnp.array(0.0))

    def add(self, x, k=1.0, *, mode="plain"):
        self.n.value += x * k
        return self.n.value

    def __call__(self, x):
        return self.add(x)


def flagged(x, train):
    return 2 * x if train else x


TRANSFORMS = {
    "jit": nnx.jit,
    "remat": nnx.remat,
    "eval_shape": lambda f: partial(nnx.eval_shape, f),
    "cond": lambda f: lambda *a: nnx.cond(True, f, f, *a),
    "checkify": lambda f: lambda *a: nnx.checkify(f)(*a)[1],
    "vmap": lambda f: lambda x: nnx.vmap(f)(jnp.full(1, x))[0],
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_is_fixed_by_a_partial_is_static(name):
    out = TRANSFORMS[name](partial(flagged, train=True))(1.0)
    assert jnp.shape(out) == ()
    if name != "eval_shape":
        assert float(out) == 2.0


@pytest.mark.parametrize("name", [n for n in TRANSFORMS if n != "eval_shape"])
def test_the_objects_of_a_partial_are_arguments(name):
    counter = Counter()

    def call(scale, held, x, *, other):
        held["counter"].n.value += scale * x
        other.n.value += 1.0
        return x

    other = Counter()
    TRANSFORMS[name](partial(call, 3.0, {"counter": counter}, other=other))(
        2.0
    ) if name != "vmap" else nnx.jit(partial(call, 3.0, {"counter": counter}, other=other))(2.0)
    assert (float(counter.n.value), float(other.n.value)) == (6.0, 1.0)


def test_a_partial_of_a_method_and_of_a_builtin():
    counter = Counter()
    nnx.jit(partial(counter.add, k=3.0))(2.0)
    nnx.jit(partial(counter.add, 1.0))(k=4.0)
    assert float(counter.n.value) == 10.0
    assert float(nnx.jit(partial(jnp.sum, axis=0))(jnp.ones(3))) == 3.0


def test_vmap_over_a_partial_keeps_what_it_fixes():
    np.testing.assert_array_equal(
        nnx.vmap(partial(lambda x, s: x * s, s=2.0))(jnp.ones(3)), [2.0] * 3
    )
    np.testing.assert_array_equal(
        nnx.vmap(lambda x, y=2.0, *, z: x * y + z)(jnp.ones(3), z=jnp.ones(3)), [3.0] * 3
    )


def test_the_signature_is_that_of_a_call():
    counter = Counter()
    for transform in (nnx.remat, nnx.vmap, nnx.jit):
        assert list(inspect.signature(transform(counter.add)).parameters) == ["x", "k", "mode"]
    compiled = nnx.jit(nnx.remat(counter.add), static_argnames="mode")
    assert float(compiled(2.0, mode="plain")) == 2.0
    np.testing.assert_array_equal(
        nnx.vmap(nnx.remat(lambda x, k: x * k), in_axes=(0, None))(jnp.ones(2), k=2.0), [2.0, 2.0]
    )
