"""Word dropout as an nnx module."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class WordDropout(StochasticModule):
    """Replaces tokens by another at random; see `jaxdrop.word_dropout`.

    Args:
      rate: Probability of replacing a token; a number in [0, 1], or an array that broadcasts against the tokens.
      replacement: The token in place of those that are dropped.
      protected: Tokens that are never replaced.
      deterministic: Whether to return the tokens as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a token: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.WordDropout(0.2, replacement=1, protected=(0,), rngs=nnx.Rngs(0))
      >>> layer(jnp.array([[4, 7, 2, 0]])).shape
      (1, 4)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        replacement: int,
        protected: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
        self.replacement = replacement
        self.protected = tuple(protected)
        self.bits = bits

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.word_dropout(
            key, inputs, self.rate, self.replacement, protected=self.protected, bits=self.bits
        )
