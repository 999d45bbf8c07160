"""DropAttention: dropping attention weights by key or in spans, and normalising what is left."""

import functools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _checks, _masks


def drop_attention(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    mode: Literal["element", "column"] = "element",
    span: int = 1,
    normalize: bool = True,
    broadcast_dims: Sequence[int] = (),
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes spans of attention weights, for each query or for all, and rescales each query's others to the same sum.

    .. math:: y_{ts} = m_{ts} x_{ts} \frac{\sum_u x_{tu}}{\sum_u m_{tu} x_{tu}}

    for query t and key s, where no gradient flows into the fraction. 'element' decides for each query by itself,
    'column' drops a key for all queries. A span of :math:`w` neighbouring keys begins at a key with probability
    :math:`\gamma = p / w`; spans overlap, so that a weight goes with probability :math:`1 - (1 - p / w)^w`, which is
    `rate` for w = 1 and less otherwise. A span may begin before the first key, so that all keys go alike. Where all
    weights of a query go, its output is zero. The mean of y is not x. We know the paper from its summaries: that spans
    may begin outside is our choice.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at the static rate 0: None will do.
      x: Real floating-point array (\*batch, queries, keys): weights after the softmax.
      rate: Probability :math:`p`; a number in [0, 1], or a scalar array, traced or not. No gradient flows into it.
      mode: 'element' or 'column'.
      span: The number :math:`w` of keys in a span.
      normalize: Whether to rescale by each query's sum; otherwise by the probability that a weight stays, which makes x
        the mean, as in dropout.
      broadcast_dims: Axes along which all weights share one decision, beside the queries in mode 'column'.
      bits: Random bits that decide whether a span begins; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not a scalar, `mode` is neither, `x` has
        less than two axes, `span` is below 1 or above the number of keys, `broadcast_dims` are not axes of `x` or
        contain the keys, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x` is not real floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> weights = jnp.full((2, 4), 0.25)
      >>> jaxdrop.drop_attention(jax.random.key(0), weights, 0.5, mode="column")
      Array([[1., 0., 0., 0.],
             [1., 0., 0., 0.]], dtype=float32)

    References:
      Lin et al., `DropAttention <https://arxiv.org/abs/1907.11065>`_, 2019
    """
    x = _checks.real("x", x)
    static_rate = _checks.static_rate("rate", rate)
    _checks.one_of("mode", mode, ("element", "column"))
    _checks.at_least("x.ndim", x.ndim, 2)
    _checks.integer_between("span", span, 1, max(1, x.shape[-1]))
    shared = set(_checks.axes("broadcast_dims", broadcast_dims, x.ndim))
    if x.ndim - 1 in shared:
        raise ValueError(f"broadcast_dims must not contain the axis of the keys, got {tuple(broadcast_dims)}.")
    bits = _checks.random_bits(bits, None if static_rate is None else static_rate / span)
    if static_rate == 0 or x.size == 0:
        return x
    if mode == "column":
        shared.add(x.ndim - 2)
    key = _checks.prng_key("key", key)
    return _drop_attention(key, x, jnp.asarray(rate, jnp.float32), span, normalize, tuple(sorted(shared)), bits)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _drop_attention(
    key: jax.Array, x: jax.Array, rate: jax.Array, span: int, normalize: bool, shared: tuple[int, ...], bits: int
) -> jax.Array:
    _checks.rate_shape("rate", rate.shape, (), ())
    *batch, keys = x.shape

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        dtype = _masks.wide(x.dtype)
        starts = (*batch, keys + span - 1)
        rate = jnp.clip(rate, 0.0, 1.0) / np.float32(span)
        mask, keep = _masks.keep_mask(key, starts, rate, bits=bits, shared=shared)
        if span > 1:  # a key stays if no span begins at it or at one of those before it
            # The barrier keeps the generator out of the windows, where it would draw each number several times.
            mask = ~_masks.any_in_windows(lax.optimization_barrier(~mask), x.ndim - 1, span)
        y = jnp.where(mask, x.astype(dtype), jnp.zeros((), dtype))
        if normalize:
            kept, whole = (jnp.sum(lax.stop_gradient(array), -1, keepdims=True) for array in (y, x.astype(dtype)))
            scale = jnp.where(kept > 0, whole / jnp.where(kept > 0, kept, 1), 0)
        else:
            scale = _masks.inverse_keep(keep**span, dtype)
        return jnp.where(jnp.isnan(keep), keep.astype(x.dtype), (y * scale).astype(x.dtype))  # so that a NaN rate shows

    return draw(key, x, lax.stop_gradient(rate))
