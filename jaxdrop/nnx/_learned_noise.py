"""What nnx layers with a divergence share, and those behind learned noise."""

import abc
from typing import Any

import jax
from flax import nnx

from jaxdrop import _checks
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class LearnedNoise(StochasticModule):
    """A module whose noise is learned, and which `jaxdrop.nnx.kl_divergence` therefore counts."""

    @abc.abstractmethod
    def kl_divergence(self) -> jax.Array:
        """The divergence from the prior, in nats; a scalar."""

    def key_needed(self) -> bool:
        return True


class NoisyInputs(LearnedNoise):
    """A layer with learned noise on its inputs.

    A subclass has the parameter of the noise, and gives `noisy_inputs` and `kl_divergence`.

    Args:
      layer: What follows the noise, with a parameter `kernel`.
      deterministic: Whether to apply the layer without noise.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.
    """

    def __init__(self, layer: Any, *, deterministic: bool | None, rng_collection: str, rngs: RngSource | None):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        _checks.kernel_of_layer(layer, getattr(layer, "kernel", None))
        self.layer = layer

    @property
    def kernel(self) -> jax.Array:
        """The kernel behind the noise."""
        return self.layer.kernel[...]

    @abc.abstractmethod
    def noisy_inputs(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        """Applies the noise."""

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return self.layer(self.noisy_inputs(key, inputs))

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return self.layer(inputs)


def kl_divergence(model: Any) -> jax.Array:
    """The divergence of all layers with learned noise in a model, in nats.

    Args:
      model: An nnx module.

    Returns:
      A scalar: the sum over all layers of the sums over their weights.

    Raises:
      ValueError: If the model has no such layer.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> model = nnx.Sequential(jaxdrop.nnx.VariationalDense(4, 8, rngs=rngs), nnx.relu)
      >>> bool(jaxdrop.nnx.kl_divergence(model) > 0)
      True
    """
    layers = [module for _, module in nnx.iter_modules(model) if isinstance(module, LearnedNoise)]
    if not layers:
        raise ValueError("model must have a layer with learned noise, such as VariationalDense, got none.")
    first, *others = (layer.kl_divergence() for layer in layers)
    return sum(others, start=first)
