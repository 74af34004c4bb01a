"""Conv in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.parity.case import Case, normal

MASK = np.tril(np.ones((3, 3), np.float32))[:, :, None, None] * np.ones((2, 4), np.float32)


def conv(
    *pads: tuple[int, int],
    mode: str = "constant",
    stride: Any = 1,
    dilation: Any = 1,
    groups: int = 1,
    spread: int = 1,
) -> Any:
    """PyTorch's convolution after padding by hand; ``spread`` puts zeros between the inputs."""

    def run(p: dict[str, Any], x: Any) -> Any:
        from torch.nn import functional

        dims = len(pads)
        kernel = p["kernel"] * p["mask"] if "mask" in p else p["kernel"]
        batch = x.shape[: x.ndim - dims - 1]
        x = channels_first(x.reshape(-1, *x.shape[len(batch) :]))
        x = spread_out(x, spread)
        flat = [n for low_high in reversed(pads) for n in low_high]
        x = functional.pad(x, flat, mode=mode)
        function = (functional.conv1d, functional.conv2d, functional.conv3d)[dims - 1]
        weight = kernel.permute(dims + 1, dims, *range(dims))
        y = function(x, weight, p.get("bias"), stride=stride, dilation=dilation, groups=groups)
        y = channels_last(y)
        return y.reshape(*batch, *y.shape[1:])

    return run


def channels_first(x: Any) -> Any:
    return x.movedim(-1, 1)


def channels_last(x: Any) -> Any:
    return x.movedim(1, -1)


def spread_out(x: Any, step: int) -> Any:
    """[batch, channels, *spatial] with ``step - 1`` zeros between the elements."""
    if step == 1:
        return x
    y = x.new_zeros(*x.shape[:2], *((n - 1) * step + 1 for n in x.shape[2:]))
    y[(..., *(slice(None, None, step) for _ in x.shape[2:]))] = x
    return y


def layer(features: int, out: int, kernel: Sequence[int] | int, *args: Any, **kwargs: Any) -> Any:
    return lambda nnx: nnx.Conv(features, out, kernel, *args, **kwargs, rngs=nnx.Rngs(0))


CASES = (
    Case("same_1d", layer(3, 4, 3), (normal(2, 6, 3),), torch=conv((1, 1))),
    Case("same_even_1d", layer(2, 3, (4,), 3), (normal(2, 8, 2),), torch=conv((1, 1), stride=3)),
    Case(
        "causal_1d",
        layer(2, 3, 3, padding="CAUSAL", kernel_dilation=2),
        (normal(2, 7, 2),),
        torch=conv((4, 0), dilation=2),
    ),
    Case(
        "circular_1d",
        layer(2, 3, 4, padding="CIRCULAR"),
        (normal(2, 6, 2),),
        torch=conv((1, 2), mode="circular"),
    ),
    Case(
        "same_2d_strided",
        layer(3, 4, (3, 3), 2),
        (normal(2, 8, 7, 3),),
        torch=conv((0, 1), (1, 1), stride=2),
    ),
    Case(
        "valid_2d_grouped",
        layer(4, 6, (3, 2), padding="VALID", feature_group_count=2),
        (normal(2, 5, 5, 4),),
        torch=conv((0, 0), (0, 0), groups=2),
    ),
    Case(
        "depthwise_2d",
        layer(3, 6, (3, 3), (2, 1), feature_group_count=3, use_bias=False, padding=1),
        (normal(1, 6, 5, 3),),
        torch=conv((1, 1), (1, 1), stride=(2, 1), groups=3),
    ),
    Case(
        "dilated_2d_explicit_padding",
        layer(2, 3, (3, 2), (1, 2), padding=[(1, 2), (0, 1)], kernel_dilation=(1, 2)),
        (normal(2, 5, 6, 2),),
        torch=conv((1, 2), (0, 1), stride=(1, 2), dilation=(1, 2)),
    ),
    Case(
        "one_padding_a_dimension_2d",
        layer(2, 3, (3, 2), padding=(2, 1)),
        (normal(2, 4, 4, 2),),
        torch=conv((2, 2), (1, 1)),
    ),
    Case(
        "circular_2d_dilated",
        layer(2, 3, (4, 3), padding="CIRCULAR", kernel_dilation=(1, 2), strides=2),
        (normal(1, 6, 6, 2),),
        torch=conv((1, 2), (2, 2), mode="circular", dilation=(1, 2), stride=2),
    ),
    Case(
        "reflect_2d",
        layer(2, 3, (3, 4), padding="REFLECT"),
        (normal(1, 5, 6, 2),),
        torch=conv((1, 1), (1, 2), mode="reflect"),
    ),
    Case(
        "input_dilation_2d",
        layer(2, 3, (3, 3), padding=[(0, 0), (1, 0)], input_dilation=2),
        (normal(1, 4, 3, 2),),
        torch=conv((0, 0), (1, 0), spread=2),
    ),
    Case(
        "input_dilation_2d_same",
        layer(2, 3, (3, 2), strides=2, input_dilation=3),
        (normal(1, 4, 3, 2),),
        torch=conv((0, 1), (0, 1), spread=3, stride=2),
        flax=False,
    ),
    Case(
        "mask_2d",
        layer(2, 4, (3, 3), mask=MASK),
        (normal(1, 4, 4, 2),),
        torch=conv((1, 1), (1, 1)),
    ),
    Case(
        "same_3d_strided_dilated_grouped",
        layer(4, 4, (3, 2, 1), (1, 2, 1), kernel_dilation=(2, 1, 1), feature_group_count=2),
        (normal(1, 5, 4, 3, 4),),
        torch=conv((2, 2), (0, 0), (0, 0), stride=(1, 2, 1), dilation=(2, 1, 1), groups=2),
    ),
    Case(
        "circular_3d",
        layer(2, 2, (2, 3, 2), padding="CIRCULAR"),
        (normal(1, 3, 4, 3, 2),),
        torch=conv((0, 1), (1, 1), (0, 1), mode="circular"),
    ),
    Case("no_batch_axis", layer(3, 2, (3, 3)), (normal(4, 5, 3),), torch=conv((1, 1), (1, 1))),
    Case("two_batch_axes", layer(3, 2, 3), (normal(2, 3, 5, 3),), torch=conv((1, 1))),
    Case(
        "bfloat16",
        layer(3, 4, (3, 3), dtype="bfloat16"),
        (normal(2, 5, 5, 3),),
        tolerance=2e-2,
    ),
)
