"""Log-normal noise on units as an nnx module."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from jaxdrop import variational
from jaxdrop.nnx._learned_noise import LearnedNoise
from jaxdrop.nnx._stochastic import RngSource
from jaxdrop.variational import LogNormalFactors


class LogNormalNoise(LearnedNoise):
    """Factors of units with learned noise, which zero units in prediction; see `jaxdrop.variational.log_normal_noise`.

    Args:
      features: Number of units or channels: the size of the last axis of the inputs.
      broadcast_dims: Axes along which all entries share one factor: the spatial axes, for noise on channels.
      threshold: Units whose factor has a signal-to-noise ratio below it are 0 in prediction; None for none.
      mu: Mean of log(theta) before truncation at the start.
      log_sigma: Logarithm of its standard deviation at the start.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that keys come from.
      param_dtype: Of the parameters `mu` and `log_sigma` (features,).
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.LogNormalNoise(4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4))).shape, layer.kl_divergence().shape
      ((2, 4), ())

    References:
      Neklyudov et al., `Structured Bayesian pruning via log-normal multiplicative noise
      <https://arxiv.org/abs/1705.07283>`_, 2017
    """

    def __init__(
        self,
        features: int,
        *,
        broadcast_dims: Sequence[int] = (),
        threshold: float | None = 1.0,
        mu: float = 0.0,
        log_sigma: float = -5.0,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        param_dtype: Dtype = jnp.float32,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        first = variational.log_normal_factors(features, mu, log_sigma, param_dtype)
        self.mu = nnx.Param(first.mu)
        self.log_sigma = nnx.Param(first.log_sigma)
        self.broadcast_dims = broadcast_dims
        self.threshold = threshold

    @property
    def factors(self) -> LogNormalFactors:
        """Parameters of the noise."""
        return LogNormalFactors(self.mu[...], self.log_sigma[...])

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return variational.log_normal_noise(key, inputs, self.factors, broadcast_dims=self.broadcast_dims)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return variational.log_normal_expectation(inputs, self.factors, self.threshold)

    def kl_divergence(self) -> jax.Array:
        """The divergence of all factors from their prior, in nats; a scalar."""
        return variational.kl_log_normal(self.factors).sum()
