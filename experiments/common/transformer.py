"""A small transformer that reads words, to classify sentences or to predict the next word."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxdrop
import jaxdrop.linen
from experiments.common.text import PADDING


class Transformer(nn.Module):
    """An encoder between an embedding and two heads.

    Attributes:
      num_words: Size of the vocabulary.
      features: Of each word.
      num_layers: How many layers.
      num_heads: How many heads in each.
      rates: Rates by place.
      noise: Noise on the attention weights.
      causal: Whether a word attends only to itself and those before.
      train: Whether noise is on.
    """

    num_words: int
    features: int
    num_layers: int
    num_heads: int
    rates: jaxdrop.EncoderRates = jaxdrop.encoder_rates.NO_DROPOUT
    noise: Callable[..., jax.Array] = jaxdrop.dropout
    causal: bool = False
    train: bool = False

    def setup(self) -> None:
        """Makes the layers."""
        scale = nn.initializers.normal(1 / math.sqrt(self.features))
        self.embed = nn.Embed(self.num_words, self.features, embedding_init=scale)
        self.encoder = jaxdrop.linen.Encoder(
            self.num_layers,
            self.num_heads,
            hidden=4 * self.features,
            rates=self.rates,
            noise=self.noise,
            deterministic=not self.train,
        )
        self.head = nn.Dense(2)

    def classify(self, tokens: jax.Array) -> jax.Array:
        """Logits of two classes, (batch, 2), for sentences of words as numbers, (batch, length)."""
        known = (tokens != PADDING)[..., None]
        mean = jnp.where(known, self.read(tokens), 0).sum(1) / jnp.maximum(known.sum(1), 1).astype(jnp.float32)
        return self.head(mean)

    def next_word(self, tokens: jax.Array) -> jax.Array:
        """Logits of the word after each one, (batch, length, num_words)."""
        return self.embed.attend(self.read(tokens))

    def read(self, tokens: jax.Array) -> jax.Array:
        """Features of each word in its sentence, (batch, length, features)."""
        known = tokens != PADDING
        mask = nn.make_attention_mask(known, known, dtype=bool)
        if self.causal:
            mask &= nn.make_causal_mask(tokens, dtype=bool)
        x = math.sqrt(self.features) * self.embed(tokens) + positions(tokens.shape[1], self.features)
        return self.encoder(x, mask)

    def both_heads(self, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What both heads give, to initialise both."""
        return self.classify(tokens), self.next_word(tokens)


def positions(length: int, features: int) -> jax.Array:
    """Sinusoidal encodings of positions, (1, length, features) (Vaswani et al. 2017, section 3.5)."""
    frequencies = 10_000.0 ** (-jnp.arange(0, features, 2) / features)
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * frequencies[None]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(1, length, features)
