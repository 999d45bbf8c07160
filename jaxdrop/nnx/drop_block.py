"""DropBlock as an nnx module."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class DropBlock(StochasticLayer):
    """Dropout of contiguous regions; see `jaxdrop.drop_block`.

    Args:
      rate: About the fraction of a feature map to drop; a number in [0, 1], or an array that broadcasts against the
        inputs and is constant along all but their batch axes.
      block_size: Size of a block along each spatial axis, or along all.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      share_channels: Whether all channels of an example share their blocks.
      exact_rate: Whether the expected fraction of dropped entries is `rate`, rather than the paper's lower one.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.DropBlock(0.1, block_size=7, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 28, 28, 3))).shape
      (2, 28, 28, 3)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        block_size: int | Sequence[int] = 7,
        *,
        num_spatial_dims: int | None = None,
        share_channels: bool = False,
        exact_rate: bool = False,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.block_size = tuple(block_size) if isinstance(block_size, Sequence) else block_size
        self.num_spatial_dims = num_spatial_dims
        self.share_channels = share_channels
        self.exact_rate = exact_rate

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.drop_block(
            key,
            inputs,
            self.rate,
            self.block_size,
            num_spatial_dims=self.num_spatial_dims,
            share_channels=self.share_channels,
            exact_rate=self.exact_rate,
        )
