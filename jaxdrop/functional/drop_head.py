"""DropHead: dropping whole attention heads."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _checks, _masks


def drop_head(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    head_axis: int = -3,
    num_batch_dims: int = 1,
    normalize: bool = True,
    broadcast_dims: Sequence[int] = (),
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes each head of each example with probability `rate`, and rescales the others by how many there are.

    .. math:: y_{nh} = m_{nh} x_{nh} \frac{H}{\sum_g m_{ng}}, \quad m_{nh} \sim \mathrm{Bernoulli}(1 - p)

    for example n and head h of H. Where all heads go, the result is zero, so that :math:`E[y] = (1 - p^H) x`. It acts
    on attention weights (batch, heads, queries, keys), or as well on what they give before the heads are merged.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point array (\*batch, ...) with an axis of heads.
      rate: Probability :math:`p` of dropping a head; a number in [0, 1], or a scalar array, traced or not. No gradient
        flows into it. The paper lets it fall and rise again over training.
      head_axis: The axis of the heads: -3 for attention weights, -2 for outputs (batch, queries, heads, features).
      num_batch_dims: How many axes in front are examples, each with decisions of its own.
      normalize: Whether to rescale by the number of heads that are left; otherwise by :math:`1 / (1 - p)`, which makes
        x the mean, as in dropout.
      broadcast_dims: Axes of examples along which all share one decision.
      bits: Random bits that decide a head; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not a scalar, `head_axis` is not an axis
        of `x` behind those of the batch, `broadcast_dims` contain the heads, or `bits` is not allowed or rounds a
        static rate to 0 or 1.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> jaxdrop.drop_head(jax.random.key(0), jnp.ones((2, 4, 1, 1)), 0.5)[..., 0, 0]
      Array([[4.       , 0.       , 0.       , 0.       ],
             [1.3333334, 1.3333334, 0.       , 1.3333334]], dtype=float32)

    References:
      Zhou et al., `Scheduled DropHead <https://arxiv.org/abs/2004.13342>`_, 2020
    """
    x = _checks.inexact("x", x)
    static_rate = _checks.static_rate("rate", rate)
    (head,) = _checks.axes("head_axis", (head_axis,), x.ndim)
    _checks.integer_between("num_batch_dims", num_batch_dims, 0, head)
    alike = set(_checks.axes("broadcast_dims", broadcast_dims, x.ndim))
    if head in alike:
        raise ValueError(
            f"broadcast_dims must not contain the axis of the heads, {head}, got {tuple(broadcast_dims)}; with flax's"
            " attention, set broadcast_dropout=False."
        )
    bits = _checks.random_bits(bits, static_rate)
    if static_rate == 0:
        return x
    if static_rate == 1:
        return jnp.zeros_like(x)
    shared = tuple(sorted(alike | set(range(num_batch_dims, x.ndim)) - {head}))
    key = _checks.prng_key("key", key)
    return _drop_head(key, x, jnp.asarray(rate, jnp.float32), head, normalize, shared, bits)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _drop_head(
    key: jax.Array, x: jax.Array, rate: jax.Array, head: int, normalize: bool, shared: tuple[int, ...], bits: int
) -> jax.Array:
    _checks.rate_shape("rate", rate.shape, (), ())

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        dtype = _masks.wide(x.dtype)
        mask, keep = _masks.keep_mask(key, x.shape, rate, bits=bits, shared=shared)
        if normalize:
            left = jnp.sum(mask, axis=head, keepdims=True, dtype=jnp.int32).astype(jnp.float32)
            scale = (np.float32(x.shape[head]) / jnp.maximum(left, 1)).astype(dtype)
        else:
            scale = _masks.inverse_keep(keep, dtype)
        y = jnp.where(mask, x.astype(dtype) * scale, jnp.zeros((), dtype)).astype(x.dtype)
        return jnp.where(jnp.isnan(keep), keep.astype(x.dtype), y)  # so that a NaN rate shows

    return draw(key, x, jax.lax.stop_gradient(rate))
