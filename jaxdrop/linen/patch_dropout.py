"""PatchDropout as a linen module."""

import jax

from jaxdrop import _checks, functional
from jaxdrop.linen._stochastic import StochasticLayer


class PatchDropout(StochasticLayer):
    """Shortens the sequence to a random part of its tokens; see `jaxdrop.patch_dropout`.

    Attributes:
      rate: Part of the patches to drop; a Python number in [0, 1].
      deterministic: Whether to return all tokens.
      rng_collection: Name of the RNG stream that the key comes from.
      num_prefix_tokens: How many tokens in front are not patches and always stay.

    Examples:
      >>> layer = jaxdrop.linen.PatchDropout(0.5, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 197, 64)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 99, 64)
    """

    num_prefix_tokens: int = 1

    def key_needed(self) -> bool:
        return _checks.known_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.patch_dropout(key, inputs, self.rate, num_prefix_tokens=self.num_prefix_tokens)
