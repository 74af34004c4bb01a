"""avg_pool, max_pool, min_pool, pool."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, normal


def pooling(function: str, *args: Any, **kwargs: Any) -> Any:
    """A layer that calls a function of the library."""
    return lambda nnx: nnx.Sequential(lambda x: getattr(nnx, function)(x, *args, **kwargs))


def torch_pooling(function: str, *args: Any, sign: int = 1, **kwargs: Any) -> Any:
    def run(p: dict[str, Any], x: Any) -> Any:
        from torch.nn import functional

        y = getattr(functional, function)(sign * x.movedim(-1, 1), *args, **kwargs)
        return sign * y.movedim(1, -1)

    return run


CASES = (
    Case(
        "max_pool_2d",
        pooling("max_pool", (2, 2), (2, 2)),
        (normal(2, 6, 5, 3),),
        torch=torch_pooling("max_pool2d", 2),
    ),
    Case(
        "max_pool_overlapping_padded",
        pooling("max_pool", (3, 2), (2, 1), padding=((1, 1), (1, 1))),
        (normal(2, 5, 4, 3),),
        torch=torch_pooling("max_pool2d", (3, 2), (2, 1), (1, 1)),
    ),
    Case(
        "max_pool_1d_default_strides",
        pooling("max_pool", (3,)),
        (normal(2, 6, 3),),
        torch=torch_pooling("max_pool1d", 3, 1),
    ),
    Case(
        "max_pool_same",
        pooling("max_pool", (3, 3), strides=(2, 2), padding="SAME"),
        (normal(1, 6, 6, 2),),
    ),
    Case(
        "min_pool_2d",
        pooling("min_pool", (2, 3), (2, 1)),
        (normal(2, 4, 5, 3),),
        torch=torch_pooling("max_pool2d", (2, 3), (2, 1), sign=-1),
    ),
    Case(
        "avg_pool_2d",
        pooling("avg_pool", (2, 3), (2, 2)),
        (normal(2, 5, 6, 3),),
        torch=torch_pooling("avg_pool2d", (2, 3), 2),
    ),
    Case(
        "avg_pool_padded",
        pooling("avg_pool", (3, 3), (2, 2), ((1, 1), (1, 1))),
        (normal(2, 5, 5, 3),),
        torch=torch_pooling("avg_pool2d", 3, 2, 1),
    ),
    Case(
        "avg_pool_padded_not_counted",
        pooling("avg_pool", (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False),
        (normal(2, 5, 5, 3),),
        torch=torch_pooling("avg_pool2d", 3, 2, 1, count_include_pad=False),
    ),
    Case(
        "avg_pool_3d_no_batch_axis",
        pooling("avg_pool", (2, 1, 2), (1, 1, 2)),
        (normal(3, 2, 4, 2),),
    ),
    Case(
        "avg_pool_bfloat16",
        pooling("avg_pool", (2, 2), (2, 2)),
        (normal(1, 4, 4, 2, dtype="bfloat16"),),
        tolerance=2e-2,
    ),
)
