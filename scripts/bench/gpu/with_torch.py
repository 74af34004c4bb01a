"""A contestant: a training loop in PyTorch, as its documentation has it, in this process. Prints one JSON object.

The same data, batch size, optimizer and arithmetic as nnxtrain's: autocast to bfloat16 where that computes in it, else TF32
in products and convolutions, which is JAX's default too. Images stay on the device, channels last; tokens are read from
the file as nanoGPT reads them, through pinned memory. Losses are summed on the device and read once a window, as nnxtrain
reads its metrics.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch_models import GPT, LeNet, ResNet

Loss = Callable[..., torch.Tensor]
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


def images(told: dict[str, Any]) -> tuple[torch.nn.Module, Any, Loss, Iterator[tuple]]:
    """ResNet or LeNet: the model, its optimizer, the loss of a batch, and the batches (rows' numbers)."""
    work, options = told["work"], told["options"]
    with np.load(told["data"]) as arrays:
        inputs = torch.from_numpy(arrays["input"]).to(DEVICE)  # [N, H, W, C]: channels last
        labels = torch.from_numpy(arrays["label"]).long().to(DEVICE)
    pixels = inputs[:1000].float() / 255
    mean, std = (x.view(1, -1, 1, 1) for x in (pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))))
    net = ResNet(**work["model"]) if work["subject"] == "resnet18" else LeNet()
    net = net.to(DEVICE, memory_format=torch.channels_last)
    if work["subject"] == "resnet18":
        optimizer = torch.optim.SGD(
            net.parameters(), lr=0.02, momentum=0.9, nesterov=True, fused=True
        )
        autocast: Any = torch.autocast(DEVICE.type, torch.bfloat16)
    else:
        optimizer = torch.optim.Adam(
            net.parameters(), lr=0.001, fused=True, capturable="graph" in options
        )
        autocast = contextlib.nullcontext()

    def loss_of(pixels: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        with autocast:
            return F.cross_entropy(net((pixels.float() / 255 - mean) / std), label)

    compiled = compile_(loss_of, options)

    def loss_of_rows(ids: torch.Tensor) -> torch.Tensor:
        # Rows are taken outside: as an input of a CUDA graph, all images would be copied at each call.
        return compiled(inputs[ids].permute(0, 3, 1, 2), labels[ids])

    def rows() -> Iterator[tuple]:
        while True:
            order = torch.randperm(len(inputs), device=DEVICE)
            for ids in order.split(work["batch"]):
                if len(ids) == work["batch"]:
                    yield (ids,)

    return net, optimizer, loss_of_rows, rows()


def language_model(told: dict[str, Any]) -> tuple[torch.nn.Module, Any, Loss, Iterator[tuple]]:
    """GPT-2: the model, its optimizer, the loss of a batch, and the batches (tokens and the next tokens)."""
    work = told["work"]
    net = GPT(**work["model"]).to(DEVICE)
    matrices = [p for p in net.parameters() if p.dim() >= 2]
    others = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=True)

    def loss_of(tokens: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16):
            logits = net(tokens)
            return F.cross_entropy(logits.flatten(0, 1), following.flatten())

    def windows() -> Iterator[tuple]:
        data = np.memmap(told["data"], np.uint16, "r")
        length, rng = work["model"]["length"], np.random.default_rng(1)
        while True:
            starts = rng.integers(0, len(data) - length - 1, work["batch"])
            rows = np.stack([data[i : i + length + 1] for i in starts]).astype(np.int64)
            held = torch.from_numpy(rows)
            if CUDA:
                held = held.pin_memory().to(DEVICE, non_blocking=True)
            yield held[:, :-1], held[:, 1:]

    return net, optimizer, compile_(loss_of, told["options"]), windows()


def compile_(function: Loss, options: dict[str, Any]) -> Loss:
    if "compile" not in options:
        return function
    if not CUDA:  # a smoke test, without the wait for a C++ compiler
        return torch.compile(function, backend="aot_eager")
    return torch.compile(function, mode=options["compile"])


def in_a_graph(step: Loss, batch: tuple) -> Loss:
    """One CUDA graph for the whole step: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture"""
    static = [x.clone() for x in batch]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(*static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(*static)

    def replay(*batch: torch.Tensor) -> torch.Tensor:
        for old, new in zip(static, batch):
            old.copy_(new)
        graph.replay()
        return loss

    return replay


def main() -> None:
    told = json.loads(sys.argv[1])
    work, options = told["work"], told["options"]
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")  # TF32
    torch.backends.cudnn.benchmark = True
    make = language_model if work["subject"] == "gpt2" else images
    net, optimizer, loss_of, batches = make(told)
    clip = work["subject"] == "gpt2"

    def step(*batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(*batch)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    if "graph" in options:
        step = in_a_graph(step, next(batches))
    seconds, losses = [], []
    for _ in range(work["windows"] + 1):
        start = time.perf_counter()
        total = torch.zeros((), device=DEVICE)
        for _ in range(work["steps"]):
            total += step(*next(batches))
        losses.append(total.item() / work["steps"])
        if CUDA:
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - start) / work["steps"])
    answer = {
        "seconds": seconds[1:],
        "losses": losses,
        "parameters": sum(p.numel() for p in net.parameters()),
        "peak_bytes": torch.cuda.max_memory_allocated() if CUDA else None,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
