"""Max-drop as an nnx module."""

from typing import Literal

import jax

from jaxdrop import _checks, functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class MaxDrop(StochasticLayer):
    """Drops the maximum of each feature map, or of each position's channels; see `jaxdrop.max_drop`.

    Args:
      rate: Probability of dropping a maximum; a number in [0, 1] or an array that broadcasts against the inputs.
      mode: 'feature' for the maximum over the spatial axes, 'channel' for that over the last axis.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first, and in mode 'channel'.
      rescale: Whether to divide by the expected part of the entries that is kept.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.MaxDrop(0.1, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 8, 8, 3))).shape
      (2, 8, 8, 3)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        mode: Literal["feature", "channel"] = "feature",
        num_spatial_dims: int | None = None,
        rescale: bool = False,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.mode: Literal["feature", "channel"] = mode
        self.num_spatial_dims = num_spatial_dims
        self.rescale = rescale

    def key_needed(self) -> bool:
        return _checks.static_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.max_drop(
            key, inputs, self.rate, mode=self.mode, num_spatial_dims=self.num_spatial_dims, rescale=self.rescale
        )
