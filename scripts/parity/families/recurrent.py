"""Recurrent cells, RNN and Bidirectional."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.parity.case import Case, constant, normal

LENGTHS = constant(np.array([5, 3], np.int32))


def rnn(make_cell: Any, **options: Any) -> Any:
    """Build an RNN around a cell of 3 features and 4 hidden ones."""
    return lambda nnx: nnx.RNN(make_cell(nnx), **options)


def lstm_cell(nnx: Any) -> Any:
    return nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0))


def optimized_lstm_cell(nnx: Any) -> Any:
    return nnx.OptimizedLSTMCell(3, 4, rngs=nnx.Rngs(0))


def gru_cell(nnx: Any) -> Any:
    return nnx.GRUCell(3, 4, rngs=nnx.Rngs(0))


def simple_cell(nnx: Any) -> Any:
    return nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0))


def both_ways(make_cell: Any) -> Any:
    return lambda nnx: nnx.Bidirectional(nnx.RNN(make_cell(nnx)), nnx.RNN(make_cell(nnx)))


def lstm_weights(p: dict[str, Any], prefix: str = "cell.") -> tuple[Any, ...]:
    """PyTorch's weight_ih, weight_hh, bias_ih, bias_hh, from either LSTM cell."""
    import torch

    if f"{prefix}dense_i.kernel" in p:
        ih, hh = p[f"{prefix}dense_i.kernel"].T, p[f"{prefix}dense_h.kernel"].T
        bias = p[f"{prefix}dense_h.bias"]
    else:
        ih = torch.cat([p[f"{prefix}{n}.kernel"].T for n in ("ii", "if_", "ig", "io")])
        hh = torch.cat([p[f"{prefix}{n}.kernel"].T for n in ("hi", "hf", "hg", "ho")])
        bias = torch.cat([p[f"{prefix}{n}.bias"] for n in ("hi", "hf", "hg", "ho")])
    return ih, hh, torch.zeros_like(bias), bias


def gru_weights(p: dict[str, Any], prefix: str = "cell.") -> tuple[Any, ...]:
    import torch

    b_hn = p[f"{prefix}b_hn"]
    b_hh = torch.cat([torch.zeros(2 * len(b_hn)), b_hn])
    ih, hh = p[f"{prefix}dense_i.kernel"].T, p[f"{prefix}dense_h.kernel"].T
    return ih, hh, p[f"{prefix}dense_i.bias"], b_hh


def simple_weights(p: dict[str, Any], prefix: str = "cell.") -> tuple[Any, ...]:
    import torch

    bias = p[f"{prefix}dense_i.bias"]
    ih, hh = p[f"{prefix}dense_i.kernel"].T, p[f"{prefix}dense_h.kernel"].T
    return ih, hh, bias, torch.zeros_like(bias)


NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def by_torch(kind: str, weights: Any, prefixes: tuple[str, ...] = ("cell.",)) -> Any:
    """The outputs by torch.nn.LSTM, GRU or RNN."""

    def run(p: dict[str, Any], x: Any) -> Any:
        import torch

        theirs = getattr(torch.nn, kind)(3, 4, batch_first=True, bidirectional=len(prefixes) == 2)
        given = {}
        for prefix, suffix in zip(prefixes, ("", "_reverse")):
            given |= {f"{n}{suffix}": w for n, w in zip(NAMES, weights(p, prefix))}
        return torch.func.functional_call(theirs, given, (x,))[0]

    return run


def last_carry(kind: str, weights: Any) -> Any:
    """The carry after each sequence's last step, by a packed sequence."""

    def run(p: dict[str, Any], x: Any, lengths: Any) -> Any:
        import torch

        theirs = getattr(torch.nn, kind)(3, 4, batch_first=True)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        carry = torch.func.functional_call(theirs, dict(zip(NAMES, weights(p))), (packed,))[1]
        return [carry[1][0], carry[0][0]] if kind == "LSTM" else [carry[0]]

    return run


def carry_of(layer: Any, x: Any, lengths: Any) -> Any:
    return layer(x, seq_lengths=lengths, return_carry=True)[0]


def everything(layer: Any, x: Any, lengths: Any) -> Any:
    return layer(x, seq_lengths=lengths, return_carry=True)


SEQUENCE = (normal(2, 5, 3),)
PADDED = (normal(2, 5, 3), LENGTHS)
BOTH = ("forward_rnn.cell.", "backward_rnn.cell.")

CASES = (
    Case("lstm", rnn(lstm_cell), SEQUENCE, torch=by_torch("LSTM", lstm_weights)),
    Case(
        "optimized_lstm", rnn(optimized_lstm_cell), SEQUENCE, torch=by_torch("LSTM", lstm_weights)
    ),
    Case("gru", rnn(gru_cell), SEQUENCE, torch=by_torch("GRU", gru_weights), flax=False),
    Case("simple", rnn(simple_cell), SEQUENCE, torch=by_torch("RNN", simple_weights)),
    Case(
        "simple_residual",
        rnn(lambda nnx: nnx.SimpleCell(3, 4, residual=True, rngs=nnx.Rngs(0))),
        SEQUENCE,
    ),
    Case(
        "lstm_carry_of_lengths",
        rnn(optimized_lstm_cell),
        PADDED,
        carry_of,
        torch=last_carry("LSTM", lstm_weights),
    ),
    Case(
        "gru_carry_of_lengths",
        rnn(gru_cell),
        PADDED,
        carry_of,
        torch=last_carry("GRU", gru_weights),
        flax=False,
    ),
    Case("reversed", rnn(simple_cell, reverse=True), PADDED, everything),
    Case(
        "reversed_in_order",
        rnn(lstm_cell, reverse=True, keep_order=True, unroll=2),
        PADDED,
        everything,
    ),
    Case(
        "time_major",
        rnn(optimized_lstm_cell, time_major=True, return_carry=True),
        (normal(5, 2, 3),),
    ),
    Case("two_batch_axes", rnn(optimized_lstm_cell), (normal(2, 2, 5, 3),)),
    Case(
        "bidirectional_lstm",
        both_ways(optimized_lstm_cell),
        SEQUENCE,
        torch=by_torch("LSTM", lstm_weights, BOTH),
    ),
    Case(
        "bidirectional_gru",
        both_ways(gru_cell),
        SEQUENCE,
        torch=by_torch("GRU", gru_weights, BOTH),
        flax=False,
    ),
    Case("bidirectional_padded", both_ways(simple_cell), PADDED, everything),
    Case(
        "lstm_bfloat16",
        rnn(
            lambda nnx: nnx.OptimizedLSTMCell(
                3, 4, dtype="bfloat16", param_dtype="float32", rngs=nnx.Rngs(0)
            )
        ),
        SEQUENCE,
        tolerance=2e-2,
    ),
)
