"""Log-normal noise on units as a linen module."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax.typing import Dtype

from jaxdrop import variational
from jaxdrop.linen._stochastic import StochasticModule
from jaxdrop.linen.variational import leave_divergence
from jaxdrop.variational import LogNormalFactors


class LogNormalNoise(StochasticModule):
    """Factors of units with learned noise, which zero units in prediction; see `jaxdrop.variational.log_normal_noise`.

    If the collection "kl_divergence" is mutable, a call leaves the layer's divergence there.

    Attributes:
      broadcast_dims: Axes along which all entries share one factor: the spatial axes, for noise on channels.
      threshold: Units whose factor has a signal-to-noise ratio below it are 0 in prediction; None for none.
      mu: Mean of log(theta) before truncation at the start.
      log_sigma: Logarithm of its standard deviation at the start.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that the key comes from.
      param_dtype: Of the parameters "mu" and "log_sigma" (features,).

    Examples:
      >>> layer = jaxdrop.linen.LogNormalNoise(deterministic=True)
      >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 4)))
      >>> y.shape, variables["params"]["mu"].shape
      ((2, 4), (4,))

    References:
      Neklyudov et al., `Structured Bayesian pruning via log-normal multiplicative noise
      <https://arxiv.org/abs/1705.07283>`_, 2017
    """

    broadcast_dims: Sequence[int] = ()
    threshold: float | None = 1.0
    mu: float = 0.0
    log_sigma: float = -5.0
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    param_dtype: Dtype = jnp.float32

    def key_needed(self) -> bool:
        return True

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return variational.log_normal_noise(key, inputs, self._factors(inputs), broadcast_dims=self.broadcast_dims)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return variational.log_normal_expectation(inputs, self._factors(inputs), self.threshold)

    def _factors(self, inputs: jax.Array) -> LogNormalFactors:
        first = variational.log_normal_factors(jnp.shape(inputs)[-1:], self.mu, self.log_sigma, self.param_dtype)
        factors = LogNormalFactors(
            self.param("mu", lambda _: first.mu), self.param("log_sigma", lambda _: first.log_sigma)
        )
        if not self.is_initializing():
            leave_divergence(self, variational.kl_log_normal(factors).sum())
        return factors
