"""Sub-networks of nnx models as samples."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdrop.inference import Sampler
from jaxdrop.inference import subnetwork as chains
from jaxdrop.nnx.dropout import Dropout


def subnetwork_sampler(model: nnx.Sequential, x: jax.typing.ArrayLike) -> Sampler:
    """Turns a chain of dense and dropout layers into a function from a key to outputs that computes no dropped unit.

    As `jaxdrop.linen.subnetwork_sampler`, which says how it differs from ordinary dropout.

    Args:
      model: An `nnx.Sequential` of `nnx.Linear`, `nnx.Dropout` or `jaxdrop.nnx.Dropout`, and functions of single
        entries; before the first layer, other functions too, such as reshaping. A function behind a dropout layer is 0
        at 0.
      x: Inputs (batch, ...).

    Returns:
      A function from a key to the model's outputs, for `jaxdrop.monte_carlo` or to be called as it is.

    Raises:
      TypeError: If `model` is not an `nnx.Sequential`, has other layers, or a rate is an array.
      ValueError: If nothing is dropped, there is no dense layer after a dropout layer, two dropout layers follow one
        another, a rate drops no unit or all, or a function is not of single entries.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> layers = nnx.Linear(3, 8, rngs=rngs), nnx.relu, nnx.Dropout(0.5), nnx.Linear(8, 2, rngs=rngs)
      >>> sample = jaxdrop.nnx.subnetwork_sampler(nnx.Sequential(*layers), jnp.ones((5, 3)))
      >>> jaxdrop.monte_carlo(sample, jax.random.key(1), num_samples=10).mean.shape
      (5, 2)
    """
    if not isinstance(model, nnx.Sequential):
        raise TypeError(f"model must be a flax.nnx.Sequential, got {type(model).__name__}.")
    stages = []
    for layer in model.layers:
        plain = type(layer) in (nnx.Linear, nnx.Dropout, Dropout)
        if isinstance(layer, nnx.Linear) and plain and layer.dot_general is jax.lax.dot_general:
            bias = None if layer.bias is None else layer.bias[...]
            stages.append(chains.Dense(layer.kernel[...], bias, layer.dtype, layer.precision))
        elif isinstance(layer, nnx.Dropout) and plain:
            if set(layer.broadcast_dims) - {0}:
                raise ValueError(f"broadcast_dims must leave single units to drop, got {layer.broadcast_dims}.")
            stages += [] if layer.rate == 0 else [chains.Drop(layer.rate)]
        elif isinstance(layer, nnx.Module):
            raise TypeError(f"model must have plain Linear, Dropout and functions, got a {type(layer).__name__}.")
        else:
            stages.append(layer)
    return chains.subnetwork_sampler(stages, jnp.asarray(x))
