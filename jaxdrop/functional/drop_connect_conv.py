"""DropConnect for convolutions."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _bits, _checks, _masks, _shards
from jaxdrop.functional.drop_connect_dense import BITS, MODES, add_bias, bias_per_example, mask_weights

Padding = str | int | Sequence[int | tuple[int, int]]


def drop_connect_conv(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    kernel: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    bias: jax.typing.ArrayLike | None = None,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    feature_group_count: int = 1,
    mode: str = "example",
    bits: int | None = None,
) -> jax.Array:
    r"""Applies a convolution of which each weight is zeroed with probability `rate`.

    A masked weight is missing at all positions of an example, since they share it, and each example has masks of its
    own. The paper applies DropConnect to dense layers alone. Nothing is rescaled: the mean is :math:`1 - p` times
    the convolution. To predict, see `drop_connect_conv_moments`.

    The masks of a batch would take as many entries as examples x weights. They are drawn for one position of the
    window, and up to `64 / bits` input channels, at a time, and again in the backward pass.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point array (\*batch, \*spatial, in), of one to three spatial axes.
      kernel: Weights (\*window, in / groups, out).
      rate: Probability :math:`p` of dropping a weight; a number in [0, 1], or a scalar array, traced or not. No
        gradient flows into it.
      bias: Array (out,), which is masked too.
      strides: Steps of the window along each spatial axis, or along all.
      padding: "SAME", "VALID", or zeros to add on both sides of all spatial axes, or of each, or pairs (before, after).
      kernel_dilation: Steps between the window's entries along each spatial axis, or along all.
      feature_group_count: Number of groups of channels, each of which is convolved by itself.
      mode: "example": masks are independent for each index of the batch axes. "batch": one mask for all of `x`, which
        is as cheap as a convolution.
      bits: Random bits that decide a weight; as in `drop_connect_dense`.

    Returns:
      An array (\*batch, \*spatial, out) of the dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not a scalar, shapes do not fit, `mode` or
        `padding` is unknown, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x`, `kernel` or `bias` is not real floating point, `rate` is neither a number nor an array, a size
        is not an integer, or `key` is not one key.

    Examples:
      >>> x, kernel = jnp.ones((2, 5, 1)), jnp.ones((3, 1, 1))
      >>> jaxdrop.drop_connect_conv(jax.random.key(0), x, kernel, 0.5)[..., 0]
      Array([[2., 3., 3., 3., 2.],
             [1., 2., 2., 2., 1.]], dtype=float32)

    References:
      Wan et al., `Regularization of neural networks using DropConnect
      <https://proceedings.mlr.press/v28/wan13.html>`_, 2013
    """
    x = _checks.real("x", x)
    kernel, bias = _checks.weights(kernel, bias, x, (3, 4, 5), feature_group_count)
    static_rate = _checks.static_rate("rate", rate)
    _checks.one_of("mode", mode, MODES)
    bits = _checks.random_bits(bits, static_rate, BITS)
    window = window_of(x, kernel, strides, padding, kernel_dilation, feature_group_count)
    if static_rate == 0:
        return convolve(x, kernel, bias, window)
    if static_rate == 1:
        return jnp.zeros_like(convolve(x, kernel, bias, window))
    key = _checks.prng_key("key", key)
    return _drop_connect(key, x, kernel, bias, jnp.asarray(rate, jnp.float32), window, mode, bits)


class Window(NamedTuple):
    """How a convolution visits its input; everything but `groups` has an entry for each spatial axis."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int


def window_of(x: jax.Array, kernel: jax.Array, strides, padding: Padding, dilation, groups: int) -> Window:
    """Checks the options of a convolution and returns them with one entry for each spatial axis."""
    number = kernel.ndim - 2
    strides = _checks.sizes("strides", strides, number)
    dilation = _checks.sizes("kernel_dilation", dilation, number)
    extent = [(size - 1) * step + 1 for size, step in zip(kernel.shape, dilation, strict=False)]
    spatial = x.shape[-1 - number : -1]
    if isinstance(padding, str):
        _checks.one_of("padding", padding, ("SAME", "VALID"))
        pads = lax.padtype_to_pads(spatial, extent, strides, padding)
    else:
        pads = _checks.pads("padding", padding, number)
    for length, before_after, size in zip(spatial, pads, extent, strict=True):
        if length + sum(before_after) < size:
            raise ValueError(f"kernel must fit into x with its padding, got {kernel.shape} for {x.shape} and {pads}.")
    return Window(strides, tuple((int(low), int(high)) for low, high in pads), dilation, groups)


def convolve(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, window: Window) -> jax.Array:
    """Convolves `x` (\\*batch, \\*spatial, in) in its dtype."""
    number = kernel.ndim - 2
    batch = x.shape[: -1 - number]
    letters = "DHW"[3 - number :]
    y = lax.conv_general_dilated(
        x.reshape(math.prod(batch), *x.shape[-1 - number :]),
        kernel.astype(x.dtype),
        window.strides,
        window.padding,
        rhs_dilation=window.dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=window.groups,
    )
    return add_bias(y.reshape(*batch, *y.shape[1:]), bias).astype(x.dtype)


@functools.partial(jax.jit, static_argnames=("window", "mode", "bits"))
def _drop_connect(
    key: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    rate: jax.Array,
    window: Window,
    mode: str,
    bits: int,
) -> jax.Array:
    _checks.rate_shape("rate", rate.shape, (), ())
    draw = _one_mask if mode == "batch" else _mask_per_example
    y = _masks.redraw(functools.partial(draw, window=window, bits=bits))(key, x, kernel, bias, lax.stop_gradient(rate))
    return jnp.where(jnp.isnan(rate), jnp.asarray(jnp.nan, y.dtype), y)


def _one_mask(key, x, kernel, bias, rate, *, window: Window, bits: int) -> jax.Array:
    return convolve(x, *mask_weights(key, kernel, bias, rate, bits), window)


def _mask_per_example(key, x, kernel, bias, rate, *, window: Window, bits: int) -> jax.Array:
    dtype, groups = _masks.wide(x.dtype), window.groups
    *taps, channels, out = kernel.shape
    batch, spatial = x.shape[: -1 - len(taps)], x.shape[-1 - len(taps) : -1]
    number, size = _masks.tiles(channels, bits)
    padding = (0, number * size - channels)

    inputs = x.astype(dtype).reshape(*batch, *spatial, groups, channels)
    inputs = jnp.pad(inputs, [(0, 0)] * len(batch) + [*window.padding, (0, 0), padding])
    offsets = np.indices(taps).reshape(len(taps), -1).T * np.asarray(window.dilation)
    extent = [low + length + high for length, (low, high) in zip(spatial, window.padding, strict=True)] - offsets[-1]
    positions = [-(-int(length) // stride) for length, stride in zip(extent, window.strides, strict=True)]
    inputs = jnp.moveaxis(inputs.reshape(*inputs.shape[:-1], number, size), -2, 0)
    weights = jnp.pad(kernel.astype(dtype).reshape(-1, channels, out), [(0, 0), padding, (0, 0)])
    weights = jnp.moveaxis(weights.reshape(-1, number, size, out), 1, 0)
    index = jnp.arange(size, dtype=jnp.uint32).reshape(*(1 for _ in batch), size, 1)

    def add_tile(y, columns, inputs, weights):
        @jax.checkpoint
        def add_tap(y, column, offset, weights):
            blocks = lax.optimization_barrier(_bits.draw_blocks(key, (*batch, 1, out), column))
            mask = _masks.keeps(blocks, index, rate, bits=bits)
            masked = jnp.where(mask, jnp.broadcast_to(weights, mask.shape), 0)
            masked = masked.reshape(*batch, size, groups, out // groups)
            patch = inputs
            for axis, (length, stride) in enumerate(zip(extent, window.strides, strict=True), len(batch)):
                patch = lax.dynamic_slice_in_dim(patch, offset[axis - len(batch)], int(length), axis)
                patch = lax.slice_in_dim(patch, 0, None, stride, axis)
            return y + jnp.einsum("...pgi,...igo->...pgo", patch.reshape(*batch, y.shape[-3], groups, size), masked)

        return lax.scan(lambda y, tap: (add_tap(y, *tap), None), y, (columns, jnp.asarray(offsets), weights))[0]

    columns = jnp.arange(number * len(offsets), dtype=jnp.uint32).reshape(number, -1)
    zeros = jnp.zeros((*batch, math.prod(positions), groups, out // groups), dtype)
    y = _shards.varying_with(zeros, key, x, kernel, rate)
    y, _ = lax.scan(lambda y, tile: (add_tile(y, *tile), None), y, (columns, inputs, weights))
    y = y.reshape(*batch, *positions, out)
    if bias is not None:
        masked = bias_per_example(key, bias.astype(dtype), batch, rate, number * len(offsets), bits)
        y = y + masked.reshape(*batch, *(1 for _ in taps), out)
    return y.astype(x.dtype)
