"""Run a case in a library: outputs, and gradients of ``sum(output * cotangent)``.

A ``Values`` is a flat dict of arrays: "init.PATH" (what the library made from the seed), "param.PATH" (what the case ran
with), "in.I" and "cotangent.I" are common; "out.I", "grad.param.PATH" and "grad.in.I" are a library's answer.
"""

from __future__ import annotations

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scripts.parity.case import Case

Values = dict[str, np.ndarray]
COMPILE_FAST = {"xla_backend_optimization_level": 0}  # most of the time would go into compiling


def variables(lib: Any, layer: Any) -> Values:
    """All values of a layer by path, random streams left out."""
    state = lib.state(layer, lib.Not(lib.RngState))
    return {name_of(path): np.asarray(leaf[...]) for path, leaf in lib.to_flat_state(state)}


def name_of(path: tuple[Any, ...]) -> str:
    """A path with dots. (Some of Flax's have tuples in them.)"""
    return ".".join(name_of(part) if isinstance(part, tuple) else str(part) for part in path)


def question(lib: Any, case: Case) -> Values:
    """Make the inputs, weights and cotangents of a case, the layer being built by ``lib``."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    layer = case.build(lib)
    values: Values = {f"in.{i}": make(rng) for i, make in enumerate(case.inputs)}
    for path, value in variables(lib, layer).items():
        values[f"init.{path}"] = value
        # A bias of zeros and a scale of ones would hide mistakes; a variance must stay positive.
        moved = value + 0.3 * rng.random(value.shape) if is_float(value) else value
        values[f"param.{path}"] = moved.astype(value.dtype)
    split = lib.split(layer)
    outputs = jax.eval_shape(lambda: outputs_of(lib, case, split, values))
    for i, output in enumerate(outputs):
        values[f"cotangent.{i}"] = rng.normal(size=output.shape).astype(np.float32)
    return values


def answer(lib: Any, case: Case, values: Values) -> Values:
    """Outputs and gradients by an NNX library."""
    split = lib.split(case.build(lib))

    def loss(floats: Values) -> tuple[Any, list[Any]]:
        outputs = outputs_of(lib, case, split, {**values, **floats})
        terms = [
            jnp.sum(jnp.asarray(output, jnp.float32) * values[f"cotangent.{i}"])
            for i, output in enumerate(outputs)
            if is_float(output)
        ]
        return sum(terms, jnp.float32(0)), outputs

    run = jax.jit(jax.grad(loss, has_aux=True), compiler_options=COMPILE_FAST)
    grads, outputs = run(differentiated(values))
    found = {f"out.{i}": np.asarray(output) for i, output in enumerate(outputs)}
    return found | {f"grad.{name}": np.asarray(grad) for name, grad in grads.items()}


def answer_torch(case: Case, values: Values) -> Values:
    """Outputs by PyTorch, and gradients of all that it differentiates."""
    import torch

    tensors = {name: to_torch(v) for name, v in values.items()}
    floats = {name: tensors[name].requires_grad_() for name in differentiated(values)}
    params = {n.removeprefix("param."): t for n, t in tensors.items() if n.startswith("param.")}
    assert case.torch is not None
    outputs = case.torch(params, *(tensors[f"in.{i}"] for i in range(len(case.inputs))))
    outputs = jax.tree.leaves(outputs, is_leaf=torch.is_tensor)
    terms = [
        (output.float() * tensors[f"cotangent.{i}"]).sum()
        for i, output in enumerate(outputs)
        if output.is_floating_point() and output.requires_grad
    ]
    grads = torch.autograd.grad(sum(terms), list(floats.values()), allow_unused=True)
    found = {f"out.{i}": from_torch(output) for i, output in enumerate(outputs)}
    found |= {f"grad.{n}": from_torch(g) for n, g in zip(floats, grads) if g is not None}
    return found


def outputs_of(lib: Any, case: Case, split: tuple[Any, Any], values: dict[str, Any]) -> list[Any]:
    """Call the layer with the case's weights; its outputs in order."""
    graphdef, state = split

    def weight(path: tuple[Any, ...], leaf: Any) -> Any:
        name = "param." + name_of(path)
        value = jnp.asarray(values[name]) if name in values else leaf[...]
        return leaf.replace(value) if isinstance(leaf, lib.Variable) else value

    layer = lib.merge(graphdef, lib.map_state(weight, state))
    inputs = [jnp.asarray(values[f"in.{i}"]) for i in range(len(case.inputs))]
    return jax.tree.leaves(case.call(layer, *inputs))


def differentiated(values: Values) -> Values:
    """The floating inputs and weights."""
    return {n: v for n, v in values.items() if n.startswith(("in.", "param.")) and is_float(v)}


def is_float(value: Any) -> bool:
    return bool(jnp.issubdtype(value.dtype, jnp.floating))


def to_torch(value: np.ndarray) -> Any:
    import torch

    if value.dtype == jnp.bfloat16:
        return torch.tensor(value.astype(np.float32)).bfloat16()
    return torch.tensor(value)


def from_torch(tensor: Any) -> np.ndarray:
    import torch

    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(jnp.bfloat16)
    return np.array(tensor.numpy())
