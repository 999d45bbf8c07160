"""Spatial dropout as an nnx module."""

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class SpatialDropout(StochasticLayer):
    """Dropout of whole channels; see `jaxdrop.spatial_dropout`.

    Args:
      rate: Probability of dropping a channel; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along their spatial axes.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a channel: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.SpatialDropout(0.2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 8, 8, 3))).shape
      (2, 8, 8, 3)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        num_spatial_dims: int | None = None,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.num_spatial_dims = num_spatial_dims
        self.bits = bits

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.spatial_dropout(
            key, inputs, self.rate, num_spatial_dims=self.num_spatial_dims, bits=self.bits
        )
