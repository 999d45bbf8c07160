"""Gaussian dropout whose variance is learned, as a linen module."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from jaxdrop import variational
from jaxdrop.linen._noisy_inputs import NoisyInputs
from jaxdrop.variational import Divergence


class VariationalGaussianDropout(NoisyInputs):
    """A layer behind normal noise of learned variance: variational dropout of type A.

    See `jaxdrop.variational.gaussian_noise`. If the collection "kl_divergence" is mutable, a call leaves the layer's
    divergence there: that of every entry of its kernel, of which those that meet one input share a rate.

    Attributes:
      layer: What follows the noise: `flax.linen.Dense`, `Conv`, or another with a parameter "kernel" (..., in, out).
      kl: Divergence of one weight from its prior.
      log_alpha: Logarithm of the variance at the start; at most 0.
      shared: Whether all inputs of the layer have one rate, or each feature its own ("neuron"), which a convolution in
        groups cannot have.
      deterministic: Whether to apply the layer without noise.
      rng_collection: Name of the RNG stream that the key comes from.
      param_dtype: Of the parameter "log_alpha".

    Examples:
      >>> layer = jaxdrop.linen.VariationalGaussianDropout(nn.Dense(8), deterministic=True)
      >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 4)))[0].shape
      (2, 8)

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, section 3.1
    """

    layer: nn.Module
    kl: Divergence = variational.kl_kingma
    log_alpha: float = -3.0
    shared: Literal["layer", "neuron"] = "neuron"
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    param_dtype: Dtype = jnp.float32

    def noise_parameter(self, features: int) -> jax.Array:
        first = variational.log_alpha(features, self.log_alpha, shared=self.shared, dtype=self.param_dtype)
        return self.param("log_alpha", lambda _: first)

    def noisy_inputs(self, key: jax.Array | None, inputs: jax.Array, parameter: jax.Array) -> jax.Array:
        return variational.gaussian_noise(key, inputs, parameter)

    def divergence(self, kernel: jax.Array, parameter: jax.Array, features: int) -> jax.Array:
        return variational.kl_gaussian_noise(kernel, parameter, self.kl)
