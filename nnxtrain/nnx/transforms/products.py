"""``nnx.vjp`` and ``nnx.jvp``: products with the Jacobian, with respect to arrays and the Variables of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.lifted import Lifted
from nnxtrain.nnx.transforms.points import Points
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def vjp(
    f: Any = MISSING,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Sequence[Any] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return ``f(*primals)`` and a function from cotangents of the result to those of the primals (``jax.vjp``).

    What ``f`` writes reaches the caller's objects.

    Args:
      f: the function. Without primals a function of them is returned, without ``f`` a decorator.
      *primals: arrays, pytrees and objects. The cotangent of an object is a State of all its floating point Variables.
      has_aux: ``f`` returns ``(value, aux)``; the result is then ``(value, vjp_fn, aux)``.
      reduce_axes: must be empty (JAX has retired it).
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> y, pullback = nnx.vjp(lambda model, x: model(x), model, jnp.ones((1, 2)))
    >>> grads, x_bar = pullback(jnp.ones_like(y))
    >>> grads["bias"].value.tolist(), x_bar.shape
    ([1.0, 1.0, 1.0], (1, 2))
    """
    if reduce_axes:
        raise ValueError("nnx.vjp: JAX has retired reduce_axes; use jax.lax.psum in the function")
    options: dict[str, Any] = {"has_aux": has_aux, "graph": graph, "graph_updates": graph_updates}
    if isinstance(f, MissingType):
        return lambda f: lambda *primals: vjp(f, *primals, **options)
    if not primals:
        return lambda *primals: vjp(f, *primals, **options)
    lifted, points = _points("nnx.vjp", f, primals, graph, graph_updates)
    out, pullback, aux = jax.vjp(_pure(lifted, points, has_aux), points.at_arrays, has_aux=True)

    def pull(cotangent: Any) -> Any:
        (gradient,) = pullback(cotangent)
        return points.unpack(gradient)

    user_aux = lifted.attach(points.call, *aux)
    return (out, pull, user_aux) if has_aux else (out, pull)


def jvp(
    f: Any = MISSING,
    primals: Any = MISSING,
    tangents: Any = MISSING,
    *,
    has_aux: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return ``f(*primals)`` and its derivative in the direction of the tangents (``jax.jvp``).

    What ``f`` writes reaches the caller's objects.

    Args:
      f: the function. Without primals a function ``(primals, tangents)`` is returned, without ``f`` a decorator.
      primals: a tuple of arrays, pytrees and objects.
      tangents: a tuple of the same structure; for an object a module of tangents (``jax.tree.map(jnp.ones_like, model)``)
        or a State. Variables that it lacks have tangent zero.
      has_aux: ``f`` returns ``(value, aux)``; the result is then ``(value, tangent, aux)``.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    >>> import jax, jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((1, 2))
    >>> direction = jax.tree.map(jnp.zeros_like, model)
    >>> y, y_dot = nnx.jvp(lambda model, x: model(x), (model, x), (direction, x))
    >>> bool(jnp.allclose(y, y_dot))
    True
    """
    options: dict[str, Any] = {"has_aux": has_aux, "graph": graph, "graph_updates": graph_updates}
    if isinstance(f, MissingType):
        return lambda f: lambda primals, tangents: jvp(f, primals, tangents, **options)
    if isinstance(primals, MissingType):
        return lambda primals, tangents: jvp(f, primals, tangents, **options)
    if isinstance(tangents, MissingType) or len(primals) != len(tangents):
        raise TypeError("nnx.jvp takes a tuple of primals and a tuple of as many tangents")
    lifted, points = _points("nnx.jvp", f, tuple(primals), graph, graph_updates)
    shift = len(lifted.bound)
    directions = points.pack({k + shift: t for k, t in enumerate(tangents)}, "the tangent")
    pure = _pure(lifted, points, has_aux)
    out, tangent, aux = jax.jvp(pure, (points.at_arrays,), (directions,), has_aux=True)
    user_aux = lifted.attach(points.call, *aux)
    return (out, tangent, user_aux) if has_aux else (out, tangent)


def _points(
    name: str, f: Any, primals: tuple, graph: bool | None, graph_updates: bool | None
) -> tuple[Lifted, Points]:
    lifted = Lifted(name, f, graph, graph_updates)
    return lifted, Points(lifted, lifted.detach(primals, {}), skip=range(len(lifted.bound)))


def _pure(lifted: Lifted, points: Points, has_aux: bool) -> Callable[[Any], Any]:
    def run(at: Any) -> Any:
        values, args = points.fill(at)
        out, sent, note = lifted.run(points.call, values, args, points.call.kwargs)
        value, aux = out if has_aux else (out, None)
        if lift.slots_in(value):
            raise TypeError(
                f"{lifted.name}: the function returns an object, which has no derivative; return arrays, and objects as aux "
                "(has_aux=True)"
            )
        return value, (aux, sent, note)

    return run
