"""Cutout: a square hole in each input image."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _bits, _checks, _masks


def cutout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    size: int | Sequence[int],
    *,
    rate: jax.typing.ArrayLike = 1.0,
    num_spatial_dims: int | None = None,
) -> jax.Array:
    r"""Sets one box of each image, of all its channels, to zero.

    Its centre is uniform over the image and what lies beyond the border is clipped: with centre c it covers the
    positions from c - size // 2 to c - size // 2 + size - 1 of each spatial axis. Nothing is rescaled, here or at
    prediction time, so :math:`E[y] \ne x`: Cutout augments data. Zero should be the mean of the inputs.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at the static rate 0: None will do.
      x: Floating-point array (\*batch, \*spatial, channels).
      size: Size of the box along each spatial axis, or along all.
      rate: Probability that an image is cut at all; a number in [0, 1], or an array, traced or not, that broadcasts
        against `x` and is constant along all but its batch axes. No gradient flows into it.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        within an example, a size is below 1, or there are not as many of them as spatial axes.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, a size is not an integer, or
        `key` is not one key.

    Examples:
      >>> y = jaxdrop.cutout(jax.random.key(0), jnp.ones((1, 5, 12, 3)), (3, 4))
      >>> print("\n".join("".join(".#"[int(entry > 0)] for entry in row) for row in y[0, :, :, 0]))
      ##....######
      ##....######
      ##....######
      ############
      ############

    References:
      DeVries and Taylor, `Improved regularization of convolutional neural networks with Cutout
      <https://arxiv.org/abs/1708.04552>`_, 2017
    """
    x = _checks.inexact("x", x)
    static_rate = _checks.static_rate("rate", rate)
    axes = _checks.spatial_axes(num_spatial_dims, x.ndim)
    sizes = _checks.sizes("size", size, len(axes))
    if static_rate == 0:
        return x
    return _cutout(_checks.prng_key("key", key), x, jnp.asarray(rate, jnp.float32), axes, sizes)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _cutout(key: jax.Array, x: jax.Array, rate: jax.Array, axes: tuple[int, ...], sizes: tuple[int, ...]) -> jax.Array:
    rate = rate.reshape(_checks.rate_shape("rate", rate.shape, x.shape, (*axes, x.ndim - 1)))

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        # One number for each spatial axis and one for whether to cut, side by side in place of the channels.
        drawn = _bits.uniform(key, (*x.shape[: axes[0]], *(1 for _ in axes), len(axes) + 1))
        hit = drawn[..., -1:] < rate
        for number, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
            length = x.shape[axis]
            # The product may round to `length` itself.
            centre = jnp.minimum((drawn[..., number, None] * np.float32(length)).astype(jnp.int32), length - 1)
            shape = tuple(length if other == axis else 1 for other in range(x.ndim))
            offset = lax.broadcasted_iota(jnp.int32, shape, axis) - (centre - size // 2)
            hit = hit & (offset >= 0) & (offset < size)
        y = jnp.where(hit, jnp.zeros((), x.dtype), x)
        return jnp.where(jnp.isnan(rate), jnp.asarray(jnp.nan, x.dtype), y)

    return draw(key, x, lax.stop_gradient(rate))
