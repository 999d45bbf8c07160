"""Gaussian dropout as an nnx module."""

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import StochasticLayer


class GaussianDropout(StochasticLayer):
    """Multiplicative normal noise; see `jaxdrop.gaussian_dropout`.

    Args:
      rate: A number in [0, 1] or an array that broadcasts against the inputs; the noise has variance rate / (1 - rate).
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.GaussianDropout(0.2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 3))).shape
      (2, 3)
    """

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.gaussian_dropout(key, inputs, self.rate)
