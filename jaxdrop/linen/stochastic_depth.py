"""Stochastic depth as a linen module."""

from typing import Literal

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class StochasticDepth(StochasticLayer):
    """Drops the output of a residual branch as a whole; see `jaxdrop.stochastic_depth`.

    Attributes:
      rate: Probability of dropping; a number in [0, 1] or an array.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      mode: 'row' decides for each example, 'batch' once for all.
      bits: Random bits that decide: None, 8, 16 or 32.

    Examples:
      >>> layer = jaxdrop.linen.StochasticDepth(0.2, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 3)
    """

    mode: Literal["row", "batch"] = "row"
    bits: int | None = None

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.stochastic_depth(key, inputs, self.rate, mode=self.mode, bits=self.bits)
