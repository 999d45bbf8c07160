"""Locked dropout as a linen module."""

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class LockedDropout(StochasticLayer):
    """Dropout with one mask for all steps of a sequence; see `jaxdrop.locked_dropout`.

    Attributes:
      rate: Probability of dropping a feature; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along the steps.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      time_axis: The axis of the steps.
      bits: Random bits that decide a feature: None, 8, 16 or 32.

    Examples:
      >>> layer = jaxdrop.linen.LockedDropout(0.2, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 7, 5)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 7, 5)
    """

    time_axis: int = -2
    bits: int | None = None

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.locked_dropout(key, inputs, self.rate, time_axis=self.time_axis, bits=self.bits)
