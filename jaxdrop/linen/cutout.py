"""Cutout as a linen module."""

import dataclasses
from collections.abc import Sequence

import jax

from jaxdrop import _checks, functional
from jaxdrop.linen._stochastic import StochasticLayer


class Cutout(StochasticLayer):
    """A hole in each input image; see `jaxdrop.cutout`.

    Attributes:
      rate: Probability that an image is cut; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along all but their batch axes.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      size: Size of the hole along each spatial axis, or along all; by name only.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.

    Examples:
      >>> layer = jaxdrop.linen.Cutout(size=16, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 32, 32, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 32, 32, 3)
    """

    rate: float = 1.0
    size: int | Sequence[int] = dataclasses.field(kw_only=True)
    num_spatial_dims: int | None = None

    def key_needed(self) -> bool:
        return _checks.static_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.cutout(key, inputs, self.size, rate=self.rate, num_spatial_dims=self.num_spatial_dims)
