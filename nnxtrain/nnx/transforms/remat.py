"""``nnx.remat``: compute again in the backward pass instead of keeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from nnxtrain.nnx.transforms.lifted import Lifted
from nnxtrain.nnx.transforms.tree import Tree
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def remat(
    f: Any = MISSING,
    *,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Let the gradient compute the intermediate values of ``f`` again, which saves their memory (``jax.checkpoint``).

    What ``f`` writes is written once.

    Args:
      f: the function, a method or a module; without it a decorator is returned.
      prevent_cse: keep the compiler from undoing it; False is right (and faster) inside ``nnx.scan``.
      static_argnums: positional arguments that are not traced (the object of a bound method does not count).
      policy: which values to keep, see ``jax.checkpoint_policies``.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    >>> loss = lambda model: nnx.remat(lambda model, x: nnx.relu(model(x)))(model, jnp.ones((1, 2))).sum()
    >>> sorted(nnx.grad(loss)(model))
    ['bias', 'kernel']
    """
    options: dict[str, Any] = {
        "prevent_cse": prevent_cse, "static_argnums": static_argnums, "policy": policy, "graph": graph,
        "graph_updates": graph_updates,
    }  # fmt: skip
    if isinstance(f, MissingType):
        return lambda f: RematFunction(f, **options)
    return RematFunction(f, **options)


class RematFunction(Lifted):
    """A function that is computed again for its gradient; made by :func:`remat`."""

    def __init__(
        self,
        f: Any,
        *,
        prevent_cse: bool,
        static_argnums: int | tuple[int, ...],
        policy: Any,
        graph: bool | None,
        graph_updates: bool | None,
    ):
        super().__init__("nnx.remat", f, graph, graph_updates)
        numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
        self.static_argnums = tuple(n + len(self.bound) if n >= 0 else n for n in numbers)
        self.options: dict[str, Any] = {"prevent_cse": prevent_cse, "policy": policy}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        total = len(self.bound) + len(args)
        static = {n % total: None for n in self.static_argnums if -total <= n < total}
        given = [*self.bound, *args]
        static = {n: given[n] for n in static}
        dynamic = tuple(None if n in static else a for n, a in enumerate(given))
        call = self.detach(dynamic[len(self.bound) :], kwargs)

        tree = Tree((call.args, call.kwargs))  # strings and the like need no static_argnums

        def pure(values: Any, arrays: Any) -> Any:
            args, kwargs = tree.rebuild(arrays)
            args = tuple(static.get(n, a) for n, a in enumerate(args))
            return self.run(call, values, args, kwargs)

        checkpointed = jax.checkpoint(pure, **self.options)
        return self.attach(call, *checkpointed(call.structure.values(), tree.arrays))
