"""Model FLOPs utilisation: the arithmetic a language model needs, over what the GPU could do in the time."""

from __future__ import annotations

import re

# FLOP/s in bf16 with float32 sums, dense (data sheets often give twice that, for sparse matrices). By words of the device's
# name; of several that fit, the one of most words. From NVIDIA's data sheets.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H200 NVL": 835e12,
    "H100": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "A100": 312e12,
    "A30": 165e12,
    "A10": 125e12,
    "A10G": 70e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
}


def flops_per_token(parameters: int, layers: int, heads: int, head_size: int, length: int) -> int:
    """FLOPs of a training step for each token: ``6N + 12·L·H·Q·T`` (Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311,
    appendix B), forward and backward, without what is computed twice. Attention counts in full, also where it is causal.

    Args:
      parameters: N, without those of the positions, which are added and multiply nothing; the token embeddings count where
        they are the last matrix too.
      layers, heads, head_size, length: L, H, Q and T.

    >>> flops_per_token(124_000_000, layers=12, heads=12, head_size=64, length=1024)
    857246208
    """
    return 6 * parameters + 12 * layers * heads * head_size * length


def peak_flops(device: str) -> float | None:
    """What a GPU can do at most in bf16, FLOP/s; None for one that is not in the table.

    >>> peak_flops("NVIDIA H100 80GB HBM3"), peak_flops("NVIDIA H100 PCIe"), peak_flops("NVIDIA GeForce GTX 1080")
    (989000000000000.0, 756000000000000.0, None)
    """
    words = set(re.split(r"[\s-]+", device))
    fitting = [name for name in PEAKS if set(name.split()) <= words]
    return PEAKS[max(fitting, key=lambda name: len(name.split()))] if fitting else None
