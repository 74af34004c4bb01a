"""MultiHeadAttention.

A bias of the keys shifts all logits of a query alike, so its gradient is zero up to rounding, which cannot be compared; only
where keys are normalised afterwards is there one. The cases without normalisation have no biases.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.parity.case import Case, booleans, normal

CAUSAL = np.tri(5, dtype=bool)


def attention(causal: bool = False, normalise: bool = False) -> Any:
    """The layer by PyTorch's scaled_dot_product_attention."""

    def run(p: dict[str, Any], q: Any, k: Any = None, v: Any = None, mask: Any = None) -> Any:
        import torch
        from torch.nn import functional

        k = q if k is None else k
        v = k if v is None else v

        def project(name: str, x: Any) -> Any:
            kernel = p[f"{name}.kernel"]  # [in, heads, depth] -> [batch, heads, length, depth]
            y = torch.einsum("bti,ihd->bhtd", x, kernel)
            bias = p.get(f"{name}.bias")
            return y if bias is None else y + bias[:, None, :]

        query, key, value = project("query", q), project("key", k), project("value", v)
        if normalise:
            depth = (query.shape[-1],)
            query = functional.layer_norm(query, depth, p["query_ln.scale"], eps=1e-6)
            key = functional.layer_norm(key, depth, p["key_ln.scale"], eps=1e-6)
        grouped = query.shape[1] != key.shape[1]
        x = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=grouped
        )
        y = torch.einsum("bhtd,hdo->bto", x, p["out.kernel"])
        return y if p.get("out.bias") is None else y + p["out.bias"]

    return run


def torch_layer(p: dict[str, Any], q: Any, k: Any, v: Any) -> Any:
    """The layer by PyTorch's own MultiheadAttention."""
    import torch

    num_heads, out = p["query.kernel"].shape[1], p["out.kernel"].shape[-1]
    theirs = torch.nn.MultiheadAttention(
        out, num_heads, bias=False, kdim=k.shape[-1], vdim=v.shape[-1], batch_first=True
    )
    weights = {
        f"{n[0]}_proj_weight": p[f"{n}.kernel"].flatten(1).T for n in ("query", "key", "value")
    }
    weights["out_proj.weight"] = p["out.kernel"].flatten(0, 1).T
    return torch.func.functional_call(theirs, weights, (q, k, v), {"need_weights": False})[0]


def masked(layer: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return layer(q, k, v, mask=mask)


CASES = (
    Case(
        "self",
        lambda nnx: nnx.MultiHeadAttention(2, 4, use_bias=False, decode=False, rngs=nnx.Rngs(0)),
        (normal(2, 5, 4),),
        torch=attention(),
    ),
    Case(
        "causal",
        lambda nnx: nnx.MultiHeadAttention(
            2, 4, qkv_features=6, out_features=3, use_bias=False, decode=False, rngs=nnx.Rngs(0)
        ),
        (normal(2, 5, 4),),
        lambda layer, x: layer(x, is_causal=True),
        torch=attention(causal=True),
    ),
    Case(
        "cross",
        lambda nnx: nnx.MultiHeadAttention(
            2, 4, in_kv_features=3, use_bias=False, decode=False, rngs=nnx.Rngs(params=1)
        ),
        (normal(2, 5, 4), normal(2, 3, 3), normal(2, 3, 3)),
        torch=torch_layer,
    ),
    Case(
        "masked",
        lambda nnx: nnx.MultiHeadAttention(2, 4, use_bias=False, decode=False, rngs=nnx.Rngs(0)),
        (normal(2, 5, 4), normal(2, 6, 4), normal(2, 6, 4), booleans(2, 1, 5, 6)),
        masked,
        torch=attention(),
    ),
    Case(
        "grouped_queries",
        lambda nnx: nnx.MultiHeadAttention(
            4, 4, qkv_features=8, num_kv_heads=2, use_bias=False, decode=False, rngs=nnx.Rngs(0)
        ),
        (normal(2, 5, 4),),
        lambda layer, x: layer(x, mask=CAUSAL[None, None]),
        torch=attention(causal=True),
    ),
    Case(
        "normalised",
        lambda nnx: nnx.MultiHeadAttention(
            2, 4, qkv_features=6, normalize_qk=True, decode=False, rngs=nnx.Rngs(0)
        ),
        (normal(2, 5, 4),),
        torch=attention(normalise=True),
        torch_tolerance=3e-5,  # the fast variance of three features loses a digit
    ),
    Case(
        "bfloat16",
        lambda nnx: nnx.MultiHeadAttention(
            2,
            4,
            dtype="bfloat16",
            param_dtype="bfloat16",
            use_bias=False,
            decode=False,
            rngs=nnx.Rngs(0),
        ),
        (normal(2, 5, 4, dtype="bfloat16"),),
        torch=attention(),
        tolerance=2e-2,
    ),
)
