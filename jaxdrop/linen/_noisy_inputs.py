"""What linen layers behind learned noise share."""

import abc

import flax.linen as nn
import jax

from jaxdrop import _checks
from jaxdrop.linen._stochastic import StochasticModule
from jaxdrop.linen.variational import leave_divergence


class NoisyInputs(StochasticModule):
    """A layer with learned noise on its inputs, which leaves the divergence of its kernel.

    A subclass has a field `layer`, and gives `noise_parameter`, `noisy_inputs` and `divergence`.
    """

    @abc.abstractmethod
    def noise_parameter(self, features: int) -> jax.Array:
        """Declares the parameter of the noise."""

    @abc.abstractmethod
    def noisy_inputs(self, key: jax.Array | None, inputs: jax.Array, parameter: jax.Array) -> jax.Array:
        """Applies the noise."""

    @abc.abstractmethod
    def divergence(self, kernel: jax.Array, parameter: jax.Array, features: int) -> jax.Array:
        """The divergence of a kernel behind the noise, for inputs of so many features."""

    def key_needed(self) -> bool:
        return True

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        parameter = self.noise_parameter(inputs.shape[-1])
        return self._apply(self.noisy_inputs(key, inputs, parameter), parameter)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return self._apply(inputs, self.noise_parameter(inputs.shape[-1]))

    def _apply(self, x: jax.Array, parameter: jax.Array) -> jax.Array:
        layer: nn.Module = self.layer  # pyright: ignore[reportAttributeAccessIssue]
        y = layer(x)  # pyright: ignore[reportCallIssue]
        kernel = _checks.kernel_of_layer(layer, layer.variables.get("params", {}).get("kernel"))
        if not self.is_initializing():
            leave_divergence(self, self.divergence(kernel, parameter, x.shape[-1]))
        return y
