"""DropBlock: contiguous regions of feature maps."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _checks, _masks


def drop_block(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    block_size: int | Sequence[int] = 7,
    *,
    num_spatial_dims: int | None = None,
    share_channels: bool = False,
    exact_rate: bool = False,
) -> jax.Array:
    r"""Zeroes blocks of each feature map, about a fraction `rate` of it, and rescales the rest.

    Each position where a whole block of sizes :math:`b_d` fits into the map of sizes :math:`L_d` starts one with
    probability

    .. math:: \gamma = p \prod_d \frac{L_d}{b_d (L_d - b_d + 1)}

    and the outputs are :math:`y_i = m_i x_i n / \sum_j m_j` with :math:`m_i = 0` inside a block, where j runs over the
    n entries of all channels of the same example: what happens to one example never depends on the others. (The
    authors' code normalises over the whole batch.) An example without survivors gives zeros.

    The formula counts an entry under two blocks twice, so that less than a fraction p is dropped: 0.094 for p = 0.1,
    blocks of 7 x 7 and maps of 28 x 28. With `exact_rate`, :math:`\gamma` solves
    :math:`1 - \frac{1}{L} \sum_i (1 - \gamma)^{n_i} = p` instead, where :math:`n_i` blocks may cover entry i of the
    L of a map: the expected fraction is p.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point array (\*batch, \*spatial, channels).
      rate: The :math:`p` of the formula; a number in [0, 1], or an array, traced or not, that broadcasts against `x`
        and is constant along all but its batch axes. At 1 itself, as in dropout, everything is dropped. No gradient
        flows into it.
      block_size: Size of a block along each spatial axis, or along all; one larger than the map is clipped to it.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      share_channels: Whether all channels of an example share their blocks.
      exact_rate: Whether the expected fraction of dropped entries is `rate`, rather than the paper's lower one.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        within an example, a block size is below 1, or there are not as many of them as spatial axes.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, a block size is not an integer,
        or `key` is not one key.

    Examples:
      >>> y = jaxdrop.drop_block(jax.random.key(2), jnp.ones((1, 8, 16, 1)), 0.3, (3, 4))
      >>> print("\n".join("".join(".#"[int(entry > 0)] for entry in row) for row in y[0, :, :, 0]))
      ################
      ################
      ################
      #######....#####
      ###..........###
      #............###
      #............###
      #........#######

    References:
      Ghiasi et al., `DropBlock: a regularization method for convolutional networks
      <https://arxiv.org/abs/1810.12890>`_, 2018
    """
    x = _checks.inexact("x", x)
    static_rate = _checks.static_rate("rate", rate)
    axes = _checks.spatial_axes(num_spatial_dims, x.ndim)
    sizes = _checks.sizes("block_size", block_size, len(axes))
    if static_rate == 0 or x.size == 0:
        return x
    if static_rate == 1:
        return jnp.zeros_like(x)
    block = tuple(min(size, x.shape[axis]) for size, axis in zip(sizes, axes, strict=True))
    key = _checks.prng_key("key", key)
    return _drop_block(key, x, jnp.asarray(rate, jnp.float32), axes, block, share_channels, exact_rate)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _drop_block(
    key: jax.Array,
    x: jax.Array,
    rate: jax.Array,
    axes: tuple[int, ...],
    block: tuple[int, ...],
    share_channels: bool,
    exact_rate: bool,
) -> jax.Array:
    channels = x.ndim - 1
    rate = rate.reshape(_checks.rate_shape("rate", rate.shape, x.shape, (*axes, channels)))
    gamma = _start_rate(lax.stop_gradient(rate), [x.shape[axis] for axis in axes], block, exact_rate)
    starts = list(x.shape)
    for axis, size in zip(axes, block, strict=True):
        starts[axis] -= size - 1

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, gamma: jax.Array) -> jax.Array:
        mask, keep = _masks.keep_mask(key, tuple(starts), gamma, bits=32, shared=(channels,) if share_channels else ())
        # The barrier keeps the generator out of the windows, where each of its numbers would be drawn several times.
        dropped = lax.optimization_barrier(~mask)
        for axis, size in zip(axes, block, strict=True):
            dropped = _spread(dropped, axis, size)
        dtype = _masks.wide(x.dtype)
        kept = jnp.sum(~dropped, axis=(*axes, channels), keepdims=True, dtype=jnp.int32)
        entries = math.prod(dropped.shape[axis] for axis in (*axes, channels))
        scale = jnp.asarray(entries, dtype) / jnp.maximum(kept, 1).astype(dtype)
        scale = jnp.where(jnp.isnan(keep), jnp.asarray(jnp.nan, dtype), scale)
        return jnp.where(dropped, jnp.zeros((), dtype), x.astype(dtype) * scale).astype(x.dtype)

    return draw(key, x, gamma)


def _spread(starts: jax.Array, axis: int, size: int) -> jax.Array:
    """Marks the `size` positions along `axis` from each start on; there are `size - 1` more of them than of starts."""
    padding = [(0, 0)] * starts.ndim
    padding[axis] = (size - 1, size - 1)
    return _masks.any_in_windows(jnp.pad(starts, padding), axis, size)


def _start_rate(rate: jax.Array, lengths: Sequence[int], block: Sequence[int], exact: bool) -> jax.Array:
    """Returns the probability gamma that a block starts at a position where it fits."""
    cover, share = _coverage(lengths, block)
    rate = jnp.clip(rate, 0.0, 1.0)
    gamma = rate / np.float32(cover @ share)
    if exact:
        # Every entry may be under at least one block, and the union of blocks is no larger than their sum.
        gamma, _ = lax.fori_loop(0, 30, functools.partial(_bisect, rate, cover, share), (gamma, rate))
    return jnp.where(rate == 1, np.float32(1), gamma)


def _bisect(rate, cover, share, _, bracket):
    low, high = bracket
    middle = (low + high) / 2
    dropped = -jnp.expm1(jnp.log1p(-middle)[..., None] * cover.astype(np.float32).reshape(*(1,) * middle.ndim, -1))
    low_enough = dropped @ share.astype(np.float32) < rate
    return jnp.where(low_enough, middle, low), jnp.where(low_enough, high, middle)


def _coverage(lengths: Sequence[int], block: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many blocks may cover an entry of a map, and the shares of entries with these numbers."""
    cover, share = np.ones(1), np.ones(1)
    for length, size in zip(lengths, block, strict=True):
        first, last = np.arange(length) - size + 1, np.arange(length)
        number, entries = np.unique(np.minimum(last, length - size) - np.maximum(first, 0) + 1, return_counts=True)
        cover, share = np.outer(cover, number).ravel(), np.outer(share, entries / length).ravel()
    return cover, share
