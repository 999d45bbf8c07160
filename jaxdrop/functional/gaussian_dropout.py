"""Gaussian dropout: multiplicative normal noise."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _bits, _checks, _masks


def gaussian_dropout(key: jax.Array | None, x: jax.typing.ArrayLike, rate: jax.typing.ArrayLike) -> jax.Array:
    r"""Multiplies each entry of `x` by normal noise with the mean and the variance of dropout's.

    .. math:: y_i = x_i \xi_i, \quad \xi_i \sim N(1, p / (1 - p))

    so that :math:`E[y] = x` and :math:`\mathrm{Var}[y] = x^2 p / (1 - p)`. Nothing is rescaled, here or at prediction
    time: without noise the layer is the identity. Srivastava writes p for the probability of keeping; `rate` is 1 - p.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point or complex array of any shape.
      rate: The :math:`p` of the formula; a number in [0, 1], or an array, traced or not, that broadcasts against `x`.
        Towards 1 the variance grows without bound; at 1 itself, as in dropout, everything is dropped. No gradient
        flows into it.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, or an array rate does not broadcast against `x`.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.gaussian_dropout(jax.random.key(0), jnp.ones(10_000), 0.2)  # variance 0.2 / 0.8
      >>> bool(jnp.abs(y.mean() - 1) < 0.03), bool(jnp.abs(y.var() - 0.25) < 0.02)
      (True, True)

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014, section 10
    """
    x = _checks.inexact("x", x)
    static_rate = _checks.static_rate("rate", rate)
    if static_rate == 0:
        return x
    if static_rate == 1:
        return jnp.zeros_like(x)
    return _gaussian_dropout(_checks.prng_key("key", key), x, jnp.asarray(rate, jnp.float32))


@jax.jit
def _gaussian_dropout(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        dtype = _masks.wide(x.dtype)
        rate = jax.lax.stop_gradient(jnp.clip(rate, 0.0, 1.0))
        rate = rate.reshape(_checks.rate_shape("rate", rate.shape, x.shape, ()))
        kept = rate != 1  # and NaN, which shows in the output
        deviation = jnp.sqrt(rate / jnp.where(kept, 1 - rate, np.float32(1)))
        noise = (1 + deviation * _bits.normal(key, x.shape)).astype(dtype)
        return jnp.where(kept, x.astype(dtype) * noise, jnp.zeros((), dtype)).astype(x.dtype)

    return draw(key, x, rate)
