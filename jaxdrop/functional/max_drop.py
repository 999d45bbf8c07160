"""Max-drop: the strongest activation of a feature map, or of a position."""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _checks, _masks


def max_drop(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    mode: Literal["feature", "channel"] = "feature",
    num_spatial_dims: int | None = None,
    rescale: bool = False,
) -> jax.Array:
    r"""Zeroes the maximum of each feature map, or of each position's channels, with probability `rate`.

    .. math:: y_{nsc} = x_{nsc} (1 - d_{nc} [s = \arg\max_t x_{ntc}]), \quad d_{nc} \sim \mathrm{Bernoulli}(p)

    for example n, position s and channel c ('feature'), and with the roles of s and c exchanged 'channel'. One entry
    goes at most: of equal maxima the first, in row-major order, as in the authors' code. Where there is a NaN, nothing
    is dropped. Apply it to what a ReLU returns: the authors' code, unlike this one, ignores maxima below zero.

    Prediction is the identity. The authors' code also divides what it returns in training, feature-wise, by
    :math:`1 - p / n` for maps of n positions; channel-wise an integer division leaves its factor at 1. We had that code
    to go by, not the text of the paper; `rescale` divides so in either mode. Neither way is :math:`E[y] = x`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at the static rate 0: None will do.
      x: Real floating-point array (\*batch, \*spatial, channels).
      rate: Probability :math:`p` of dropping a maximum, which at 1 always goes; a number in [0, 1], or an array, traced
        or not, that broadcasts against `x` and is constant along the axes of which the maximum is. No gradient flows
        into it.
      mode: 'feature' for the maximum over the spatial axes, 'channel' for that over the last axis.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first, and in mode 'channel'.
      rescale: Whether to divide by the expected part of the entries that is kept.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        along the axes of a maximum, `mode` is neither, or `num_spatial_dims` does not fit `x` or the mode.
      TypeError: If `x` is not real floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> x = jnp.array([[[3.0, 1.0], [2.0, 5.0]]])  # two positions, two channels
      >>> jaxdrop.max_drop(jax.random.key(0), x, 1.0)
      Array([[[0., 1.],
              [2., 0.]]], dtype=float32)

    References:
      Park and Kwak, `Analysis on the dropout effect in convolutional neural networks
      <https://doi.org/10.1007/978-3-319-54184-6_12>`_, 2016
    """
    x = _checks.real("x", x)
    static_rate = _checks.static_rate("rate", rate)
    _checks.one_of("mode", mode, ("feature", "channel"))
    if mode == "feature":
        axes = _checks.spatial_axes(num_spatial_dims, x.ndim)
    else:
        _checks.at_least("x.ndim", x.ndim, 1)
        _checks.unused("num_spatial_dims", num_spatial_dims, "with mode 'channel'")
        axes = (x.ndim - 1,)
    if static_rate == 0 or x.size == 0:
        return x
    return _max_drop(_checks.prng_key("key", key), x, jnp.asarray(rate, jnp.float32), axes, rescale)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _max_drop(key: jax.Array, x: jax.Array, rate: jax.Array, axes: tuple[int, ...], rescale: bool) -> jax.Array:
    entries = math.prod(x.shape[axis] for axis in axes)
    held = lax.stop_gradient(x)
    # Two reductions in place of jnp.argmax: no axes to merge, and nothing to gather where one is split over devices.
    is_maximum = held == jnp.max(held, axis=axes, keepdims=True)
    first = jnp.min(jnp.where(is_maximum, _position(x.shape, axes), np.int32(entries)), axis=axes, keepdims=True)

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array, first: jax.Array) -> jax.Array:
        mask, keep = _masks.keep_mask(key, x.shape, rate, bits=32, shared=axes)
        dtype = _masks.wide(x.dtype)
        y = jnp.where(~mask & (_position(x.shape, axes) == first), jnp.zeros((), x.dtype), x)
        if rescale:
            kept = 1 - (1 - keep) / np.float32(entries)
            y = (y.astype(dtype) * _masks.inverse_keep(kept, dtype)).astype(x.dtype)
        return jnp.where(jnp.isnan(keep), keep.astype(x.dtype), y)

    # The backward pass needs where the maxima were: `first`, one number for each, and not `x`.
    return draw(key, x, rate, first)


def _position(shape: tuple[int, ...], axes: tuple[int, ...]) -> jax.Array:
    """Numbers the positions along `axes`, as if they were one."""
    position, stride = jnp.zeros(shape, jnp.int32), 1
    for axis in reversed(axes):
        position += lax.broadcasted_iota(jnp.int32, shape, axis) * np.int32(stride)
        stride *= shape[axis]
    return position
