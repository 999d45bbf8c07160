"""Uniform dropout (Uout): multiplicative uniform noise."""

import jax
import jax.numpy as jnp

from jaxdrop import _bits, _checks, _masks


def uniform_dropout(key: jax.Array | None, x: jax.typing.ArrayLike, beta: jax.typing.ArrayLike) -> jax.Array:
    r"""Multiplies each entry of `x` by uniform noise around 1; the paper calls it Uout.

    .. math:: y_i = x_i (1 + r_i), \quad r_i \sim U(-\beta, \beta)

    so that :math:`E[y] = x` and :math:`\mathrm{Var}[y] = x^2 \beta^2 / 3`. That is little variance, so that a following
    batch normalisation, whose statistics are of noisy inputs, fits inputs without noise as well: for centred inputs
    their variances differ by the factor :math:`3 / (3 + \beta^2)`. Nothing is dropped, hence a `beta` and not a rate:
    it has the variance of dropout at the rate :math:`\beta^2 / (3 + \beta^2)`. Without noise the layer is the identity.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read if `beta` is a static 0: None will do.
      x: Floating-point or complex array of any shape.
      beta: Half-width :math:`\beta` of the noise, relative to an entry; a number in [0, 1], or an array, traced or not,
        that broadcasts against `x`. Values outside are clipped, NaN gives NaN. No gradient flows into it.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static `beta` is outside [0, 1] or NaN, or an array `beta` does not broadcast against `x`.
      TypeError: If `x` is not floating point, `beta` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.uniform_dropout(jax.random.key(0), jnp.ones(1000), 0.1)
      >>> bool(jnp.all(jnp.abs(y - 1) <= 0.1))
      True

    References:
      Li et al., `Understanding the disharmony between dropout and batch normalization by variance shift
      <https://arxiv.org/abs/1801.05134>`_, 2019
    """
    x = _checks.inexact("x", x)
    if _checks.static_rate("beta", beta) == 0:
        return x
    return _uniform_dropout(_checks.prng_key("key", key), x, jnp.asarray(beta, jnp.float32))


@jax.jit
def _uniform_dropout(key: jax.Array, x: jax.Array, beta: jax.Array) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, beta: jax.Array) -> jax.Array:
        dtype = _masks.wide(x.dtype)
        beta = jax.lax.stop_gradient(jnp.clip(beta, 0.0, 1.0))
        beta = beta.reshape(_checks.rate_shape("beta", beta.shape, x.shape, ()))
        noise = 1 + beta * (2 * _bits.uniform(key, x.shape) - 1)
        return (x.astype(dtype) * noise.astype(dtype)).astype(x.dtype)

    return draw(key, x, beta)
