"""Alpha dropout as linen modules."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class AlphaDropout(StochasticLayer):
    """Dropout for self-normalising networks; see `jaxdrop.alpha_dropout`.

    Attributes:
      rate: Probability of dropping an entry; a number in [0, 1] or an array that broadcasts against the inputs.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      broadcast_dims: Axes along which all entries share one mask value.
      bits: Random bits that decide an entry: None, 8, 16 or 32.
      mean: The mean of the inputs, which is kept.
      variance: The variance of the inputs, which is kept.

    Examples:
      >>> layer = jaxdrop.linen.AlphaDropout(0.05, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 3)
    """

    broadcast_dims: Sequence[int] = ()
    bits: int | None = None
    mean: float = 0.0
    variance: float = 1.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.alpha_dropout(
            key,
            inputs,
            self.rate,
            broadcast_dims=self.broadcast_dims,
            bits=self.bits,
            mean=self.mean,
            variance=self.variance,
        )


class FeatureAlphaDropout(StochasticLayer):
    """Alpha dropout of whole channels; see `jaxdrop.feature_alpha_dropout`.

    Attributes:
      rate: Probability of dropping a channel; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along their spatial axes.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      bits: Random bits that decide a channel: None, 8, 16 or 32.
      mean: The mean of the inputs, which is kept.
      variance: The variance of the inputs, which is kept.

    Examples:
      >>> layer = jaxdrop.linen.FeatureAlphaDropout(0.05, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 8, 8, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 8, 8, 3)
    """

    num_spatial_dims: int | None = None
    bits: int | None = None
    mean: float = 0.0
    variance: float = 1.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.feature_alpha_dropout(
            key,
            inputs,
            self.rate,
            num_spatial_dims=self.num_spatial_dims,
            bits=self.bits,
            mean=self.mean,
            variance=self.variance,
        )
