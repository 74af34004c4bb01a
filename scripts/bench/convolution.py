"""Which form of a convolution is fastest on a CPU, by shape, beside PyTorch: what ``nnx.Conv``'s choice rests on.

For each shape, float32, batch 128 (64 from 64 channels on): ms for the forward pass, and for the forward pass with the
gradients of input and kernel. ``xla`` is ``lax.conv_general_dilated`` as JAX compiles it, ``eigen`` the same with what
training tells XLA (``nnxtrain/training/compiling.py``), ``band T`` one product with a banded matrix for tiles of T
outputs. The forms take turns. ``error`` is the largest difference of ``band``'s outputs and gradients from ``xla``'s,
relative to the largest.

    python scripts/bench/convolution.py [--only 32x32x3] [--rounds 7] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from turns import have, markdown, median, take_turns

from nnxtrain.nnx.layers.banded import banded_convolution
from nnxtrain.training.compiling import CPU_OPTIONS

# spatial sizes, input channels, output channels, kernel, stride
SHAPES = [
    ((28, 28), 1, 6, 5, 1), ((32, 32), 3, 6, 5, 1), ((16, 16), 6, 16, 5, 1), ((28, 28), 1, 32, 3, 1),
    ((32, 32), 4, 16, 3, 1), ((32, 32), 6, 16, 3, 1), ((16, 16), 6, 32, 5, 1), ((16, 16), 8, 16, 5, 1),
    ((32, 32), 3, 16, 3, 1), ((32, 32), 3, 32, 3, 1), ((32, 32), 3, 64, 3, 1), ((32, 32), 8, 8, 3, 1),
    ((32, 32), 16, 16, 3, 1), ((32, 32), 16, 32, 3, 2), ((16, 16), 32, 32, 3, 1), ((32, 32), 32, 32, 3, 1),
    ((8, 8), 64, 64, 3, 1), ((32, 32), 64, 64, 3, 1), ((32, 32), 64, 128, 3, 2), ((16, 16), 128, 128, 3, 1),
    ((32, 32), 64, 128, 1, 2), ((224, 224), 3, 64, 7, 2), ((32, 32), 3, 192, 4, 4), ((256,), 1, 16, 5, 1),
    ((256,), 16, 32, 5, 1), ((256,), 64, 64, 3, 1), ((16, 16, 16), 1, 8, 3, 1), ((8, 8, 8), 8, 16, 3, 1),
]  # fmt: skip


def torch_step(x: np.ndarray, kernel: np.ndarray, stride: int, pad: int, gradients: bool) -> Any:
    """PyTorch's, in the layout of its own (channels first)."""
    import torch

    n = kernel.ndim - 2
    inputs = torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)), requires_grad=gradients)
    weight = torch.tensor(
        np.ascontiguousarray(kernel.transpose(n + 1, n, *range(n))), requires_grad=gradients
    )
    conv = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[
        n - 1
    ]

    def run() -> None:
        y = conv(inputs, weight, stride=stride, padding=pad)
        if gradients:
            torch.autograd.grad(y, (inputs, weight), torch.ones_like(y))

    return run


def forms(kernel: np.ndarray, stride: int, pad: int) -> dict[str, tuple[Callable[..., Any], dict]]:
    """By name the function of input and kernel, and what the compiler is told."""
    n = kernel.ndim - 2
    image = (0, n + 1, *range(1, n + 1))
    arguments = ((stride,) * n, [(pad, pad)] * n)
    numbers = lax.ConvDimensionNumbers(image, (n + 1, n, *range(n)), image)

    def conv(x: jax.Array, w: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, w, *arguments, dimension_numbers=numbers)

    found: dict[str, tuple[Callable[..., Any], dict]] = {
        "xla": (conv, {}),
        "eigen": (conv, CPU_OPTIONS),
    }
    for tile in (2, 4, 8):
        if kernel.shape[0] <= tile * stride + stride and kernel.shape[-2] <= 32:

            def band(x: jax.Array, w: jax.Array, tile: int = tile) -> jax.Array:
                return banded_convolution(x, w, *arguments, tile=tile)

            found[f"band {tile}"] = (band, CPU_OPTIONS)
    return found


def measure(
    sizes: tuple[int, ...],
    channels: int,
    features: int,
    size: int,
    stride: int,
    rounds: int,
    with_torch: bool,
) -> dict[str, Any]:
    """One row of the table."""
    rng = np.random.default_rng(0)
    batch = 64 if channels >= 64 else 16 if max(sizes) > 64 and len(sizes) == 2 else 128
    pad = 0 if size == stride else size // 2
    x = rng.normal(size=(batch, *sizes, channels)).astype(np.float32)
    kernel = rng.normal(size=(size,) * len(sizes) + (channels, features)).astype(np.float32)
    row: dict[str, Any] = {
        "input": "x".join(map(str, (*sizes, channels))), "kernel": f"{size}, to {features}", "stride": stride,
    }  # fmt: skip
    answers: dict[str, list[Any]] = {}
    for what, gradients in (("forward", False), ("with gradients", True)):
        contestants: dict[str, Callable[[], Any]] = {}
        for name, (conv, options) in forms(kernel, stride, pad).items():

            def both(x: jax.Array, w: jax.Array, conv: Any = conv) -> Any:
                y, pullback = jax.vjp(conv, x, w)
                return y, *pullback(jnp.ones_like(y))

            compiled = jax.jit(both if gradients else conv, compiler_options=options)
            run = partial(compiled, jnp.asarray(x), jnp.asarray(kernel))
            answers.setdefault(name, []).extend(jax.tree.leaves(run()))

            def wait(run: Any = run) -> None:
                jax.block_until_ready(run())

            contestants[name] = wait
        if with_torch:
            contestants["torch"] = torch_step(x, kernel, stride, pad, gradients)
            contestants["torch"]()
        taken = take_turns(contestants, rounds, 1000)
        for name, values in taken.items():
            row[f"{name}, {what}"] = round(median(values), 2)
    worst = 0.0
    for name, arrays in answers.items():
        if name.startswith("band"):
            for mine, xla in zip(arrays, answers["xla"]):
                worst = max(worst, float(jnp.abs(mine - xla).max() / jnp.abs(xla).max()))
    row["error"] = f"{worst:.0e}" if worst else ""
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="inputs of these shapes, as in the table")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    args = parser.parse_args()
    with_torch = have("torch")
    rows = []
    for sizes, *rest in SHAPES:
        if not args.only or "x".join(map(str, (*sizes, rest[0]))) in args.only:
            rows.append(measure(sizes, *rest, rounds=args.rounds, with_torch=with_torch))
            if args.json:
                print(json.dumps(rows[-1]), flush=True)
    if not args.json:
        print(markdown(rows))


if __name__ == "__main__":
    main()
