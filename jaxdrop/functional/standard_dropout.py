"""Standard dropout as first published: no rescaling in training, but at prediction time."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks


def standard_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dims: Sequence[int] = (),
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes each entry of `x` with probability `rate` and leaves the rest as it is.

    .. math:: y_i = m_i x_i, \quad m_i \sim \mathrm{Bernoulli}(1 - p)

    so that :math:`E[y] = (1 - p) x`, which is what to predict with instead: by `standard_dropout_expectation`, or by
    `scale_kernels` once and for all. Srivastava writes p for the probability of keeping; `rate` is 1 - p. The mask is
    that of `jaxdrop.dropout`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point or complex array of any shape.
      rate: Probability :math:`p` of dropping an entry; a number in [0, 1], or an array, traced or not, that broadcasts
        against `x`. No gradient flows into it.
      broadcast_dims: Axes along which all entries share one mask value; `rate` must be constant along them.
      bits: Random bits that decide an entry; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        along `broadcast_dims`, an axis is out of range, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.standard_dropout(jax.random.key(0), jnp.ones(1000), 0.25)
      >>> bool(jnp.all((y == 0) | (y == 1)))
      True

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014
    """
    x, static_rate, shared, bits = _checks.masked(x, rate, broadcast_dims, bits)
    if static_rate == 0:
        return x
    if static_rate == 1:
        return jnp.zeros_like(x)
    return _standard_dropout(_checks.prng_key("key", key), x, jnp.asarray(rate, jnp.float32), shared, bits)


def standard_dropout_expectation(
    x: jax.typing.ArrayLike, rate: jax.typing.ArrayLike, *, bits: int | None = None
) -> jax.Array:
    r"""Returns the mean of `standard_dropout`, :math:`(1 - p) x`, to predict without noise.

    Args:
      x: Floating-point or complex array of any shape.
      rate: Probability :math:`p` of dropping an entry, as in `standard_dropout`.
      bits: Random bits that decided an entry, as in `standard_dropout`: the rate is rounded as there, so that this is
        exactly the mean.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x`, or `bits` is
        not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x` is not floating point, or `rate` is neither a number nor an array.

    Examples:
      >>> jaxdrop.standard_dropout_expectation(jnp.ones(2), 0.25)
      Array([0.75, 0.75], dtype=float32)

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014
    """
    x = _checks.inexact("x", x)
    static_rate = _checks.static_rate("rate", rate)
    keep = _masks.keep_probability(rate, bits=_checks.random_bits(bits, static_rate))
    keep = keep.reshape(_checks.rate_shape("rate", keep.shape, x.shape, ()))
    dtype = _masks.wide(x.dtype)
    y = (x.astype(dtype) * keep.astype(dtype)).astype(x.dtype)
    return jnp.where(keep == 0, jnp.zeros((), x.dtype), y)  # an infinity too


@functools.partial(jax.jit, static_argnums=(3, 4))
def _standard_dropout(key: jax.Array, x: jax.Array, rate: jax.Array, shared: tuple[int, ...], bits: int) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        mask, keep = _masks.keep_mask(key, x.shape, rate, bits=bits, shared=shared)
        y = jnp.where(mask, x, jnp.zeros((), x.dtype))
        return jnp.where(jnp.isnan(keep), keep.astype(x.dtype), y)  # so that a rate of NaN shows

    return draw(key, x, rate)
