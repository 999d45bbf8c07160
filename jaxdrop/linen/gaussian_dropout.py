"""Gaussian dropout as a linen module."""

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class GaussianDropout(StochasticLayer):
    """Multiplicative normal noise; see `jaxdrop.gaussian_dropout`.

    Attributes:
      rate: A number in [0, 1] or an array that broadcasts against the inputs; the noise has variance rate / (1 - rate).
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.

    Examples:
      >>> layer = jaxdrop.linen.GaussianDropout(0.2, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 3)
    """

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.gaussian_dropout(key, inputs, self.rate)
