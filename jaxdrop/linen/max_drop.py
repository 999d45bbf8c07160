"""Max-drop as a linen module."""

from typing import Literal

import jax

from jaxdrop import _checks, functional
from jaxdrop.linen._stochastic import StochasticLayer


class MaxDrop(StochasticLayer):
    """Drops the maximum of each feature map, or of each position's channels; see `jaxdrop.max_drop`.

    Attributes:
      rate: Probability of dropping a maximum; a number in [0, 1] or an array that broadcasts against the inputs.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      mode: 'feature' for the maximum over the spatial axes, 'channel' for that over the last axis.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first, and in mode 'channel'.
      rescale: Whether to divide by the expected part of the entries that is kept.

    Examples:
      >>> layer = jaxdrop.linen.MaxDrop(0.1, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 8, 8, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 8, 8, 3)
    """

    mode: Literal["feature", "channel"] = "feature"
    num_spatial_dims: int | None = None
    rescale: bool = False

    def key_needed(self) -> bool:
        return _checks.static_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.max_drop(
            key, inputs, self.rate, mode=self.mode, num_spatial_dims=self.num_spatial_dims, rescale=self.rescale
        )
