"""Concrete dropout as an nnx module."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from jaxdrop import variational
from jaxdrop.nnx._learned_noise import NoisyInputs
from jaxdrop.nnx._stochastic import RngSource


class ConcreteDropout(NoisyInputs):
    """A layer behind dropout whose rate is learned; see `jaxdrop.variational.concrete_dropout`.

    `jaxdrop.nnx.kl_divergence` sums the divergences of a model, which are those of `jaxdrop.variational.kl_concrete`;
    `jaxdrop.variational.elbo` or `regularizer` put them in a loss.

    Args:
      layer: What follows the noise: `flax.nnx.Linear`, `Conv`, or another with a parameter `kernel` (..., in, out). Its
        bias has no noise and no prior.
      length_scale: Prior length-scale l: the weights' prior is normal with standard deviation 1 / l.
      rate: Rate of dropping at the start, in (0, 1).
      temperature: Of the relaxed masks; the authors have 0.1, and 2/3 for channels.
      broadcast_dims: Axes along which all entries share one mask value: the spatial axes, to drop channels.
      deterministic: Whether to apply the layer without noise.
      rng_collection: Name of the RNG stream that keys come from.
      param_dtype: Of the parameter `logit_rate`.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> layer = jaxdrop.nnx.ConcreteDropout(nnx.Linear(4, 8, rngs=rngs), length_scale=0.01, rngs=rngs)
      >>> layer(jnp.ones((2, 4))).shape, layer.kl_divergence().shape
      ((2, 8), ())

    References:
      Gal, Hron & Kendall, `Concrete dropout <https://arxiv.org/abs/1705.07832>`_, 2017
    """

    def __init__(
        self,
        layer: Any,
        *,
        length_scale: float,
        rate: float = 0.1,
        temperature: float = 0.1,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        param_dtype: Dtype = jnp.float32,
        rngs: RngSource | None = None,
    ):
        super().__init__(layer, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.logit_rate = nnx.Param(variational.logit_rate(rate, param_dtype))
        self.length_scale = length_scale
        self.temperature = temperature
        self.broadcast_dims = broadcast_dims

    def noisy_inputs(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return variational.concrete_dropout(
            key, inputs, self.logit_rate[...], temperature=self.temperature, broadcast_dims=self.broadcast_dims
        )

    def kl_divergence(self) -> jax.Array:
        """The divergence of the layer's kernel from its prior, in nats, up to a constant; a scalar."""
        inputs = self.kernel.shape[-2] * getattr(self.layer, "feature_group_count", 1)
        return variational.kl_concrete(
            self.kernel, self.logit_rate[...], length_scale=self.length_scale, input_dim=inputs
        )
