"""WeightNorm and SpectralNorm."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, normal


def weight_norm(p: dict[str, Any], x: Any) -> Any:
    import torch
    from torch.nn import functional

    kernel = p["layer_instance.kernel"]
    weight = torch._weight_norm(kernel.T, p["scales.kernel"][:, None], 0)
    return functional.linear(x, weight, p["layer_instance.bias"])


def spectral_norm(p: dict[str, Any], x: Any) -> Any:
    """PyTorch's own power iteration, of the transposed matrix, so that it begins with the same vector."""
    import torch
    from torch.nn.utils.parametrizations import spectral_norm

    kernel, u = p["layer_instance.kernel"], p["batch_stats.kernel.u"]
    wrapped = spectral_norm(torch.nn.Linear(*kernel.shape), dim=1)
    wrapped.train()
    power = wrapped.parametrizations.weight[0]
    power._v = (u[0] / u.norm()).detach().clone()
    y = torch.func.functional_call(
        wrapped,
        {"parametrizations.weight.original": kernel.T, "bias": p["layer_instance.bias"]},
        (x,),
    )
    return y, power._v[None].detach()


def with_u(layer: Any, x: Any) -> Any:
    y = layer(x)
    stats = layer.batch_stats
    u = stats["kernel"]["u"] if "kernel" in stats else stats["kernel", "u"]
    return y, u[...]


CASES = (
    Case(
        "weight_norm",
        lambda nnx: nnx.WeightNorm(nnx.Linear(5, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1)),
        (normal(3, 5),),
        torch=weight_norm,
        seeded=False,
    ),
    Case(
        "weight_norm_conv_whole_kernel_without_scale",
        lambda nnx: nnx.WeightNorm(
            nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)),
            feature_axes=None,
            use_scale=False,
            rngs=nnx.Rngs(1),
        ),
        (normal(2, 4, 4, 2),),
        seeded=False,
    ),
    Case(
        "spectral_norm",
        lambda nnx: nnx.SpectralNorm(nnx.Linear(5, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1)),
        (normal(3, 5),),
        call=with_u,
        torch=spectral_norm,
    ),
    Case(
        "spectral_norm_conv_three_steps",
        lambda nnx: nnx.SpectralNorm(
            nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)), n_steps=3, rngs=nnx.Rngs(1)
        ),
        (normal(2, 4, 4, 2),),
        call=with_u,
    ),
)
