"""A decoder-only transformer for sequences of tokens: GPT-2, and what has become usual since."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.models.rotary import rotary
from nnxtrain.nnx.random import initializers

Norm: TypeAlias = nnx.LayerNorm | nnx.RMSNorm
EPSILON = 1e-5  # of the normalisations, as in GPT-2 and LLaMA


class MLP(nnx.Module):
    """The dense part of a block: one hidden layer with GELU (its tanh form, as in GPT-2), or SwiGLU (Shazeer 2020,
    https://arxiv.org/abs/2002.05202): ``down(silu(gate(x)) * up(x))``.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        gated: bool,
        linear: Callable[..., nnx.Linear],
        out_init: Callable[..., Any],
    ):
        self.gate = linear(width, hidden) if gated else None
        self.up = linear(width, hidden)
        self.down = linear(hidden, width, kernel_init=out_init)

    def __call__(self, x: jax.Array) -> jax.Array:
        up = self.up(x)
        return self.down(nnx.gelu(up) if self.gate is None else nnx.silu(self.gate(x)) * up)


class Block(nnx.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``: normalised before, so that the sum runs through untouched."""

    def __init__(
        self,
        norm: Callable[[], Norm],
        attention: Callable[[], nnx.MultiHeadAttention],
        mlp: Callable[[], MLP],
        dropout: Callable[[], nnx.Dropout],
    ):
        self.attention_norm = norm()
        self.attention = attention()
        self.mlp_norm = norm()
        self.mlp = mlp()
        self.dropout = dropout()

    def __call__(self, x: jax.Array, decode: bool = False) -> jax.Array:
        x = x + self.dropout(self.attention(self.attention_norm(x), is_causal=True, decode=decode))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class TransformerLM(nnx.Module):
    """A stack of pre-norm blocks over token embeddings, which gives the logits of each position's next token.

    The defaults are GPT-2's (Radford et al. 2019); ``positions="rotary"``, ``norm="rms"``, ``mlp="swiglu"``,
    ``use_bias=False`` and fewer ``num_kv_heads`` make it what LLaMA is (Touvron et al. 2023,
    https://arxiv.org/abs/2302.13971).

    Args:
      vocab_size: how many tokens there are.
      input_shape: ``(length,)`` of a training sequence.
      max_length: the context: how many positions a call may have; None: the training sequences' length.
      num_layers: how many blocks.
      width: size of a position's vector.
      num_heads: of attention; must divide ``width``.
      num_kv_heads: heads of keys and values, which neighbouring query heads share; None: ``num_heads``.
      hidden: size of the hidden layers; None: ``4 * width``, or for SwiGLU, which has three matrices instead of two,
        ``8 / 3 * width`` rounded up to a multiple of 64.
      positions: ``learned`` vectors, or ``rotary``: queries and keys are turned (see :func:`rotary`).
      rotary_base: of rotary positions.
      mlp: ``gelu`` or ``swiglu``.
      norm: ``layer`` or ``rms``.
      normalize_qk: normalise queries and keys in each head.
      use_bias: whether dense layers and layer normalisation have biases.
      tied_embeddings: the logits are products with the token embeddings, not with a matrix of their own.
      dropout_rate: of embeddings, attention weights and what each half of a block adds, in [0, 1].
      init_std: of the embeddings and matrices; those that end a half of a block get ``init_std / sqrt(2 * num_layers)``
        (Radford et al. 2019, section 2.3).
      remat: compute the blocks' intermediate values again in the backward pass: much less memory, about a third more time.
      dtype: what to compute in; parameters stay float32, the softmax and the logits are that at least.
      rngs: random streams; ``params`` is used, and ``dropout`` if there is any.

    The call maps int32[B, L] to logits float32[B, L, vocab_size]; L is at most ``max_length``.

    >>> model = TransformerLM(65, max_length=8, num_layers=2, width=16, num_heads=2, rngs=nnx.Rngs(0))
    >>> model(jnp.zeros((3, 8), jnp.int32)).shape
    (3, 8, 65)

    To decode step by step, make room for keys and values; each call then gets the new tokens alone:

    >>> model.init_cache(batch_size=3)
    >>> prompt, token = jnp.zeros((3, 5), jnp.int32), jnp.zeros((3, 1), jnp.int32)
    >>> model(prompt, decode=True).shape, model(token, decode=True).shape
    ((3, 5, 65), (3, 1, 65))
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        input_shape: Sequence[int] | None = None,
        max_length: int | None = None,
        num_layers: int = 6,
        width: int = 256,
        num_heads: int = 8,
        num_kv_heads: int | None = None,
        hidden: int | None = None,
        positions: Literal["learned", "rotary"] = "learned",
        rotary_base: float = 10_000.0,
        mlp: Literal["gelu", "swiglu"] = "gelu",
        norm: Literal["layer", "rms"] = "layer",
        normalize_qk: bool = False,
        use_bias: bool = True,
        tied_embeddings: bool = True,
        dropout_rate: float = 0.0,
        init_std: float = 0.02,
        remat: bool = False,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        self.vocab_size = vocab_size
        self.max_length = _context(max_length, input_shape)
        _check("positions", positions, "learned", "rotary")
        _check("mlp", mlp, "gelu", "swiglu")
        _check("norm", norm, "layer", "rms")
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        if positions == "rotary" and width // num_heads % 2:
            raise ValueError(
                f"rotary positions need heads of an even size; width={width} and num_heads={num_heads} do not give such"
            )
        if hidden is None:
            hidden = 4 * width if mlp == "gelu" else 64 * math.ceil(8 / 3 * width / 64)
        init = initializers.normal(init_std)
        out_init = initializers.normal(init_std / math.sqrt(2 * num_layers))

        def make_norm() -> Norm:
            if norm == "rms":
                return nnx.RMSNorm(width, epsilon=EPSILON, dtype=dtype, rngs=rngs)
            return nnx.LayerNorm(width, epsilon=EPSILON, use_bias=use_bias, dtype=dtype, rngs=rngs)

        linear = partial(nnx.Linear, use_bias=use_bias, kernel_init=init, dtype=dtype, rngs=rngs)
        attention = partial(
            nnx.MultiHeadAttention,
            num_heads,
            width,
            num_kv_heads=num_kv_heads,
            use_bias=use_bias,
            kernel_init=init,
            out_kernel_init=out_init,
            dropout_rate=dropout_rate,
            broadcast_dropout=False,
            normalize_qk=normalize_qk,
            position_fn=partial(rotary, base=rotary_base) if positions == "rotary" else None,
            dtype=dtype,
            rngs=rngs,
        )
        make_mlp = partial(
            MLP, width, hidden, gated=mlp == "swiglu", linear=linear, out_init=out_init
        )
        dropout = partial(nnx.Dropout, dropout_rate, rngs=rngs)

        embed = partial(nnx.Embed, features=width, embedding_init=init, dtype=dtype, rngs=rngs)
        self.tokens = embed(vocab_size)
        self.positions = embed(self.max_length) if positions == "learned" else None
        self.dropout = dropout()
        self.blocks = [Block(make_norm, attention, make_mlp, dropout) for _ in range(num_layers)]
        self.norm = make_norm()
        self.head = None if tied_embeddings else linear(width, vocab_size, use_bias=False)
        self.remat = remat

    def __call__(self, tokens: jax.Array, *, decode: bool = False) -> jax.Array:
        """Return float32[B, L, vocab_size], the logits of the tokens that follow ``tokens``, int32[B, L].

        Args:
          tokens: with ``decode``, only those that are new; what came before is in the cache.
          decode: go on from the cache, which :meth:`init_cache` makes; more than it has room for gives NaN, or an error
            where the call is not compiled.

        Raises:
          ValueError: more tokens than ``max_length``, or no cache.
        """
        length = tokens.shape[-1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, and the model's max_length is {self.max_length}")
        x = self.tokens(tokens)
        if self.positions is not None:
            cached = self.blocks[0].attention.cache_index if decode else None
            start = 0 if cached is None else cached.value
            x = x + self.positions(start + jnp.arange(length))
        x = self.dropout(x)
        run = nnx.remat(Block.__call__, static_argnums=2) if self.remat else Block.__call__
        for block in self.blocks:
            x = run(block, x, decode)
        x = self.norm(x)
        matrix = self.tokens.embedding.value.T if self.head is None else self.head.kernel.value
        kind = jnp.promote_types(x.dtype, jnp.float32)
        return jnp.dot(x, matrix.astype(x.dtype), preferred_element_type=kind)

    def init_cache(self, batch_size: int, max_length: int | None = None) -> None:
        """Make room for the keys and values of ``max_length`` positions (default: the model's); empties an old cache.

        Raises a ValueError for more than the model's ``max_length``.
        """
        length = self.max_length if max_length is None else max_length
        if length > self.max_length:
            raise ValueError(
                f"a cache of {length} positions, and the model's max_length is {self.max_length}"
            )
        for block in self.blocks:
            block.attention.set_view(batch_size=batch_size, max_length=length)


def _context(max_length: int | None, input_shape: Sequence[int] | None) -> int:
    length = None if input_shape is None else input_shape[0]
    if input_shape is not None and len(input_shape) != 1:
        raise ValueError(
            f"a language model wants sequences of tokens; the data's examples are {list(input_shape)}"
        )
    if max_length is None and length is None:
        raise ValueError("give max_length, or input_shape=(length,)")
    if max_length is not None and length is not None and length > max_length:
        raise ValueError(
            f"the data's sequences have {length} tokens, and max_length is {max_length}; shorten them or raise it"
        )
    return int(max_length if max_length is not None else length)  # type: ignore[arg-type]


def _check(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {' or '.join(allowed)}; it got {value!r}")
