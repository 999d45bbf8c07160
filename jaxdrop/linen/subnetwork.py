"""Sub-networks of linen models as samples."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdrop.inference import Sampler
from jaxdrop.inference import subnetwork as chains
from jaxdrop.linen.dropout import Dropout


def subnetwork_sampler(model: nn.Sequential, variables: Mapping[str, Any], x: jax.typing.ArrayLike) -> Sampler:
    """Turns a chain of dense and dropout layers into a function from a key to outputs that computes no dropped unit.

    A draw has the same masks for all examples, and drops a fixed number of the units of each layer, each subset with
        the same probability. What is dropped is not multiplied at all: at a rate of 0.5 a hidden layer costs a quarter.
    The number is the rate times the units of the layer, n, rounded: 32 of 64 at a rate of 0.5, but 1 of 64 at 0.01, as
    at a rate of 0.0156. That it is fixed makes two units correlated by -1 / (n - 1): but for the rounding, means and
    variances differ from ordinary dropout's by this order.

    Args:
      model: An `nn.Sequential` of `nn.Dense`, `nn.Dropout` or `jaxdrop.linen.Dropout`, and functions of single entries;
        before the first layer, other functions too, such as reshaping. A function behind a dropout layer is 0 at 0.
      variables: Its variables.
      x: Inputs (batch, ...).

    Returns:
      A function from a key to the model's outputs, for `jaxdrop.monte_carlo` or to be called as it is.

    Raises:
      TypeError: If `model` is not an `nn.Sequential`, has other layers, or a rate is an array.
      ValueError: If nothing is dropped, there is no dense layer after a dropout layer, two dropout layers follow one
        another, a rate drops no unit or all, or a function is not of single entries.

    Examples:
      >>> model = nn.Sequential([nn.Dense(8), nn.relu, nn.Dropout(0.5, deterministic=True), nn.Dense(2)])
      >>> x = jnp.ones((5, 3))
      >>> sample = jaxdrop.linen.subnetwork_sampler(model, model.init(jax.random.key(0), x), x)
      >>> jaxdrop.monte_carlo(sample, jax.random.key(1), num_samples=10).mean.shape
      (5, 2)
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"model must be a flax.linen.Sequential, got {type(model).__name__}.")
    params = nn.meta.unbox(variables).get("params", {})
    stages = []
    for layer in model.layers:
        plain = type(layer) in (nn.Dense, nn.Dropout, Dropout)
        if isinstance(layer, nn.Dense) and plain and layer.dot_general is None and layer.dot_general_cls is None:
            number = next(number for number, other in enumerate(model.layers) if other is layer)  # it may come twice
            values = params[f"layers_{number}"]
            stages.append(chains.Dense(values["kernel"], values.get("bias"), layer.dtype, layer.precision))
        elif isinstance(layer, nn.Dropout) and plain:
            if set(layer.broadcast_dims) - {0}:
                raise ValueError(f"broadcast_dims must leave single units to drop, got {layer.broadcast_dims}.")
            stages += [] if layer.rate == 0 else [chains.Drop(layer.rate)]
        elif isinstance(layer, nn.Module):
            raise TypeError(f"model must have plain Dense, Dropout and functions, got a {type(layer).__name__}.")
        else:
            stages.append(layer)
    return chains.subnetwork_sampler(stages, jnp.asarray(x))
