"""Linear, LinearGeneral, Einsum, Embed."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, normal


def linear(p: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    return functional.linear(x, p["kernel"].T, p.get("bias"))


CASES = (
    Case(
        "linear",
        lambda nnx: nnx.Linear(5, 4, rngs=nnx.Rngs(0)),
        (normal(2, 3, 5),),
        torch=linear,
    ),
    Case(
        "linear_without_bias",
        lambda nnx: nnx.Linear(5, 4, use_bias=False, rngs=nnx.Rngs(params=1)),
        (normal(3, 5),),
        torch=linear,
    ),
    Case(
        "linear_bfloat16",
        lambda nnx: nnx.Linear(5, 4, dtype="bfloat16", param_dtype="bfloat16", rngs=nnx.Rngs(0)),
        (normal(3, 5, dtype="bfloat16"),),
        torch=linear,
        tolerance=1e-2,
    ),
)
