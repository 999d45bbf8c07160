"""Standard (inverted) dropout."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks


def dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dims: Sequence[int] = (),
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes each entry of `x` with probability `rate` and rescales the rest.

    .. math:: y_i = m_i x_i / (1 - p), \quad m_i \sim \mathrm{Bernoulli}(1 - p)

    so that :math:`E[y] = x`. The mask depends on the key and on positions alone: it is the same under `jax.jit`, in any
    chunk of a `jax.vmap` and on any sharding, and the backward pass draws it again instead of storing it.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point or complex array of any shape.
      rate: Probability :math:`p` of dropping an entry; a number in [0, 1], or an array that broadcasts against `x`.
        An array may be traced: one compilation serves all its values. Those outside [0, 1] are clipped, NaN gives NaN.
        No gradient flows into it, for it would be that of the rescaling alone, which is biased.
      broadcast_dims: Axes along which all entries share one mask value; `rate` must be constant along them.
      bits: Random bits that decide an entry: 8, 16, 32, or None for 8 where they represent a static rate exactly, 32
        where 16 would move it or its complement by over 1 %, and else 16. The rate is rounded to a multiple of
        :math:`2^{-\mathrm{bits}}` and the rescaling uses the rounded one, so that the mean is exact.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        along `broadcast_dims`, an axis is out of range, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.dropout(jax.random.key(0), jnp.ones(1000), 0.25)
      >>> bool(jnp.all((y == 0) | jnp.isclose(y, 4 / 3)))
      True

      Whole channels of a (batch, height, width, channels) array:

      >>> y = jaxdrop.dropout(jax.random.key(0), jnp.ones((2, 8, 8, 3)), 0.5, broadcast_dims=(1, 2))
      >>> bool(jnp.all(y == y[:, :1, :1]))
      True

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014
    """
    x, static_rate, shared, bits = _checks.masked(x, rate, broadcast_dims, bits)
    if static_rate == 0:
        return x
    if static_rate == 1:
        return jnp.zeros_like(x)
    return _dropout(_checks.prng_key("key", key), x, jnp.asarray(rate, jnp.float32), shared, bits)


# Compiled even when called eagerly, where the hundred integer operations of a draw would each be dispatched alone.
@functools.partial(jax.jit, static_argnums=(3, 4))
def _dropout(key: jax.Array, x: jax.Array, rate: jax.Array, shared: tuple[int, ...], bits: int) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        mask, keep = _masks.keep_mask(key, x.shape, rate, bits=bits, shared=shared)
        dtype = _masks.wide(x.dtype)
        scaled = x.astype(dtype) * _masks.inverse_keep(keep, dtype)
        return jnp.where(mask, scaled, jnp.zeros((), dtype)).astype(x.dtype)

    return draw(key, x, rate)
