"""Alpha dropout as nnx modules."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class AlphaDropout(StochasticLayer):
    """Dropout for self-normalising networks; see `jaxdrop.alpha_dropout`.

    Args:
      rate: Probability of dropping an entry; a number in [0, 1] or an array that broadcasts against the inputs.
      broadcast_dims: Axes along which all entries share one mask value.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.
      mean: The mean of the inputs, which is kept.
      variance: The variance of the inputs, which is kept.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.AlphaDropout(0.05, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 3))).shape
      (2, 3)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        mean: float = 0.0,
        variance: float = 1.0,
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.broadcast_dims = tuple(broadcast_dims)
        self.bits = bits
        self.mean = mean
        self.variance = variance

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

    Args:
      rate: Probability of dropping a channel; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along their spatial axes.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a channel: None, 8, 16 or 32.
      mean: The mean of the inputs, which is kept.
      variance: The variance of the inputs, which is kept.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.FeatureAlphaDropout(0.05, rngs=nnx.Rngs(0))
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
        mean: float = 0.0,
        variance: float = 1.0,
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.num_spatial_dims = num_spatial_dims
        self.bits = bits
        self.mean = mean
        self.variance = variance

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
