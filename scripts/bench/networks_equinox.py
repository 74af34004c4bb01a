"""The LSTM classifier in Equinox, as its documentation's example of a recurrent network has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax


class LSTM(eqx.Module):
    cell: eqx.nn.LSTMCell
    head: eqx.nn.Linear

    def __init__(self, in_features: int, hidden_features: int):
        cell_key, head_key = jax.random.split(jax.random.key(0))
        self.cell = eqx.nn.LSTMCell(in_features, hidden_features, key=cell_key)
        self.head = eqx.nn.Linear(hidden_features, 10, key=head_key)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float[L, F] -> float[10]; a batch by vmap."""

        def step(carry: tuple, x: jax.Array) -> tuple:
            return self.cell(x, carry), None

        start = jnp.zeros(self.cell.hidden_size)
        (h, _), _ = lax.scan(step, (start, start), x)
        return self.head(h)


def trainer(
    network: str, tx: optax.GradientTransformation, options: dict[str, Any], params: Any, stats: Any
) -> Callable[[dict[str, jax.Array]], jax.Array]:
    """A function that trains on a batch and returns its loss."""
    assert network == "lstm"
    (layer,) = params["layers"].values()
    cell, head = layer["cell"], params["head"]
    model = eqx.tree_at(
        lambda m: (
            m.cell.weight_ih, m.cell.weight_hh, m.cell.bias, m.head.weight, m.head.bias
        ),
        LSTM(**options),
        (cell["dense_i"]["kernel"].T, cell["dense_h"]["kernel"].T, cell["dense_h"]["bias"],
         head["kernel"].T, head["bias"]),
    )  # fmt: skip
    opt_state = tx.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit(donate="all-except-first")
    def step(batch: dict[str, jax.Array], model: LSTM, opt_state: Any) -> tuple:
        @eqx.filter_value_and_grad
        def loss_fn(model: LSTM) -> jax.Array:
            x = batch["input"]
            logits = jax.vmap(model)(x.reshape(*x.shape[:2], -1))
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

        loss, grads = loss_fn(model)
        updates, opt_state = tx.update(grads, opt_state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), opt_state, loss

    def train(batch: dict[str, jax.Array]) -> jax.Array:
        nonlocal model, opt_state
        model, opt_state, loss = step(batch, model, opt_state)
        return loss

    return train
