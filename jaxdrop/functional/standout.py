"""Standout: adaptive dropout, whose rates are another network's opinion of each example."""

import functools

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks


def standout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    logits: jax.typing.ArrayLike,
    *,
    alpha: jax.typing.ArrayLike = 1.0,
    beta: jax.typing.ArrayLike = 0.0,
    straight_through: bool = False,
    bits: int | None = None,
) -> jax.Array:
    r"""Keeps each entry of `x` with a probability that depends on the example, and leaves it as it is.

    .. math:: y_i = m_i x_i, \quad m_i \sim \mathrm{Bernoulli}(\sigma(\alpha l_i + \beta))

    :math:`l` are the pre-activations of a belief network beside the layer. *Tied*, they are the layer's own, `h` where
    `x` is `activation(h)`, and :math:`\alpha, \beta` are chosen by hand. *Free*, they are a second linear map of the
    layer's inputs, with parameters of its own. Predict with `standout_expectation`.

    A mask has no gradient, so by default none flows into `logits`, `alpha` and `beta`, and free parameters would stay
    as they are. `straight_through` gives these three the gradient of the expectation, :math:`x_i \sigma'`, beside the
    masked gradient of `x`. That is our choice: the paper's abstract says that free parameters are learned by
    back-propagation through approximate local expectations of the masks; how in detail, we could not verify. Nor could
    we for :math:`\beta`, which is a bias here; there are replications that add it to each tied weight instead, which is
    `logits=alpha * h + beta * inputs.sum(-1, keepdims=True)`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed.
      x: Floating-point or complex array of any shape.
      logits: Real floating-point array :math:`l` that broadcasts against `x`. Where it is NaN, the output is.
      alpha: Slope :math:`\alpha`; a number, or an array, traced or not, that broadcasts against `x`.
      beta: Offset :math:`\beta`, in the same forms. At `alpha=0` this is `standard_dropout` at the rate
        :math:`\sigma(-\beta)`.
      straight_through: Whether `logits`, `alpha` and `beta` get the gradient of the expectation.
      bits: Random bits that decide an entry: 8, 16 or 32; None for 16. Probabilities are rounded to multiples of
        `2**-bits`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `logits`, `alpha` or `beta` do not broadcast against `x`, a number `alpha` or `beta` is not
        finite, or `bits` is not allowed.
      TypeError: If `x` or `logits` is not floating point, `logits` is complex, `alpha` or `beta` is neither a number
        nor an array, or `key` is not one key.

    Examples:
      >>> h = jnp.broadcast_to(jnp.asarray([-20.0, 0.0, 20.0]), (1000, 3))
      >>> y = jaxdrop.standout(jax.random.key(0), jax.nn.sigmoid(h) + 1, h)
      >>> kept = (y > 0).mean(0)
      >>> float(kept[0]), 0.4 < kept[1] < 0.6, float(kept[2])
      (0.0, Array(True, dtype=bool), 1.0)

    References:
      Ba and Frey, `Adaptive dropout for training deep neural networks
      <https://papers.nips.cc/paper/5032-adaptive-dropout-for-training-deep-neural-networks>`_, 2013
    """
    arrays = _arrays(x, logits, alpha, beta)
    bits = _checks.random_bits(bits, None)
    return _standout(_checks.prng_key("key", key), *arrays, straight_through, bits)


def standout_expectation(
    x: jax.typing.ArrayLike,
    logits: jax.typing.ArrayLike,
    *,
    alpha: jax.typing.ArrayLike = 1.0,
    beta: jax.typing.ArrayLike = 0.0,
) -> jax.Array:
    r"""Returns the mean of `standout`, :math:`\sigma(\alpha l + \beta) x`, to predict without noise.

    It is differentiable in all arguments, and exact up to the rounding of probabilities by the `bits` of `standout`.

    Args:
      x: Floating-point or complex array of any shape.
      logits: Real floating-point array :math:`l` that broadcasts against `x`.
      alpha: Slope :math:`\alpha`, as in `standout`.
      beta: Offset :math:`\beta`, as in `standout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `logits`, `alpha` or `beta` do not broadcast against `x`, or a number `alpha` or `beta` is not
        finite.
      TypeError: If `x` or `logits` is not floating point, `logits` is complex, or `alpha` or `beta` is neither a
        number nor an array.

    Examples:
      >>> jaxdrop.standout_expectation(jnp.ones(2), jnp.zeros(2))
      Array([0.5, 0.5], dtype=float32)

    References:
      Ba and Frey, `Adaptive dropout for training deep neural networks
      <https://papers.nips.cc/paper/5032-adaptive-dropout-for-training-deep-neural-networks>`_, 2013
    """
    return _expectation(*_arrays(x, logits, alpha, beta))


@functools.partial(jax.jit, static_argnums=(5, 6))
def _standout(
    key: jax.Array,
    x: jax.Array,
    logits: jax.Array,
    alpha: jax.Array,
    beta: jax.Array,
    straight_through: bool,
    bits: int,
) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, *belief: jax.Array) -> jax.Array:
        z = _belief(x.shape, *belief)
        # sigmoid(-z) is accurate where 1 - sigmoid(z) would cancel.
        mask, keep = _masks.keep_mask(key, x.shape, jax.nn.sigmoid(-z), bits=bits)
        if straight_through:
            y = _select_straight_through(mask, x, jax.nn.sigmoid(z))
        else:
            y = jnp.where(mask, x, jnp.zeros((), x.dtype))
        return jnp.where(jnp.isnan(keep), keep.astype(x.dtype), y)  # so that NaN logits show

    return draw(key, x, logits, alpha, beta)


@jax.jit
def _expectation(x: jax.Array, logits: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
    return _times(x, jax.nn.sigmoid(_belief(x.shape, logits, alpha, beta)))


@jax.custom_jvp
def _select_straight_through(mask: jax.Array, x: jax.Array, keep: jax.Array) -> jax.Array:
    """Zeroes `x` outside of `mask`, with the derivative of `keep * x` in `keep`."""
    return jnp.where(mask, x, jnp.zeros((), x.dtype))


@_select_straight_through.defjvp
def _(primals, tangents):
    mask, x, keep = primals
    _, x_tangent, keep_tangent = tangents
    masked_tangent = jnp.where(mask, x_tangent, jnp.zeros((), x.dtype))
    return _select_straight_through(mask, x, keep), masked_tangent + _times(x, keep_tangent)


def _times(x: jax.Array, keep: jax.Array) -> jax.Array:
    dtype = _masks.wide(x.dtype)
    return (x.astype(dtype) * keep.astype(dtype)).astype(x.dtype)


def _belief(shape: tuple[int, ...], *arrays: jax.Array) -> jax.Array:
    """Returns `alpha * logits + beta`, in float32 or more."""
    names = ("logits", "alpha", "beta")
    logits, alpha, beta = (
        array.astype(arrays[-1].dtype).reshape(_checks.rate_shape(name, array.shape, shape, ()))
        for name, array in zip(names, arrays, strict=True)
    )
    return alpha * logits + beta


def _arrays(x, logits, alpha, beta) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    for name, value in (("alpha", alpha), ("beta", beta)):
        _checks.finite(name, value)
    logits = _checks.real("logits", logits)
    dtype = _masks.wide(logits.dtype)
    return _checks.inexact("x", x), logits, jnp.asarray(alpha, dtype), jnp.asarray(beta, dtype)
