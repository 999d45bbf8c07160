"""Cutout as an nnx module."""

from collections.abc import Sequence

import jax

from jaxdrop import _checks, functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class Cutout(StochasticLayer):
    """A hole in each input image; see `jaxdrop.cutout`.

    Args:
      size: Size of the hole along each spatial axis, or along all.
      rate: Probability that an image is cut; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along all but their batch axes.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.Cutout(16, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 32, 32, 3))).shape
      (2, 32, 32, 3)
    """

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        rate: jax.typing.ArrayLike = 1.0,
        num_spatial_dims: int | None = None,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.size = tuple(size) if isinstance(size, Sequence) else size
        self.num_spatial_dims = num_spatial_dims

    def key_needed(self) -> bool:
        return _checks.static_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.cutout(key, inputs, self.size, rate=self.rate, num_spatial_dims=self.num_spatial_dims)
