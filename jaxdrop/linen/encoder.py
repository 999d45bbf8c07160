"""A transformer encoder with dropout in each of the published places, in linen."""

from collections.abc import Callable

import flax.linen as nn
import jax

from jaxdrop import functional, schedules
from jaxdrop.encoder_rates import NO_DROPOUT, EncoderRates
from jaxdrop.linen.dropout import Dropout
from jaxdrop.linen.layer_drop import LayerDrop
from jaxdrop.linen.stochastic_depth import StochasticDepth


class EncoderBlock(nn.Module):
    """A layer of a transformer encoder: self-attention and a feed-forward network, each with a residual connection.

    Attributes:
      num_heads: How many heads; a divisor of the features.
      hidden: Hidden units of the feed-forward network.
      rates: Rates by place; `stochastic_depth` is this layer's own, `embedding` and `layer_drop` are the encoder's.
      pre_norm: Whether to normalise what goes into a sub-layer; else what comes out of the addition.
      noise: Noise on the attention weights, such as `jaxdrop.drop_attention` or `jaxdrop.drop_head`.
      deterministic: Whether to leave out all noise.

    Examples:
      >>> block = jaxdrop.linen.EncoderBlock(4, 64, jaxdrop.EncoderRates(residual=0.1), deterministic=True)
      >>> block.init_with_output(jax.random.key(0), jnp.ones((2, 7, 16)))[0].shape
      (2, 7, 16)
    """

    num_heads: int
    hidden: int
    rates: EncoderRates = NO_DROPOUT
    pre_norm: bool = True
    noise: Callable[..., jax.Array] = functional.dropout
    deterministic: bool | None = None

    @nn.compact
    def __call__(
        self, inputs: jax.Array, mask: jax.Array | None = None, deterministic: bool | None = None
    ) -> jax.Array:
        """Applies the layer.

        Args:
          inputs: Array (batch, length, features).
          mask: Boolean array that broadcasts to (batch, heads, length, length): True where to attend.
          deterministic: Whether to leave out all noise.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or a rate is not allowed.
          flax.errors.InvalidRngError: If an RNG stream is missing.
        """
        off = nn.merge_param("deterministic", self.deterministic, deterministic)

        def attend(x: jax.Array) -> jax.Array:
            return nn.MultiHeadDotProductAttention(
                self.num_heads,
                dropout_rate=self.rates.attention,
                broadcast_dropout=False,
                attention_fn=functional.attention_fn(self.noise),
                name="attention",
            )(x, mask=mask, deterministic=off)

        def feed_forward(x: jax.Array) -> jax.Array:
            x = nn.gelu(nn.Dense(self.hidden, name="expand")(x))
            x = Dropout(self.rates.feed_forward, deterministic=off)(x)
            return nn.Dense(inputs.shape[-1], name="contract")(x)

        x = inputs
        for sub_layer, name in ((attend, "attention_norm"), (feed_forward, "feed_forward_norm")):
            norm = nn.LayerNorm(name=name)
            branch = sub_layer(norm(x) if self.pre_norm else x)
            branch = Dropout(self.rates.residual, deterministic=off)(branch)
            x = x + StochasticDepth(self.rates.stochastic_depth, deterministic=off)(branch)
            x = x if self.pre_norm else norm(x)
        return x


class Encoder(nn.Module):
    """A transformer encoder on embedded tokens, with dropout in each of the published places.

    Attributes:
      num_layers: How many layers.
      num_heads: How many heads; a divisor of the features.
      hidden: Hidden units of the feed-forward networks.
      rates: Rates by place, such as `jaxdrop.encoder_rates.BERT`.
      pre_norm: Whether to normalise what goes into sub-layers, and what comes out at the end; else what comes out of
        each addition.
      noise: Noise on the attention weights, such as `jaxdrop.drop_attention` or `jaxdrop.drop_head`.
      deterministic: Whether to leave out all noise.

    Examples:
      >>> encoder = jaxdrop.linen.Encoder(2, num_heads=4, hidden=64, rates=jaxdrop.encoder_rates.BERT)
      >>> x = jnp.ones((2, 7, 16))
      >>> variables = encoder.init(jax.random.key(0), x, deterministic=True)
      >>> encoder.apply(variables, x, deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
      (2, 7, 16)

    References:
      Vaswani et al., `Attention is all you need <https://arxiv.org/abs/1706.03762>`_, 2017
    """

    num_layers: int
    num_heads: int
    hidden: int
    rates: EncoderRates = NO_DROPOUT
    pre_norm: bool = True
    noise: Callable[..., jax.Array] = functional.dropout
    deterministic: bool | None = None

    @nn.compact
    def __call__(
        self, inputs: jax.Array, mask: jax.Array | None = None, deterministic: bool | None = None
    ) -> jax.Array:
        """Applies all layers.

        Args:
          inputs: Array (batch, length, features): the sum of token and position embeddings.
          mask: Boolean array that broadcasts to (batch, heads, length, length): True where to attend.
          deterministic: Whether to leave out all noise.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or a rate is not allowed.
          flax.errors.InvalidRngError: If an RNG stream is missing.
        """
        off = nn.merge_param("deterministic", self.deterministic, deterministic)
        x = Dropout(self.rates.embedding, deterministic=off)(inputs)
        for layer, rate in enumerate(schedules.linear_depth(self.num_layers, self.rates.stochastic_depth)):
            rates = self.rates._replace(stochastic_depth=rate)
            block = EncoderBlock(
                self.num_heads, self.hidden, rates, self.pre_norm, self.noise, off, name=f"layer_{layer}"
            )
            x = LayerDrop(block, self.rates.layer_drop, deterministic=off, name=f"drop_{layer}")(x, mask)
        return nn.LayerNorm(name="norm")(x) if self.pre_norm else x
