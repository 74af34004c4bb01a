"""The networks in PyTorch, of ``torch.nn`` and as its tutorials train them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

Arrays = dict[Any, Any]


def conv3(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)


class Residual(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = conv3(in_channels, channels, stride), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = conv3(channels, channels), nn.BatchNorm2d(channels)
        self.shortcut = None
        if stride != 1:
            project = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)), inplace=True)


class ResNet(nn.Module):
    """Images [B, 3, 32, 32]."""

    def __init__(self, width: int, stages: tuple[int, ...]):
        super().__init__()
        self.conv, self.norm = conv3(3, width), nn.BatchNorm2d(width)
        blocks, channels = [], width
        for stage, length in enumerate(stages):
            for index in range(length):
                features, stride = width * 2**stage, 2 if stage and not index else 1
                blocks.append(Residual(channels, features, stride))
                channels = features
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        return self.head(self.blocks(x).mean((2, 3)))

    def load(self, params: Arrays) -> None:
        def load_conv(layer: nn.Conv2d, p: Arrays) -> None:
            assign(layer.weight, p["kernel"].transpose(3, 2, 0, 1))

        def load_norm(layer: nn.BatchNorm2d, p: Arrays) -> None:
            assign(layer.weight, p["scale"])
            assign(layer.bias, p["bias"])

        load_conv(self.conv, params["conv"])
        load_norm(self.norm, params["norm"])
        for block, p in zip(self.blocks, params["blocks"].values(), strict=True):
            for number in (1, 2):
                load_conv(getattr(block, f"conv{number}"), p[f"conv{number}"])
                load_norm(getattr(block, f"norm{number}"), p[f"norm{number}"])
            if block.shortcut is not None:
                first, second = p["shortcut"]["layers"].values()
                load_conv(block.shortcut[0], first)
                load_norm(block.shortcut[1], second)
        load_linear(self.head, params["head"])


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.attention_norm(x)).split(width, dim=2)
        q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class Transformer(nn.Module):
    """Tokens int[B, L]; the logits are products with the embeddings."""

    def __init__(
        self, vocab_size: int, max_length: int, num_layers: int, width: int, num_heads: int
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(max_length, width)
        self.blocks = nn.ModuleList([Block(width, num_heads) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)

    def load(self, params: Arrays) -> None:
        def load_norm(layer: nn.LayerNorm, p: Arrays) -> None:
            assign(layer.weight, p["scale"])
            assign(layer.bias, p["bias"])

        assign(self.tokens.weight, params["tokens"]["embedding"])
        assign(self.positions.weight, params["positions"]["embedding"])
        for block, p in zip(self.blocks, params["blocks"].values(), strict=True):
            attention = p["attention"]
            for layer, parts in (
                (block.qkv, [attention[name] for name in ("query", "key", "value")]),
                (block.out, [attention["out"]]),
                (block.up, [p["mlp"]["up"]]),
                (block.down, [p["mlp"]["down"]]),
            ):
                rows = layer.in_features
                kernels = [part["kernel"].reshape(rows, -1) for part in parts]
                assign(layer.weight, np.concatenate(kernels, 1).T)
                assign(layer.bias, np.concatenate([part["bias"].reshape(-1) for part in parts]))
            load_norm(block.attention_norm, p["attention_norm"])
            load_norm(block.mlp_norm, p["mlp_norm"])
        load_norm(self.norm, params["norm"])


class LSTM(nn.Module):
    """Sequences [B, L, F]."""

    def __init__(self, in_features: int, hidden_features: int):
        super().__init__()
        self.lstm = nn.LSTM(in_features, hidden_features, batch_first=True)
        self.head = nn.Linear(hidden_features, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(x)
        return self.head(h[-1])

    def load(self, params: Arrays) -> None:
        (layer,) = params["layers"].values()
        assign(self.lstm.weight_ih_l0, layer["cell"]["dense_i"]["kernel"].T)
        assign(self.lstm.weight_hh_l0, layer["cell"]["dense_h"]["kernel"].T)
        assign(self.lstm.bias_ih_l0, layer["cell"]["dense_h"]["bias"])
        nn.init.zeros_(self.lstm.bias_hh_l0)
        load_linear(self.head, params["head"])


def assign(parameter: nn.Parameter, value: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value)))


def load_linear(layer: nn.Linear, p: Arrays) -> None:
    assign(layer.weight, p["kernel"].T)
    assign(layer.bias, p["bias"])


MODELS = {"resnet18": ResNet, "transformer": Transformer, "lstm": LSTM}


def optimizer(network: str, parameters: Any, rate: float) -> torch.optim.Optimizer:
    """The same as the others'; ``fused`` as PyTorch's documentation advises where it exists (for the CPU it does)."""
    if network == "resnet18":
        return torch.optim.SGD(parameters, rate, momentum=0.9, fused=True)
    if network == "transformer":
        return torch.optim.AdamW(parameters, rate, weight_decay=1e-4, fused=True)
    return torch.optim.Adam(parameters, rate, fused=True)


def tensors(network: str, batch: Arrays, channels_last: bool) -> tuple[torch.Tensor, torch.Tensor]:
    x, label = torch.from_numpy(batch["input"]), torch.from_numpy(batch["label"]).long()
    if network == "resnet18":
        x = x.permute(0, 3, 1, 2)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        x = x.contiguous(memory_format=layout)
    return x.long() if network == "transformer" else x, label


def trainer(
    network: str,
    rate: float,
    options: Arrays,
    params: Arrays,
    *,
    compiled: bool = False,
    channels_last: bool = False,
) -> Callable[[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """A function that trains on the tensors of a batch and returns its loss."""
    model = MODELS[network](**options)
    model.load(params)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    opt = optimizer(network, model.parameters(), rate)
    apply = torch.compile(model) if compiled else model

    def train(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x, label = batch
        opt.zero_grad()
        loss = F.cross_entropy(apply(x).flatten(0, -2), label.flatten())
        loss.backward()
        opt.step()
        return loss.detach()

    return train
