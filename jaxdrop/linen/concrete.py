"""Concrete dropout as a linen module."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from jaxdrop import variational
from jaxdrop.linen._noisy_inputs import NoisyInputs


class ConcreteDropout(NoisyInputs):
    """A layer behind dropout whose rate is learned; see `jaxdrop.variational.concrete_dropout`.

    If the collection "kl_divergence" is mutable, a call leaves the layer's divergence there, which is that of
    `jaxdrop.variational.kl_concrete`; `jaxdrop.variational.elbo` or `regularizer` put it in a loss.

    Attributes:
      layer: What follows the noise: `flax.linen.Dense`, `Conv`, or another with a parameter "kernel" (..., in, out).
        Its bias has no noise and no prior.
      length_scale: Prior length-scale l: the weights' prior is normal with standard deviation 1 / l.
      rate: Rate of dropping at the start, in (0, 1).
      temperature: Of the relaxed masks; the authors have 0.1, and 2/3 for channels.
      broadcast_dims: Axes along which all entries share one mask value: the spatial axes, to drop channels.
      deterministic: Whether to apply the layer without noise.
      rng_collection: Name of the RNG stream that the key comes from.
      param_dtype: Of the parameter "logit_rate".

    Examples:
      >>> layer = jaxdrop.linen.ConcreteDropout(nn.Dense(8), length_scale=0.01, deterministic=False)
      >>> rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
      >>> variables = layer.init(rngs, jnp.ones((2, 4)))
      >>> round(float(jax.nn.sigmoid(variables["params"]["logit_rate"])), 3)
      0.1
      >>> y, state = layer.apply(
      ...     variables, jnp.ones((2, 4)), rngs={"dropout": jax.random.key(2)}, mutable=["kl_divergence"]
      ... )
      >>> y.shape, jaxdrop.linen.kl_divergence(state).shape
      ((2, 8), ())

    References:
      Gal, Hron & Kendall, `Concrete dropout <https://arxiv.org/abs/1705.07832>`_, 2017
    """

    layer: nn.Module
    length_scale: float
    rate: float = 0.1
    temperature: float = 0.1
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    param_dtype: Dtype = jnp.float32

    def noise_parameter(self, features: int) -> jax.Array:
        return self.param("logit_rate", lambda _: variational.logit_rate(self.rate, self.param_dtype))

    def noisy_inputs(self, key: jax.Array | None, inputs: jax.Array, parameter: jax.Array) -> jax.Array:
        return variational.concrete_dropout(
            key, inputs, parameter, temperature=self.temperature, broadcast_dims=self.broadcast_dims
        )

    def divergence(self, kernel: jax.Array, parameter: jax.Array, features: int) -> jax.Array:
        return variational.kl_concrete(kernel, parameter, length_scale=self.length_scale, input_dim=features)
