"""What a training step costs, counted and not timed: operations, memory and Python calls, beside the step by hand.

The limits are what was counted; whoever lowers a count lowers its limit. Compilations are counted by test_start.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.data import Spec
from nnxtrain.models import MLP
from nnxtrain.nnx.graph.structure import Check
from nnxtrain.tasks import Classification
from nnxtrain.training.compiling import compiler_options
from nnxtrain.training.session import decide
from nnxtrain.training.state import TrainState
from nnxtrain.training.step import make_train_step

SPEC = Spec((8,), "float32", num_classes=3)
BATCH = {"input": np.ones((16, 8), np.float32), "label": np.zeros(16, np.int32)}
DEPTHS = 2, 12


def network(depth: int) -> MLP:
    model = MLP(3, input_shape=SPEC.input_shape, hidden=(64,) * depth, rngs=nnx.Rngs(0))
    decide(model)
    return model


def of_fit(depth: int) -> tuple[Callable[..., Any], TrainState]:
    """The step of ``nnxtrain fit`` and its state."""
    task = Classification(spec=SPEC)
    return make_train_step(task), TrainState(network(depth), optax.adam(1e-3), task.metrics())


def by_hand(depth: int) -> tuple[Callable[..., Any], tuple]:
    """The same network, loss and optimizer on lists of arrays, and nothing else."""
    params = [(jnp.array(x.kernel.value), jnp.array(x.bias.value)) for x in network(depth).linears]
    tx = optax.adam(1e-3)

    def loss_fn(params: list, batch: dict) -> jax.Array:
        x = batch["input"]
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        logits = x @ params[-1][0] + params[-1][1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: dict) -> tuple:
        params, opt_state = state
        loss, grads = jax.value_and_grad(loss_fn)(params, batch)
        updates, opt_state = tx.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    return step, (params, tx.init(params))


def operations(step: Callable[..., Any], state: Any) -> int:
    """In the program that XLA is given, before it optimises."""
    return step.lower(state, BATCH).as_text().count("= stablehlo.")


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_program_has_few_operations_more_than_the_one_by_hand(depth: int) -> None:
    parameters = 2 * (depth + 1)  # arrays of them; each is in a norm, and looked at by the guard
    more = operations(*of_fit(depth)) - operations(*by_hand(depth))
    assert 0 < more <= 50 + 7.5 * parameters


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_program_works_in_the_states_own_memory(depth: int) -> None:
    (step, state), (step_by_hand, state_by_hand) = of_fit(depth), by_hand(depth)
    ours = step.lower(state, BATCH).compile().memory_analysis()
    hand = step_by_hand.lower(state_by_hand, BATCH).compile().memory_analysis()
    assert ours.alias_size_in_bytes >= hand.alias_size_in_bytes  # all of it is donated
    # The update waits for the norm of all gradients; by hand each is used up before the next is made. So half of them come
    # on top; a copy of adam's state would be twice the gradients.
    gradients = sum(x.nbytes for x in jax.tree.leaves(state_by_hand[0]))
    assert ours.temp_size_in_bytes <= hand.temp_size_in_bytes + gradients / 2 + 4096


@pytest.mark.skipif(compiler_options() is None, reason="this jaxlib compiles in its own way")
def test_no_gradient_is_summed_over_windows_nor_scaled_by_itself() -> None:
    step, state = of_fit(2)
    program = step.lower(state, BATCH).compile().as_text()
    assert "window={size=32x32" not in program
    # A kernel's gradient goes from the product that makes it to the norm, and into the branch of the update.
    entry = program[program.index("\nENTRY") :]
    made = re.findall(r" = f32\[64,64\]\S* ([a-z\-]+)\(", entry)
    assert [name for name in made if name not in ("parameter", "get-tuple-element")] == ["dot"]


def test_a_step_makes_few_python_calls_however_many_variables_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Check, "enabled", False)  # as users run it
    found = []
    for depth in DEPTHS:
        step, state = of_fit(depth)
        batch = jax.device_put(BATCH)
        for _ in range(3):  # the first traces, the second looks whether the structure came back
            step(state, batch)
        calls: list[str] = []

        def count(frame: Any, event: str, argument: Any, calls: list[str] = calls) -> None:
            if event in ("call", "c_call"):
                calls.append(str(argument or frame.f_code.co_qualname))

        sys.setprofile(count)
        try:
            step(state, batch)
        finally:
            sys.setprofile(None)
        found.append(calls)
    assert len(found[0]) == len(found[1])
    assert len(found[0]) <= 20, found[0]
