"""Zoneout: units of a recurrent state that keep their previous value."""

import functools

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks


def zoneout(
    key: jax.Array | None,
    new: jax.typing.ArrayLike,
    old: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    bits: int | None = None,
) -> jax.Array:
    r"""Lets each unit of a state stay as it was with probability `rate`, instead of taking its new value.

    .. math:: y_i = m_i x_i^{new} + (1 - m_i) x_i^{old}, \quad m_i \sim \mathrm{Bernoulli}(1 - p)

    Draw another mask at each step. Nothing is rescaled; predict with `zoneout_expectation`. The authors' code calls
    their `z_prob` a probability of zoning out, but it is that of the update, :math:`1 - p`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      new: Floating-point or complex array: the state after the step.
      old: The state before the step, of the same shape and dtype.
      rate: Probability :math:`p` of staying; a number in [0, 1], or an array, traced or not, that broadcasts against
        `new`. No gradient flows into it. For LSTMs the authors use 0.5 for cells and 0.05 for outputs.
      bits: Random bits that decide a unit; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `new`.

    Raises:
      ValueError: If the states differ in shape, a static rate is outside [0, 1] or NaN, an array rate does not
        broadcast against `new`, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If a state is not floating point or they differ in dtype, `rate` is neither a number nor an array, or
        `key` is not one key.

    Examples:
      >>> jaxdrop.zoneout(jax.random.key(0), jnp.ones(6), jnp.zeros(6), 0.5)
      Array([1., 0., 0., 0., 0., 1.], dtype=float32)

    References:
      Krueger et al., `Zoneout <https://arxiv.org/abs/1606.01305>`_, 2017
    """
    new, old = _states(new, old)
    static_rate = _checks.static_rate("rate", rate)
    bits = _checks.random_bits(bits, static_rate)
    if static_rate == 0:
        return new
    if static_rate == 1:
        return old
    return _zoneout(_checks.prng_key("key", key), new, old, jnp.asarray(rate, jnp.float32), bits)


def zoneout_expectation(
    new: jax.typing.ArrayLike, old: jax.typing.ArrayLike, rate: jax.typing.ArrayLike, *, bits: int | None = None
) -> jax.Array:
    r"""Returns the mean of `zoneout`, :math:`(1 - p) x^{new} + p x^{old}`, to predict without noise.

    Args:
      new: Floating-point or complex array: the state after the step.
      old: The state before the step, of the same shape and dtype.
      rate: Probability :math:`p` of staying, as in `zoneout`.
      bits: Random bits that decided a unit, as in `zoneout`: the rate is rounded as there, so that this is exactly the
        mean.

    Returns:
      An array of the shape and dtype of `new`.

    Raises:
      ValueError: For the conditions of `zoneout`.
      TypeError: For the conditions of `zoneout`.

    Examples:
      >>> jaxdrop.zoneout_expectation(jnp.ones(2), jnp.zeros(2), 0.25)
      Array([0.75, 0.75], dtype=float32)

    References:
      Krueger et al., `Zoneout <https://arxiv.org/abs/1606.01305>`_, 2017
    """
    new, old = _states(new, old)
    static_rate = _checks.static_rate("rate", rate)
    keep = _masks.keep_probability(rate, bits=_checks.random_bits(bits, static_rate))
    keep = keep.reshape(_checks.rate_shape("rate", keep.shape, new.shape, ()))
    dtype = _masks.wide(new.dtype)
    keep = keep.astype(dtype)
    # What has no share does not count, if it is infinite either.
    parts = [jnp.where(share == 0, 0, share * x.astype(dtype)) for share, x in ((keep, new), (1 - keep, old))]
    return (parts[0] + parts[1]).astype(new.dtype)


@functools.partial(jax.jit, static_argnums=4)
def _zoneout(key: jax.Array, new: jax.Array, old: jax.Array, rate: jax.Array, bits: int) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, new: jax.Array, old: jax.Array, rate: jax.Array) -> jax.Array:
        mask, keep = _masks.keep_mask(key, new.shape, rate, bits=bits)
        return jnp.where(jnp.isnan(keep), keep.astype(new.dtype), jnp.where(mask, new, old))  # so that a NaN rate shows

    return draw(key, new, old, rate)


def _states(new: jax.typing.ArrayLike, old: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array]:
    new, old = _checks.inexact("new", new), _checks.inexact("old", old)
    _checks.same_shape("new", new, "old", old)
    _checks.same_dtype("new", new, "old", old)
    return new, old
