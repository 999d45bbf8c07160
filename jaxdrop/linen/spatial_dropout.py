"""Spatial dropout as a linen module."""

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class SpatialDropout(StochasticLayer):
    """Dropout of whole channels; see `jaxdrop.spatial_dropout`.

    Attributes:
      rate: Probability of dropping a channel; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along their spatial axes.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      bits: Random bits that decide a channel: None, 8, 16 or 32.

    Examples:
      >>> layer = jaxdrop.linen.SpatialDropout(0.2, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 8, 8, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 8, 8, 3)
    """

    num_spatial_dims: int | None = None
    bits: int | None = None

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.spatial_dropout(
            key, inputs, self.rate, num_spatial_dims=self.num_spatial_dims, bits=self.bits
        )
