"""ConvTranspose. Its padding is of the enlarged input; PyTorch's says what to cut off the full output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripts.parity.case import Case, normal
from scripts.parity.families.conv import channels_first, channels_last

Cuts = Sequence[tuple[int, int]]


def conv_transpose(
    cuts: Cuts, *, stride: Any = 1, dilation: Any = 1, transpose_kernel: bool = False
) -> Any:
    """PyTorch's full output with (low, high) elements cut off (negative: zeros added)."""

    def run(p: dict[str, Any], x: Any) -> Any:
        from torch.nn import functional

        y = full(p, x, stride, dilation, transpose_kernel)
        y = functional.pad(y, [-n for low_high in reversed(cuts) for n in low_high])
        return channels_last(y) + p["bias"]

    return run


def circular(lefts: Sequence[int], *, stride: int = 1, transpose_kernel: bool = False) -> Any:
    """PyTorch's full output laid around a circle of ``size * stride``; ``lefts`` elements stand before its start."""

    def run(p: dict[str, Any], x: Any) -> Any:
        import torch

        y = full(p, x, stride, 1, transpose_kernel)
        for axis, left in enumerate(lefts, start=2):
            period = x.shape[axis - 1] * stride
            place = (torch.arange(y.shape[axis]) - left) % period
            shape = (*y.shape[:axis], period, *y.shape[axis + 1 :])
            y = y.new_zeros(shape).index_add(axis, place, y)
        return channels_last(y) + p["bias"]

    return run


def full(p: dict[str, Any], x: Any, stride: Any, dilation: Any, transpose_kernel: bool) -> Any:
    from torch.nn import functional

    dims = x.ndim - 2
    kernel = p["kernel"]
    if transpose_kernel:  # [*spatial, out, in]
        weight = kernel.permute(dims + 1, dims, *range(dims))
    else:  # [*spatial, in, out], and the other way round
        weight = kernel.flip(tuple(range(dims))).permute(dims, dims + 1, *range(dims))
    functions = (
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    )
    return functions[dims - 1](channels_first(x), weight, stride=stride, dilation=dilation)


def layer(features: int, out: int, kernel: Sequence[int] | int, *args: Any, **kwargs: Any) -> Any:
    return lambda nnx: nnx.ConvTranspose(features, out, kernel, *args, **kwargs, rngs=nnx.Rngs(0))


CASES = (
    Case("same_1d", layer(3, 4, 3), (normal(2, 5, 3),), torch=conv_transpose([(1, 1)])),
    Case(
        "same_1d_strided",
        layer(3, 2, 4, 2),
        (normal(2, 5, 3),),
        torch=conv_transpose([(1, 1)], stride=2),
    ),
    Case(
        "same_1d_stride_beyond_kernel",
        layer(2, 2, 2, 3),
        (normal(1, 4, 2),),
        torch=conv_transpose([(0, -1)], stride=3),
    ),
    Case(
        "valid_2d",
        layer(3, 4, (3, 2), (2, 1), padding="VALID"),
        (normal(1, 3, 4, 3),),
        torch=conv_transpose([(0, 0), (0, 0)], stride=(2, 1)),
    ),
    Case(
        "valid_2d_transposed_kernel",
        layer(3, 4, (3, 2), (2, 2), padding="VALID", transpose_kernel=True),
        (normal(1, 3, 4, 3),),
        torch=conv_transpose([(0, 0), (0, 0)], stride=2, transpose_kernel=True),
    ),
    Case(
        "explicit_padding_2d_dilated",
        layer(2, 3, (3, 2), (2, 1), padding=[(3, 2), (1, 2)], kernel_dilation=(2, 1)),
        (normal(1, 4, 4, 2),),
        torch=conv_transpose([(1, 2), (0, -1)], stride=(2, 1), dilation=(2, 1)),
    ),
    Case(
        "one_padding_2d",
        layer(2, 3, (3, 3), 2, padding=1, transpose_kernel=True),
        (normal(1, 3, 3, 2),),
        torch=conv_transpose([(1, 1), (1, 1)], stride=2, transpose_kernel=True),
    ),
    Case(
        "same_3d",
        layer(2, 2, (2, 3, 1), (1, 2, 1)),
        (normal(1, 2, 3, 2, 2),),
        torch=conv_transpose([(0, 1), (0, 1), (0, 0)], stride=(1, 2, 1)),
    ),
    Case(
        "circular_1d",
        layer(2, 3, 5, padding="CIRCULAR"),
        (normal(1, 6, 2),),
        torch=circular([2]),
    ),
    Case(
        "circular_1d_strided_even",
        layer(2, 3, 4, 2, padding="CIRCULAR"),
        (normal(1, 5, 2),),
        torch=circular([1], stride=2),
    ),
    Case(
        "circular_2d_odd_reach",
        layer(2, 3, (4, 3), padding="CIRCULAR"),
        (normal(1, 5, 4, 2),),
        torch=circular([1, 1]),
    ),
    Case(
        "circular_2d_transposed_kernel",
        layer(2, 3, (6, 5), 2, padding="CIRCULAR", transpose_kernel=True),
        (normal(1, 5, 4, 2),),
        torch=circular([2, 2], stride=2, transpose_kernel=True),
    ),
    Case(
        "circular_larger_than_the_image",
        layer(1, 1, 7, padding="CIRCULAR"),
        (normal(1, 2, 1),),
        torch=circular([3]),
    ),
    Case("bfloat16", layer(3, 4, 3, 2, dtype="bfloat16"), (normal(2, 5, 3),), tolerance=2e-2),
)
