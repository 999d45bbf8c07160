"""DropBlock as a linen module."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class DropBlock(StochasticLayer):
    """Dropout of contiguous regions; see `jaxdrop.drop_block`.

    Attributes:
      rate: About the fraction of a feature map to drop; a number in [0, 1], or an array that broadcasts against the
        inputs and is constant along all but their batch axes.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      block_size: Size of a block along each spatial axis, or along all.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      share_channels: Whether all channels of an example share their blocks.
      exact_rate: Whether the expected fraction of dropped entries is `rate`, rather than the paper's lower one.

    Examples:
      >>> layer = jaxdrop.linen.DropBlock(0.1, block_size=7, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 28, 28, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 28, 28, 3)
    """

    block_size: int | Sequence[int] = 7
    num_spatial_dims: int | None = None
    share_channels: bool = False
    exact_rate: bool = False

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
