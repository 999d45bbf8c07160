"""Word dropout as a linen module."""

import dataclasses
from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticModule, rate_needs_key


class WordDropout(StochasticModule):
    """Replaces tokens by another at random; see `jaxdrop.word_dropout`.

    Attributes:
      rate: Probability of replacing a token; a number in [0, 1], or an array that broadcasts against the tokens.
      deterministic: Whether to return the tokens as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      replacement: The token in place of those that are dropped; by name only.
      protected: Tokens that are never replaced.
      bits: Random bits that decide a token: None, 8, 16 or 32.

    Examples:
      >>> layer = jaxdrop.linen.WordDropout(0.2, deterministic=False, replacement=1, protected=(0,))
      >>> layer.apply({}, jnp.array([[4, 7, 2, 0]]), rngs={"dropout": jax.random.key(0)}).shape
      (1, 4)
    """

    rate: jax.typing.ArrayLike
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    replacement: int = dataclasses.field(kw_only=True)
    protected: Sequence[int] = ()
    bits: int | None = None

    def key_needed(self) -> bool:
        return rate_needs_key(self.rate)

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.word_dropout(
            key, inputs, self.rate, self.replacement, protected=self.protected, bits=self.bits
        )
