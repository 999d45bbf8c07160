"""A transformer encoder with dropout in each of the published places, in nnx."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from jaxdrop import functional, schedules
from jaxdrop.encoder_rates import NO_DROPOUT, EncoderRates
from jaxdrop.nnx.dropout import Dropout
from jaxdrop.nnx.layer_drop import LayerDrop
from jaxdrop.nnx.stochastic_depth import StochasticDepth


class EncoderBlock(nnx.Module):
    """A layer of a transformer encoder: self-attention and a feed-forward network, each with a residual connection.

    Args:
      features: Features of inputs and outputs.
      num_heads: How many heads; a divisor of the features.
      hidden: Hidden units of the feed-forward network.
      rates: Rates by place; `stochastic_depth` is this layer's own, `embedding` and `layer_drop` are the encoder's.
      pre_norm: Whether to normalise what goes into a sub-layer; else what comes out of the addition.
      noise: Noise on the attention weights, such as `jaxdrop.drop_attention` or `jaxdrop.drop_head`.
      rngs: Where parameters and keys come from.

    Examples:
      >>> block = jaxdrop.nnx.EncoderBlock(16, 4, 64, jaxdrop.EncoderRates(residual=0.1), rngs=nnx.Rngs(0))
      >>> block(jnp.ones((2, 7, 16))).shape
      (2, 7, 16)
    """

    def __init__(
        self,
        features: int,
        num_heads: int,
        hidden: int,
        rates: EncoderRates = NO_DROPOUT,
        *,
        pre_norm: bool = True,
        noise: Callable[..., jax.Array] = functional.dropout,
        rngs: nnx.Rngs,
    ):
        self.attention = nnx.MultiHeadAttention(
            num_heads,
            features,
            dropout_rate=rates.attention,
            broadcast_dropout=False,
            deterministic=False,
            attention_fn=functional.attention_fn(noise),
            decode=False,
            rngs=rngs,
        )
        self.expand = nnx.Linear(features, hidden, rngs=rngs)
        self.contract = nnx.Linear(hidden, features, rngs=rngs)
        self.hidden_dropout = Dropout(rates.feed_forward, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(features, rngs=rngs) for _ in range(2)])
        self.dropouts = nnx.List([Dropout(rates.residual, rngs=rngs) for _ in range(2)])
        self.depths = nnx.List([StochasticDepth(rates.stochastic_depth, rngs=rngs) for _ in range(2)])
        self.pre_norm = pre_norm

    def __call__(self, inputs: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Applies the layer.

        Args:
          inputs: Array (batch, length, features).
          mask: Boolean array that broadcasts to (batch, heads, length, length): True where to attend.

        Raises:
          ValueError: If a rate is not allowed.
        """
        x = inputs
        sub_layers = (lambda x: self.attention(x, mask=mask), self._feed_forward)
        for sub_layer, norm, dropout, depth in zip(sub_layers, self.norms, self.dropouts, self.depths, strict=True):
            x = x + depth(dropout(sub_layer(norm(x) if self.pre_norm else x)))
            x = x if self.pre_norm else norm(x)
        return x

    def _feed_forward(self, x: jax.Array) -> jax.Array:
        return self.contract(self.hidden_dropout(jax.nn.gelu(self.expand(x))))


class Encoder(nnx.Module):
    """A transformer encoder on embedded tokens, with dropout in each of the published places.

    Args:
      num_layers: How many layers.
      features: Features of inputs and outputs.
      num_heads: How many heads; a divisor of the features.
      hidden: Hidden units of the feed-forward networks.
      rates: Rates by place, such as `jaxdrop.encoder_rates.BERT`.
      pre_norm: Whether to normalise what goes into sub-layers, and what comes out at the end; else what comes out of
        each addition.
      noise: Noise on the attention weights, such as `jaxdrop.drop_attention` or `jaxdrop.drop_head`.
      rngs: Where parameters and keys come from.

    Examples:
      >>> rates = jaxdrop.encoder_rates.BERT
      >>> encoder = jaxdrop.nnx.Encoder(2, 16, num_heads=4, hidden=64, rates=rates, rngs=nnx.Rngs(0))
      >>> encoder(jnp.ones((2, 7, 16))).shape
      (2, 7, 16)

    References:
      Vaswani et al., `Attention is all you need <https://arxiv.org/abs/1706.03762>`_, 2017
    """

    def __init__(
        self,
        num_layers: int,
        features: int,
        *,
        num_heads: int,
        hidden: int,
        rates: EncoderRates = NO_DROPOUT,
        pre_norm: bool = True,
        noise: Callable[..., jax.Array] = functional.dropout,
        rngs: nnx.Rngs,
    ):
        depths = schedules.linear_depth(num_layers, rates.stochastic_depth)
        options: dict[str, Any] = {"pre_norm": pre_norm, "noise": noise, "rngs": rngs}
        blocks = [
            EncoderBlock(features, num_heads, hidden, rates._replace(stochastic_depth=depth), **options)
            for depth in depths
        ]
        self.embedding_dropout = Dropout(rates.embedding, rngs=rngs)
        self.layers = nnx.List([LayerDrop(block, rates.layer_drop, rngs=rngs) for block in blocks])
        self.norm = nnx.LayerNorm(features, rngs=rngs) if pre_norm else None

    def __call__(self, inputs: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Applies all layers.

        Args:
          inputs: Array (batch, length, features): the sum of token and position embeddings.
          mask: Boolean array that broadcasts to (batch, heads, length, length): True where to attend.

        Raises:
          ValueError: If a rate is not allowed.
        """
        x = self.embedding_dropout(inputs)
        for layer in self.layers:
            x = layer(x, mask)
        return x if self.norm is None else self.norm(x)
