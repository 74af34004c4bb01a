"""A stack of equal layers whose parameters lie in one array each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from nnxtrain.nnx.graph.functional import merge, split
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rng_transforms import split_rngs
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.transforms.axes import Carry
from nnxtrain.nnx.transforms.remat import remat as remat_transform
from nnxtrain.nnx.transforms.scan import scan
from nnxtrain.nnx.transforms.vmap import vmap


class Stacked(Module):
    """``length`` layers of one structure, run one after another in a loop (``nnx.scan``).

    One layer is traced and compiled for all, so a deep model starts as fast as a shallow one; each Variable of the stack
    has an axis more than its layer's, the first.

    Args:
      make_layer: ``rngs -> layer``; a layer maps its first argument to a value of the same shape and dtype.
      length: how many layers.
      remat: compute a layer's intermediate values again in the backward pass (see ``nnx.remat``): memory for one layer,
        not for all, at the price of a second forward pass.
      policy: what to keep nevertheless, see ``jax.checkpoint_policies``.
      unroll: how many layers to lay out in one iteration of the compiled loop. (On CPU, layers with convolutions want
        ``unroll=length``: XLA runs a convolution inside a loop many times slower.)
      transform_metadata: ``{nnx.PARTITION_NAME: name}`` names the first axis in sharding metadata.
      rngs: random streams; each layer gets its own.

    Attributes:
      layers: the layer, with stacked Variables.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> stack = nnx.Stacked(lambda rngs: nnx.Linear(4, 4, rngs=rngs), 3, remat=True, rngs=nnx.Rngs(0))
    >>> stack.layers.kernel.shape, stack(jnp.ones((2, 4))).shape, len(stack), stack[0].kernel.shape
    ((3, 4, 4), (2, 4), 3, (4, 4))
    """

    def __init__(
        self,
        make_layer: Callable[[Rngs], Any],
        length: int,
        *,
        remat: bool = False,
        policy: Callable[..., bool] | None = None,
        unroll: int | bool = 1,
        transform_metadata: Mapping[str, Any] = {},
        rngs: Rngs,
    ):
        if length < 1:
            raise ValueError(f"Stacked.length is the number of layers, at least 1; it got {length}")
        self.length = length
        self.remat = remat
        self.policy = policy
        self.unroll = unroll
        make = vmap(make_layer, transform_metadata=transform_metadata)
        self.layers = split_rngs(splits=length)(make)(rngs)

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the layers.

        Args:
          x: the first layer's input; each layer's result is the next one's.
          *args, **kwargs: handed to each layer alike. (Arguments that differ by layer: use ``nnx.scan`` on ``.layers``.)
        """

        def step(x: Any, layer: Any, args: tuple, kwargs: dict) -> Any:
            return layer(x, *args, **kwargs)

        if self.remat:
            step = remat_transform(step, prevent_cse=False, policy=self.policy)
        run = scan(
            step,
            length=self.length,
            unroll=self.unroll,
            in_axes=(Carry, 0, None, None),
            out_axes=Carry,
        )
        return run(x, self.layers, args, kwargs)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        """A copy of one layer; what is written to it does not reach the stack."""
        if not -self.length <= index < self.length:
            raise IndexError(f"layer {index} of a stack of {self.length}")
        graphdef, state = split(self.layers)
        return merge(graphdef, jax.tree.map(lambda value: value[index], state))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self.length))
