"""BatchNorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, booleans, normal

EPSILON = 1e-6


def batch_norm(epsilon: float = 1e-5, momentum: float = 0.99) -> Any:
    """Training. PyTorch's momentum is the weight of the new value, and it keeps the unbiased variance."""

    def run(p: dict[str, Any], x: Any) -> Any:
        import torch
        from torch.nn import functional

        count = x.numel() // x.shape[-1]
        mean, unbiased = torch.zeros_like(p["mean"]), torch.zeros_like(p["var"])
        y = functional.batch_norm(
            x.movedim(-1, 1), mean, unbiased, p.get("scale"), p.get("bias"), True, 1.0, epsilon
        )
        with torch.no_grad():
            new_mean = momentum * p["mean"] + (1 - momentum) * mean
            var = unbiased * (count - 1) / count
            new_var = momentum * p["var"] + (1 - momentum) * var
        return y.movedim(1, -1), new_mean, new_var

    return run


def batch_norm_in_evaluation(p: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    x, mean, var = x.movedim(-1, 1), p["mean"].detach(), p["var"].detach()
    y = functional.batch_norm(x, mean, var, p["scale"], p["bias"], False, 0.0, 1e-5)
    return y.movedim(1, -1)


def layer_norm(dims: int, epsilon: float = EPSILON) -> Any:
    """Statistics over the last ``dims`` axes; scale and bias along the last."""

    def run(p: dict[str, Any], x: Any) -> Any:
        from torch.nn import functional

        y = functional.layer_norm(x, x.shape[x.ndim - dims :], eps=epsilon)
        return y * p.get("scale", 1.0) + p.get("bias", 0.0)

    return run


def rms_norm(p: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    return functional.rms_norm(x, x.shape[-1:], p.get("scale"), EPSILON)


def group_norm(groups: int) -> Any:
    def run(p: dict[str, Any], x: Any) -> Any:
        from torch.nn import functional

        y = functional.group_norm(x.movedim(-1, 1), groups, p["scale"], p["bias"], EPSILON)
        return y.movedim(1, -1)

    return run


def instance_norm(p: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    y = functional.instance_norm(x.movedim(-1, 1), weight=p["scale"], bias=p["bias"], eps=EPSILON)
    return y.movedim(1, -1)


def with_statistics(layer: Any, *inputs: Any) -> Any:
    return layer(*inputs), layer.mean[...], layer.var[...]


def with_mask(layer: Any, x: Any, mask: Any) -> Any:
    return layer(x, mask=mask)


CASES = (
    Case(
        "batch_norm",
        lambda nnx: nnx.BatchNorm(3, rngs=nnx.Rngs(0)),
        (normal(4, 5, 3),),
        call=with_statistics,
        torch=batch_norm(),
    ),
    Case(
        "batch_norm_slow_variance",
        lambda nnx: nnx.BatchNorm(
            3, momentum=0.9, epsilon=1e-3, use_fast_variance=False, rngs=nnx.Rngs(0)
        ),
        (normal(6, 2, 2, 3),),
        call=with_statistics,
        torch=batch_norm(1e-3, 0.9),
    ),
    Case(
        "batch_norm_without_parameters",
        lambda nnx: nnx.BatchNorm(3, use_bias=False, use_scale=False, rngs=nnx.Rngs(0)),
        (normal(6, 3),),
        call=with_statistics,
        torch=batch_norm(),
    ),
    Case(
        "batch_norm_in_evaluation",
        lambda nnx: nnx.BatchNorm(3, use_running_average=True, rngs=nnx.Rngs(0)),
        (normal(4, 5, 3),),
        torch=batch_norm_in_evaluation,
    ),
    Case(
        "batch_norm_first_axis",
        lambda nnx: nnx.BatchNorm(3, axis=0, rngs=nnx.Rngs(0)),
        (normal(3, 4, 2),),
        call=with_statistics,
    ),
    Case(
        "batch_norm_mask",
        lambda nnx: nnx.BatchNorm(3, rngs=nnx.Rngs(0)),
        (normal(6, 4, 3), booleans(6, 4, 1)),
        call=lambda layer, x, mask: (layer(x, mask=mask), layer.mean[...], layer.var[...]),
    ),
    Case(
        "batch_norm_bfloat16",
        lambda nnx: nnx.BatchNorm(3, dtype="bfloat16", rngs=nnx.Rngs(0)),
        (normal(6, 4, 3),),
        call=with_statistics,
        tolerance=2e-2,
    ),
    Case(
        "batch_norm_bfloat16_input_without_parameters",
        lambda nnx: nnx.BatchNorm(3, use_bias=False, use_scale=False, rngs=nnx.Rngs(0)),
        (normal(6, 4, 3, dtype="bfloat16"),),
        call=with_statistics,
        tolerance=2e-2,
    ),
    Case(
        "layer_norm",
        lambda nnx: nnx.LayerNorm(6, rngs=nnx.Rngs(0)),
        (normal(2, 3, 6),),
        torch=layer_norm(1),
    ),
    Case(
        "layer_norm_slow_variance_without_bias",
        lambda nnx: nnx.LayerNorm(
            6, epsilon=1e-3, use_bias=False, use_fast_variance=False, rngs=nnx.Rngs(0)
        ),
        (normal(2, 3, 6),),
        torch=layer_norm(1, 1e-3),
    ),
    Case(
        "layer_norm_over_several_axes",
        lambda nnx: nnx.LayerNorm(6, reduction_axes=(-2, -1), rngs=nnx.Rngs(0)),
        (normal(2, 3, 6),),
        torch=layer_norm(2),
    ),
    Case(
        "layer_norm_two_feature_axes",
        lambda nnx: nnx.LayerNorm(
            12, reduction_axes=(-2, -1), feature_axes=(-2, -1), rngs=nnx.Rngs(0)
        ),
        (normal(2, 3, 4),),
    ),
    Case(
        "layer_norm_mask",
        lambda nnx: nnx.LayerNorm(6, rngs=nnx.Rngs(0)),
        (normal(2, 3, 6), booleans(2, 3, 6)),
        call=with_mask,
    ),
    Case(
        "layer_norm_bfloat16",
        lambda nnx: nnx.LayerNorm(6, dtype="bfloat16", rngs=nnx.Rngs(0)),
        (normal(2, 3, 6),),
        tolerance=2e-2,
    ),
    Case(
        "layer_norm_bfloat16_parameters",
        lambda nnx: nnx.LayerNorm(6, param_dtype="bfloat16", rngs=nnx.Rngs(0)),
        (normal(2, 3, 6, dtype="bfloat16"),),
        tolerance=2e-2,
    ),
    Case(
        "rms_norm",
        lambda nnx: nnx.RMSNorm(6, rngs=nnx.Rngs(0)),
        (normal(2, 3, 6),),
        torch=rms_norm,
    ),
    Case(
        "rms_norm_without_scale",
        lambda nnx: nnx.RMSNorm(6, use_scale=False, rngs=nnx.Rngs(0)),
        (normal(2, 3, 6),),
        torch=rms_norm,
    ),
    Case(
        "rms_norm_mask",
        lambda nnx: nnx.RMSNorm(6, rngs=nnx.Rngs(0)),
        (normal(2, 3, 6), booleans(2, 1, 6)),
        call=lambda layer, x, mask: layer(x, mask),
    ),
    Case(
        "rms_norm_bfloat16",
        lambda nnx: nnx.RMSNorm(6, dtype="bfloat16", rngs=nnx.Rngs(0)),
        (normal(2, 3, 6),),
        tolerance=2e-2,
    ),
    Case(
        "group_norm",
        lambda nnx: nnx.GroupNorm(6, num_groups=3, rngs=nnx.Rngs(0)),
        (normal(2, 4, 3, 6),),
        torch=group_norm(3),
    ),
    Case(
        "group_norm_by_size",
        lambda nnx: nnx.GroupNorm(6, None, 3, use_fast_variance=False, rngs=nnx.Rngs(0)),
        (normal(2, 5, 6),),
        torch=group_norm(2),
    ),
    Case(
        "group_norm_features_alone",
        lambda nnx: nnx.GroupNorm(6, num_groups=2, rngs=nnx.Rngs(0)),
        (normal(3, 6),),
        torch=group_norm(2),
    ),
    Case(
        "group_norm_mask",
        lambda nnx: nnx.GroupNorm(6, num_groups=3, rngs=nnx.Rngs(0)),
        (normal(2, 4, 6), booleans(2, 4, 6)),
        call=with_mask,
    ),
    Case(
        "group_norm_bfloat16",
        lambda nnx: nnx.GroupNorm(6, num_groups=3, dtype="bfloat16", rngs=nnx.Rngs(0)),
        (normal(2, 4, 6),),
        tolerance=2e-2,
    ),
    Case(
        "instance_norm",
        lambda nnx: nnx.InstanceNorm(3, rngs=nnx.Rngs(0)),
        (normal(2, 4, 3, 3),),
        torch=instance_norm,
    ),
    Case(
        "instance_norm_feature_axis_mask",
        lambda nnx: nnx.InstanceNorm(4, feature_axes=1, use_fast_variance=False, rngs=nnx.Rngs(0)),
        (normal(2, 4, 5, 3), booleans(2, 1, 5, 3)),
        call=with_mask,
    ),
)
