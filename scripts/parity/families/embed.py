"""Embed."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, constant, integers, normal


def lookup(p: dict[str, Any], i: Any) -> Any:
    from torch.nn import functional

    return functional.embedding(i, p["embedding"])


def attend(p: dict[str, Any], query: Any) -> Any:
    return query @ p["embedding"].T


CASES = (
    Case(
        "embed",
        lambda nnx: nnx.Embed(7, 4, rngs=nnx.Rngs(0)),
        (integers(7, 2, 5),),
        torch=lookup,
    ),
    Case(
        "embed_negative",
        lambda nnx: nnx.Embed(7, 4, rngs=nnx.Rngs(0)),
        (constant([0, 6, -1, -7], "int32"),),
    ),
    Case(
        "embed_one_vector",
        lambda nnx: nnx.Embed(1, 4, rngs=nnx.Rngs(0)),
        (constant([0, 3, 9], "int32"),),
    ),
    Case(
        "embed_bfloat16",
        lambda nnx: nnx.Embed(7, 4, dtype="bfloat16", rngs=nnx.Rngs(0)),
        (integers(7, 5),),
        tolerance=1e-2,
    ),
    Case(
        "embed_attend",
        lambda nnx: nnx.Embed(7, 4, rngs=nnx.Rngs(0)),
        (normal(2, 3, 4),),
        call=lambda layer, query: layer.attend(query),
        torch=attend,
    ),
)
