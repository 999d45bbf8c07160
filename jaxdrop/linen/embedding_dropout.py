"""Embedding dropout as a linen module."""

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import NoiseModule, flag_and_key, rate_needs_key


class EmbeddingDropout(NoiseModule):
    """Dropout of word types, wherever they occur; see `jaxdrop.embedding_dropout`.

    Attributes:
      rate: Probability of dropping a type; a number in [0, 1] or a scalar array.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      bits: Random bits that decide a type: None, 8, 16 or 32.

    Examples:
      >>> tokens = jnp.array([[3, 1, 3]])
      >>> embedded = jnp.ones((1, 3, 4))
      >>> layer = jaxdrop.linen.EmbeddingDropout(0.1, deterministic=False)
      >>> layer.apply({}, embedded, tokens, rngs={"dropout": jax.random.key(0)}).shape
      (1, 3, 4)
    """

    rate: jax.typing.ArrayLike
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    def __call__(
        self, inputs: jax.Array, tokens: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None
    ) -> jax.Array:
        """Applies the layer to the embedded tokens `inputs`, (*batch, features), given the `tokens`, (*batch,).

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of the function.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic, key = flag_and_key(self, deterministic, rng, key_needed=rate_needs_key(self.rate))
        return inputs if deterministic else functional.embedding_dropout(key, inputs, tokens, self.rate, bits=self.bits)
