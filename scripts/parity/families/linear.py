"""Linear, LinearGeneral, Einsum, LoRA, PReLU."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, normal


def linear(p: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    return functional.linear(x, p["kernel"].T, p.get("bias"))


def einsum(equation: str, *bias_shape: int) -> Any:
    def run(p: dict[str, Any], x: Any) -> Any:
        import torch

        y = torch.einsum(equation, x, p["kernel"])
        return y + p["bias"].reshape(bias_shape) if bias_shape else y

    return run


def lora(p: dict[str, Any], x: Any) -> Any:
    return linear(p, x) + x @ p["lora.lora_a"] @ p["lora.lora_b"]


def lora_around_linear(p: dict[str, Any], x: Any) -> Any:
    base = {"kernel": p["base_module.kernel"], "bias": p["base_module.bias"]}
    return linear(base, x) + x @ p["lora_a"] @ p["lora_b"]


def prelu(p: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    return functional.prelu(x, p["negative_slope"].reshape(1))


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
    Case(  # what computes in float32, as the parameters are float32
        "linear_bfloat16_input",
        lambda nnx: nnx.Linear(5, 4, rngs=nnx.Rngs(0)),
        (normal(3, 5, dtype="bfloat16"),),
        tolerance=1e-2,
    ),
    Case(
        "linear_float16",
        lambda nnx: nnx.Linear(
            5, 4, dtype="float16", preferred_element_type="float32", rngs=nnx.Rngs(0)
        ),
        (normal(3, 5),),
        tolerance=2e-3,
    ),
    Case(
        "linear_general",
        lambda nnx: nnx.LinearGeneral((2, 3), (4, 5), axis=(1, -1), rngs=nnx.Rngs(0)),
        (normal(2, 2, 6, 3),),
        torch=einsum("nitj,ijab->ntab", 4, 5),
    ),
    Case(
        "linear_general_batch_axis",
        lambda nnx: nnx.LinearGeneral(3, (2, 2), batch_axis={0: 4}, rngs=nnx.Rngs(0)),
        (normal(4, 5, 3),),
        torch=einsum("nti,niab->ntab", 4, 1, 2, 2),
    ),
    Case(
        "linear_general_without_bias",
        lambda nnx: nnx.LinearGeneral((3, 2), 4, axis=(-2, -1), use_bias=False, rngs=nnx.Rngs(0)),
        (normal(2, 3, 2),),
        torch=einsum("nij,ija->na"),
    ),
    Case(
        "einsum",
        lambda nnx: nnx.Einsum("nta,hab->nthb", (3, 2, 4), (3, 4), rngs=nnx.Rngs(0)),
        (normal(2, 5, 2),),
        torch=einsum("nta,hab->nthb", 3, 4),
    ),
    Case(
        "einsum_ellipsis",
        lambda nnx: nnx.Einsum("...a,hab->...hb", (3, 2, 4), (3, 4), rngs=nnx.Rngs(0)),
        (normal(2, 3, 2, 2),),
        torch=einsum("...a,hab->...hb", 3, 4),
    ),
    Case(
        "einsum_transposed_output",
        lambda nnx: nnx.Einsum("nta, hab -> bnht", (3, 2, 4), (4, 3), rngs=nnx.Rngs(0)),
        (normal(2, 5, 2),),
        torch=einsum("nta,hab->bnht", 4, 1, 3, 1),
    ),
    Case(
        "lora_linear",
        lambda nnx: nnx.LoRALinear(5, 4, lora_rank=2, rngs=nnx.Rngs(0)),
        (normal(3, 5),),
        torch=lora,
    ),
    Case(
        "lora_around_linear",
        lambda nnx: nnx.LoRA(
            5, 2, 4, base_module=nnx.Linear(5, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1)
        ),
        (normal(3, 5),),
        torch=lora_around_linear,
    ),
    Case("prelu", lambda nnx: nnx.PReLU(0.25), (normal(4, 6),), torch=prelu),
    Case(
        "prelu_bfloat16_input",
        lambda nnx: nnx.PReLU(),
        (normal(4, 6, dtype="bfloat16"),),
        tolerance=1e-2,
    ),
)
