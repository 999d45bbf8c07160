"""ShakeDrop: a residual branch that is shaken rather than dropped, differently forward and backward."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _bits, _checks, _masks


def shake_drop(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    alpha_range: tuple[float, float] = (-1.0, 1.0),
    beta_range: tuple[float, float] = (0.0, 1.0),
    level: Literal["batch", "image", "channel", "pixel"] = "pixel",
    mode: Literal["row", "batch"] = "batch",
) -> jax.Array:
    r"""Multiplies a residual branch by random numbers with probability `rate`, and its gradient by other ones.

    .. math:: y = (b + \alpha - b \alpha) x, \quad
              \frac{\partial \ell}{\partial x} := (b + \beta - b \beta) \frac{\partial \ell}{\partial y}, \quad
              b \sim \mathrm{Bernoulli}(1 - p), \; \alpha \sim U(-1, 1), \; \beta \sim U(0, 1)

    Apply it to the branch before it is added: `shortcut + shake_drop(key, branch, rate)`. The paper lets the branch end
    in batch normalisation and writes p for the probability of keeping, which falls linearly with depth to 1/2:
    `schedules.linear_depth`. Predict with `shake_drop_expectation`.

    As in the authors' code, one b is drawn for the batch and the numbers :math:`\alpha, \beta` for each entry, at the
    "pixel" level. It was the best of the paper's four, so a summary of its first version says, in which memory spoke
    for "image"; here nothing is stored. We could not read the paper's own tables. `alpha_range=(0, 0)` drops the branch
    forward, `alpha_range=beta_range=(0, 0)` is stochastic depth without rescaling.

    By design the derivative is not that of the value, in forward mode either. Second derivatives are those of a
    function that is linear in `x`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at the static rate 0: None will do.
      x: Floating-point or complex array, (batch, ..., channels).
      rate: Probability :math:`p` of shaking; a number in [0, 1], or an array that broadcasts against `x` and is
        constant along the axes that share a decision. No gradient flows into it.
      alpha_range: Ends of the interval on which the forward factor :math:`\alpha` is uniform.
      beta_range: Those of the backward factor :math:`\beta`.
      level: What shares a factor: 'batch' all entries, 'image' those of an example, 'channel' those of a channel of an
        example, 'pixel' none.
      mode: 'batch' decides once for all whether to shake, 'row' for each entry of the first axis.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        within what shares a decision, `level` or `mode` is unknown, a range is not two ascending finite numbers, or
        `x` is a scalar.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> shaken = lambda x: jaxdrop.shake_drop(jax.random.key(0), x, 1.0, level="batch")
      >>> y, pullback = jax.vjp(shaken, jnp.ones(2))
      >>> bool(y[0] == y[1]), bool(y[0] == pullback(jnp.ones(2))[0][0])
      (True, False)

    References:
      Yamada et al., `ShakeDrop regularization for deep residual learning <https://arxiv.org/abs/1802.02375>`_, 2019
    """
    x = _checks.inexact("x", x)
    static_rate = _checks.static_rate("rate", rate)
    alpha = _checks.interval("alpha_range", alpha_range)
    beta = _checks.interval("beta_range", beta_range)
    _checks.one_of("level", level, ("batch", "image", "channel", "pixel"))
    _checks.one_of("mode", mode, ("row", "batch"))
    _checks.at_least("x.ndim", x.ndim, 1)
    if static_rate == 0:
        return x
    decided = tuple(range(1 if mode == "row" else 0, x.ndim))
    alike = {"batch": range(x.ndim), "image": range(1, x.ndim), "channel": range(1, x.ndim - 1), "pixel": ()}[level]
    return _shake_drop(
        _checks.prng_key("key", key), x, jnp.asarray(rate, jnp.float32), alpha, beta, decided, tuple(alike)
    )


def shake_drop_expectation(
    x: jax.typing.ArrayLike, rate: jax.typing.ArrayLike, *, alpha_range: tuple[float, float] = (-1.0, 1.0)
) -> jax.Array:
    r"""Returns the mean of `shake_drop`, :math:`(1 - p + p E[\alpha]) x`, to predict without noise.

    Args:
      x: Floating-point or complex array of any shape.
      rate: Probability :math:`p` of shaking, as in `shake_drop`.
      alpha_range: Ends of the interval on which :math:`\alpha` is uniform; its mean is 0 by default.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x`, or
        `alpha_range` is not two ascending finite numbers.
      TypeError: If `x` is not floating point, or `rate` is neither a number nor an array.

    Examples:
      >>> jaxdrop.shake_drop_expectation(jnp.ones(2), 0.25)
      Array([0.75, 0.75], dtype=float32)

    References:
      Yamada et al., `ShakeDrop regularization for deep residual learning <https://arxiv.org/abs/1802.02375>`_, 2019
    """
    x = _checks.inexact("x", x)
    _checks.static_rate("rate", rate)
    low, high = _checks.interval("alpha_range", alpha_range)
    keep = _masks.keep_probability(rate, bits=32)
    keep = keep.reshape(_checks.rate_shape("rate", keep.shape, x.shape, ()))
    dtype = _masks.wide(x.dtype)
    return (x.astype(dtype) * (keep + (1 - keep) * np.float32((low + high) / 2)).astype(dtype)).astype(x.dtype)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _shake_drop(
    key: jax.Array,
    x: jax.Array,
    rate: jax.Array,
    alpha: tuple[float, float],
    beta: tuple[float, float],
    decided: tuple[int, ...],
    alike: tuple[int, ...],
) -> jax.Array:
    shape = tuple(1 if axis in alike else size for axis, size in enumerate(x.shape))

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        decision, forward, backward = _bits.split(key, 3)
        mask, keep = _masks.keep_mask(decision, x.shape, rate, bits=32, shared=decided)

        def factor(key: jax.Array, interval: tuple[float, float]) -> jax.Array:
            low, high = interval
            shaken = np.float32(low) + np.float32(high - low) * _bits.uniform(key, shape)
            drawn = jnp.where(mask, np.float32(1), shaken)
            return jnp.where(jnp.isnan(keep), keep, drawn).astype(_masks.wide(x.dtype))

        return _scaled(x, factor(forward, alpha), factor(backward, beta))

    return draw(key, x, lax.stop_gradient(rate))


@jax.custom_jvp
def _scaled(x: jax.Array, forward: jax.Array, backward: jax.Array) -> jax.Array:
    """Returns `forward * x`, whose derivative is taken to be `backward`.

    A rule rather than `backward * x + stop_gradient((forward - backward) * x)`: that would round twice, and turn an
    infinity into NaN. Only the factor that is needed gets drawn.
    """
    del backward
    return (x.astype(forward.dtype) * forward).astype(x.dtype)


@_scaled.defjvp
def _scaled_jvp(primals, tangents):
    _, _, backward = primals
    return _scaled(*primals), _scaled(tangents[0], backward, backward)
