"""Gaussian dropout whose variance is learned, as an nnx module."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from jaxdrop import variational
from jaxdrop.nnx._learned_noise import NoisyInputs
from jaxdrop.nnx._stochastic import RngSource
from jaxdrop.variational import Divergence


class VariationalGaussianDropout(NoisyInputs):
    """A layer behind normal noise of learned variance: variational dropout of type A.

    See `jaxdrop.variational.gaussian_noise`. The divergence is that of every entry of the layer's kernel, of which
    those that meet one input share a rate.

    Args:
      layer: What follows the noise: `flax.nnx.Linear`, `Conv`, or another with a parameter `kernel` (..., in, out).
      kl: Divergence of one weight from its prior.
      log_alpha: Logarithm of the variance at the start; at most 0.
      shared: Whether all inputs of the layer have one rate, or each feature its own ("neuron"), which a convolution in
        groups cannot have.
      deterministic: Whether to apply the layer without noise.
      rng_collection: Name of the RNG stream that keys come from.
      param_dtype: Of the parameter `log_alpha`.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> layer = jaxdrop.nnx.VariationalGaussianDropout(nnx.Linear(4, 8, rngs=rngs), rngs=rngs)
      >>> layer(jnp.ones((2, 4))).shape, layer.kl_divergence().shape
      ((2, 8), ())

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, section 3.1
    """

    def __init__(
        self,
        layer: Any,
        *,
        kl: Divergence = variational.kl_kingma,
        log_alpha: float = -3.0,
        shared: Literal["layer", "neuron"] = "neuron",
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        param_dtype: Dtype = jnp.float32,
        rngs: RngSource | None = None,
    ):
        super().__init__(layer, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        features = self.kernel.shape[-2]
        self.log_alpha = nnx.Param(variational.log_alpha(features, log_alpha, shared=shared, dtype=param_dtype))
        self.kl = kl

    def noisy_inputs(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return variational.gaussian_noise(key, inputs, self.log_alpha[...])

    def kl_divergence(self) -> jax.Array:
        """The divergence of the layer's kernel from its prior, in nats; a scalar."""
        return variational.kl_gaussian_noise(self.kernel, self.log_alpha[...], self.kl)
