"""The blocks of ResNet and ViT."""

from __future__ import annotations

from typing import Any

from scripts.parity.case import Case, normal


def basic(features: int, strides: int = 1) -> Any:
    def build(nnx: Any) -> Any:
        from nnxtrain.models.resnet import BasicBlock

        return BasicBlock(4, features, strides, zero_init=False, rngs=nnx.Rngs(0))

    return build


def bottleneck(nnx: Any) -> Any:
    from nnxtrain.models.resnet import Bottleneck

    return Bottleneck(4, 3, 2, zero_init=False, rngs=nnx.Rngs(0))


def encoder(nnx: Any) -> Any:
    from nnxtrain.models.vit import Block

    rates = {"dropout_rate": 0.0, "drop_path_rate": 0.0}
    return Block(8, num_heads=2, mlp_width=12, **rates, dtype=None, rngs=nnx.Rngs(0))


def residual(*strides: int) -> Any:
    """Convolutions with these strides, batch normalisation after each, and the way around them."""

    def run(p: dict[str, Any], x: Any) -> Any:
        from torch.nn.functional import batch_norm, conv2d, relu

        def step(x: Any, conv: str, norm: str, stride: int) -> Any:
            kernel = p[f"{conv}.kernel"].permute(3, 2, 0, 1)
            x = conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
            return batch_norm(x, None, None, p[f"{norm}.scale"], p[f"{norm}.bias"], training=True)

        y = x = x.movedim(-1, 1)
        for i, stride in enumerate(strides, 1):
            y = step(y, f"conv{i}", f"norm{i}", stride)
            y = relu(y) if i < len(strides) else y
        if "shortcut.layers.0.kernel" in p:
            x = step(x, "shortcut.layers.0", "shortcut.layers.1", max(strides))
        return relu(y + x).movedim(1, -1)

    return run


def encoder_layer(p: dict[str, Any], x: Any) -> Any:
    """PyTorch's own layer. The gradient of the keys' bias is zero up to rounding: left out."""
    import torch

    width, hidden = p["dense1.kernel"].shape
    theirs = torch.nn.TransformerEncoderLayer(
        width, 2, hidden, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    names = ("query", "key", "value")
    biases = [p[f"attention.{name}.bias"].flatten() for name in names]
    biases[1] = biases[1].detach()
    weights = {
        "self_attn.in_proj_weight": torch.cat(
            [p[f"attention.{name}.kernel"].flatten(1).T for name in names]
        ),
        "self_attn.in_proj_bias": torch.cat(biases),
        "self_attn.out_proj.weight": p["attention.out.kernel"].flatten(0, 1).T,
        "self_attn.out_proj.bias": p["attention.out.bias"],
    }
    for i in (1, 2):
        weights[f"linear{i}.weight"] = p[f"dense{i}.kernel"].T
        weights[f"linear{i}.bias"] = p[f"dense{i}.bias"]
        weights[f"norm{i}.weight"] = p[f"norm{i}.scale"]
        weights[f"norm{i}.bias"] = p[f"norm{i}.bias"]
    return torch.func.functional_call(theirs, weights, (x,))


IMAGE = (normal(2, 5, 6, 4),)

CASES = (
    Case("basic_block", basic(4), IMAGE, torch=residual(1, 1), flax=False, tolerance=3e-5),
    Case(
        "basic_block_with_strides",
        basic(6, 2),
        IMAGE,
        torch=residual(2, 1),
        flax=False,
        tolerance=3e-5,
    ),
    Case("bottleneck", bottleneck, IMAGE, torch=residual(1, 2, 1), flax=False, tolerance=3e-5),
    Case("vit_block", encoder, (normal(2, 5, 8),), torch=encoder_layer, flax=False),
)
