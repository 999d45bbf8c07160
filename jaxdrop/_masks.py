r"""Keep-masks: the one place that draws random bits.

A mask is a pure function of (key, shape, position). Element :math:`c` of row :math:`r`, where the row counts the
positions of all other axes, is decided by `bits` bits of the Threefry-2x32-20 block with counter
:math:`(r, c \bmod w)`. A block gives 64 bits, so `64 // bits` elements share one: they are :math:`w` apart, which
leaves every segment of the axis contiguous. Nothing depends on how an array is laid out, split over devices, chunked by
`vmap` or compiled.

Comparing integers makes the drop frequency exact to the last bit in every dtype; a bfloat16 uniform would be biased
(jax issue 28039).

References:
  Salmon et al., `Parallel random numbers: as easy as 1, 2, 3 <https://doi.org/10.1145/2063384.2063405>`_, 2011
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry_2x32

from jaxdrop import _checks

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
# Separates our streams from those that jax.random draws from the same key: the bytes of "jaxd" and "rop\0".
_DOMAIN = (0x6A617864, 0x726F7000)


class KeepMask(NamedTuple):
    """A mask and the probability with which it keeps.

    Attributes:
      mask: Boolean array, True where an element survives; size 1 along shared axes.
      keep: Float32 array that broadcasts against `mask`: the probability, exact after rounding to `bits` bits, that an
        element survives. Carries no gradient. NaN where the rate is NaN.
    """

    mask: jax.Array
    keep: jax.Array


def keep_mask(
    key: jax.Array, shape: tuple[int, ...], rate: jax.typing.ArrayLike, *, bits: int, shared: tuple[int, ...] = ()
) -> KeepMask:
    """Draws which elements of an array survive.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed.
      shape: Shape of the array.
      rate: Probability of dropping, clipped to [0, 1] and rounded to a multiple of `2**-bits`; broadcasts against
        `shape`.
      bits: Random bits for each element: a power of two up to 32.
      shared: Non-negative axes along which all elements share one decision.

    Returns:
      A `KeepMask` whose mask has `shape`, except for size 1 along `shared`.
    """
    rate = jnp.asarray(rate, jnp.float32)
    rate = rate.reshape(_checks.rate_shape("rate", rate.shape, shape, shared))
    levels = _levels(rate, bits)
    decided = decided_shape(shape, shared)
    drawn = random_uints(key, decided, bits, readers=_num_readers(shape, decided))
    return KeepMask(_survives(drawn, levels, bits), _keep(levels, bits))


def decided_shape(shape: tuple[int, ...], shared: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what is drawn for an array of `shape`: 1 along the `shared` axes."""
    return tuple(1 if axis in shared else size for axis, size in enumerate(shape))


def _num_readers(shape: tuple[int, ...], decided: tuple[int, ...]) -> int:
    """How often XLA's CPU backend draws an integer, for an array of `shape`, if it fuses drawing and reading."""
    # Compilers hoist out of an innermost loop what is the same in all its turns.
    last = max((axis for axis, size in enumerate(decided) if size > 1), default=-1)
    return math.prod(shape[: last + 1])


def keep_numbered(key: jax.Array, numbers: jax.Array, rate: jax.typing.ArrayLike, *, bits: int) -> KeepMask:
    """Draws which of the `2**32` elements of an array that is never held survive, and looks some up by their numbers.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed.
      numbers: Integer array; equal numbers get equal decisions.
      rate: Probability of dropping, a scalar, clipped and rounded as in `keep_mask`.
      bits: Random bits for each element.

    Returns:
      A `KeepMask` whose mask has the shape of `numbers`.
    """
    levels = _levels(jnp.asarray(rate, jnp.float32), bits)
    if _draws_itself(key):
        drawn = jax.vmap(lambda number: jax.random.bits(jax.random.fold_in(key, number), (), jnp.uint32))(
            numbers.ravel()
        )
        drawn = drawn.reshape(numbers.shape)
    else:
        drawn, _ = threefry2x32(*_key_words(key), numbers.astype(jnp.uint32), jnp.zeros(numbers.shape, jnp.uint32))
    return KeepMask(_survives(drawn >> np.uint32(32 - bits), levels, bits), _keep(levels, bits))


def keep_probability(rate: jax.typing.ArrayLike, *, bits: int) -> jax.Array:
    """Returns the `keep` of a `KeepMask` for `rate`, in the shape of `rate`."""
    return _keep(_levels(jnp.asarray(rate, jnp.float32), bits), bits)


def _keep(levels: jax.Array, bits: int) -> jax.Array:
    return (np.float32(2**bits) - levels) / np.float32(2**bits)


def _levels(rate: jax.Array, bits: int) -> jax.Array:
    """Returns how many of `2**bits` integers drop an element, as a float."""
    return jnp.round(jnp.clip(rate, 0.0, 1.0) * np.float32(2**bits))  # which also stops the gradient


def _survives(drawn: jax.Array, levels: jax.Array, bits: int) -> jax.Array:
    """Whether integers below `2**bits` are not among the first `levels`, a float from 0 to `2**bits` or NaN."""
    # NaN keeps everything here and gives a NaN probability, so that it shows in the output.
    cutoff = jnp.fmax(levels, np.float32(0)).astype(jnp.uint32)
    # The second condition is for bits=32, where the cutoff of rate 1 is beyond the largest uint32.
    return (drawn >= cutoff) & ~(levels >= np.float32(2**bits))


def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws float32 numbers that are uniform on (0, 1): the centres of 2**23 equal cells, ends excluded."""
    cells = random_uints(key, shape, 32) >> np.uint32(9)
    return (cells.astype(jnp.float32) + np.float32(0.5)) * np.float32(2**-23)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws standard normal float32 numbers, of at most 5.4 in size."""
    return np.float32(math.sqrt(2)) * lax.erf_inv(2 * uniform(key, shape) - 1)


def any_in_windows(x: jax.Array, axis: int, size: int) -> jax.Array:
    """Returns whether any of `size` booleans in a row along `axis` is true; `size - 1` fewer of them than in `x`.

    XLA's CPU backend takes ten times as long for a maximum over windows. The parts that are combined are disjoint, so
    that `moments` may take them for independent.
    """
    doubled, width = x, 1
    length, done, parts = x.shape[axis] - size + 1, 0, []
    while True:
        if size & width:
            parts.append(lax.slice_in_dim(doubled, done, done + length, axis=axis))
            done += width
        if done == size:
            return functools.reduce(jnp.logical_or, parts)
        doubled = lax.slice_in_dim(doubled, 0, -width, axis=axis) | lax.slice_in_dim(doubled, width, None, axis=axis)
        width *= 2


def wide(dtype: jax.typing.DTypeLike) -> jax.typing.DTypeLike:
    """Returns `dtype` or, where that has fewer bits, float32: what noise is computed in.

    In bfloat16, 1 / 0.9 alone is off by 0.2 %, and the mean of the outputs with it.
    """
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32


def inverse_keep(keep: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Returns `1 / keep`, and a finite number where nothing is kept, so that gradients stay finite at rate 1."""
    # 2**-32 is below every positive probability, so this changes nothing but 0.
    return 1 / jnp.maximum(keep, np.float32(2**-32)).astype(dtype)


def redraw(fn: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Makes the backward pass of `fn(key, ...)` draw the noise again, from the key, instead of storing it.

    `jax.checkpoint` is what allows this together with jvp, vmap and second derivatives: `jax.custom_vjp` forbids
    forward mode, and `jax.custom_derivatives.linear_call` has no batching rule.
    """
    checkpointed = jax.checkpoint(fn)

    @functools.wraps(fn)
    def drawn(key: jax.Array, *args: jax.Array) -> jax.Array:
        mark_used(key)
        return checkpointed(key, *args)

    return drawn


def mark_used(key: jax.Array) -> None:
    """Tells jax_debug_key_reuse that a key is used up, which reading its data does not. Draws nothing."""
    if _is_typed(key):
        jax.random.bits(key, (0,))


def random_uints(key: jax.Array, shape: tuple[int, ...], bits: int, *, readers: int = 0) -> jax.Array:
    """Draws integers that are uniform on `[0, 2**bits)`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed.
      shape: Shape of the result.
      bits: Random bits for each integer: a power of two up to 32.
      readers: How often a CPU would draw them if each reader drew its own, where that is more than there are integers.
        They are the same integers in any case, but not the same program.

    Returns:
      A uint32 array of shape `shape`.
    """
    if not shape:
        return random_uints(key, (1,), bits, readers=readers).reshape(())
    if _draws_itself(key):
        return jax.random.bits(key, shape, jnp.uint32) >> np.uint32(32 - bits)
    layout = _layout(shape, bits)
    # The same integers, by three programs. XLA's CPU backend fuses the generator into whatever reads the mask, and
    # vectorises it best when it is purely elementwise: nothing is stored. Where many read the same integer, each would
    # draw it anew, and the mask is better held. An accelerator's integer units would limit the speed in either case, so
    # there a block is computed once and unpacked.
    return lax.platform_dependent(
        *_key_words(key),
        cpu=functools.partial(_held if _worth_holding(layout, readers) else _elementwise, layout=layout),
        default=functools.partial(_packed, layout=layout),
    )


def split(key: jax.Array, number: int) -> list[jax.Array]:
    """Returns legacy keys whose streams are unrelated to one another and to that of `key`.

    Inside `redraw`, where `key` is used up already, jax_debug_key_reuse would not let jax.random.split have it.
    """
    if _draws_itself(key):
        return list(jax.random.split(key, number))
    # A mask's columns never count this far.
    words = threefry2x32(*_key_words(key), lax.iota(jnp.uint32, number), np.uint32(2**32 - 1))
    # Without the barrier XLA fuses this into what is drawn, and compiles for minutes (on CPU, jax 0.12, bfloat16).
    return list(lax.optimization_barrier(jnp.stack(words, axis=1)))


def tiles(length: int, bits: int) -> tuple[int, int]:
    """Splits `length` entries into equal tiles, of no more than one block decides on; returns their number and size."""
    number = max(1, math.ceil(length * bits / 64))
    return number, math.ceil(length / number)


def draw_blocks(key: jax.Array, shape: tuple[int, ...], column: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Draws 64 bits for each element of an array: the block with counter (position, column).

    For masks with one axis more than can be held: `keeps` reads one decision after another out of the blocks, and the
    next column decides on the next tile.

    Args:
      key: PRNG key, typed or legacy, of any implementation. The caller marks it as used.
      shape: Shape of the array.
      column: Integer scalar.

    Returns:
      Two uint32 arrays of `shape`.
    """
    if math.prod(shape) > 2**32:
        raise ValueError(f"shape must have at most 2**32 elements, got {shape}.")
    if _draws_itself(key):
        first, second = jax.random.split(jax.random.fold_in(key, column))
        return jax.random.bits(first, shape, jnp.uint32), jax.random.bits(second, shape, jnp.uint32)
    column = jnp.broadcast_to(jnp.asarray(column, jnp.uint32), shape)
    return threefry2x32(*_key_words(key), _rows(shape, -1), column)


def keeps(
    blocks: tuple[jax.Array, jax.Array], number: jax.Array, rate: jax.typing.ArrayLike, *, bits: int
) -> jax.Array:
    """Returns the decision `number`, below `64 // bits`, of each block: True where an element survives.

    Args:
      blocks: What `draw_blocks` returned.
      number: Uint32 array that broadcasts with the blocks.
      rate: Probability of dropping, a scalar, clipped and rounded as in `keep_mask`.
      bits: Random bits for each decision: a power of two up to 32.

    Returns:
      A boolean array.
    """
    per_word = np.uint32(32 // bits)
    word = jnp.where(number < per_word, *blocks)
    drawn = (word >> (number % per_word * np.uint32(bits))) & np.uint32(2**bits - 1)
    return _survives(drawn, _levels(jnp.asarray(rate, jnp.float32), bits), bits)


def zeros_to_sum(shape: tuple[int, ...], dtype: jax.typing.DTypeLike, key: jax.Array, *arrays: jax.Array) -> jax.Array:
    """Returns zeros to which `lax.scan` may add terms made of `key` and `arrays`.

    Under `jax.shard_map` they must differ from shard to shard as soon as one of those does.
    """
    zeros = [jnp.sum(jnp.zeros_like(array)).astype(dtype) for array in (*_key_words(key), *arrays)]
    return jnp.broadcast_to(sum(zeros[1:], zeros[0]), shape)


class _Layout(NamedTuple):
    """How the elements of an array share blocks: `64 // bits` of them, `width` apart along `axis`."""

    shape: tuple[int, ...]
    bits: int
    axis: int
    width: int


def _layout(shape: tuple[int, ...], bits: int) -> _Layout:
    # Packing needs an axis with more than one element; most often that is the last.
    axis = max((axis for axis, size in enumerate(shape) if size > 1), default=len(shape) - 1)
    if max(math.prod(shape) // max(1, shape[axis]), shape[axis]) > 2**32:
        raise ValueError(f"shape must have at most 2**32 elements along axis {axis} and as many beside, got {shape}.")
    return _Layout(shape, bits, axis, max(1, math.ceil(shape[axis] * bits / 64)))


def _elementwise(k0: jax.Array, k1: jax.Array, layout: _Layout) -> jax.Array:
    """Computes for each element the block that it belongs to."""
    shape, bits, axis, width = layout
    column = lax.broadcasted_iota(jnp.uint32, shape, axis)
    segment = column // np.uint32(width)
    w0, w1 = threefry2x32(k0, k1, _rows(shape, axis), column - segment * np.uint32(width))
    per_word = np.uint32(32 // bits)
    word = jnp.where(segment < per_word, w0, w1)
    return (word >> (segment % per_word * np.uint32(bits))) & np.uint32(2**bits - 1)


def _worth_holding(layout: _Layout, readers: int) -> bool:
    """Whether `_held` draws in less time than all readers by themselves.

    On one core with AVX2, `_held` takes 12 ns for a block in the cache and 35 beyond it, and 15 us for its loop; a
    reader takes 3 ns.
    """
    return layout.bits >= 8 and readers >= max(2**14, 12 * math.prod(_blocks(layout)))


def _blocks(layout: _Layout) -> tuple[int, ...]:
    """The shape of an array of blocks."""
    return (*layout.shape[: layout.axis], layout.width, *layout.shape[layout.axis + 1 :])


def _held(k0: jax.Array, k1: jax.Array, layout: _Layout) -> jax.Array:
    """Computes each block once, in a loop, for loops are what XLA's CPU backend does not fuse into readers."""
    shape, bits, axis, width = layout
    blocks = _blocks(layout)
    counters = jnp.stack([_rows(blocks, axis), lax.broadcasted_iota(jnp.uint32, blocks, axis)])
    # By its type, what jax's generator returns would be the same in all shards of jax.shard_map, though keys are not.
    words = threefry_2x32((k0, k1), counters) + jnp.zeros_like(k0 ^ k1)
    words = jnp.moveaxis(words, 0, axis)
    if bits < 32:
        parts = lax.bitcast_convert_type(words, jnp.dtype(f"uint{bits}"))  # the lowest bits are the first part
        words = jnp.moveaxis(parts, -1, axis + 1)
    integers = words.reshape(*shape[:axis], width * (64 // bits), *shape[axis + 1 :])
    return lax.slice_in_dim(integers, 0, shape[axis], axis=axis).astype(jnp.uint32)


def _packed(k0: jax.Array, k1: jax.Array, layout: _Layout) -> jax.Array:
    """Computes each block once and lays its parts out as segments of `axis`."""
    shape, bits, axis, width = layout
    blocks = _blocks(layout)
    column = lax.broadcasted_iota(jnp.uint32, blocks, axis)
    # Without the barrier XLA would compute a block again for every segment.
    words = lax.optimization_barrier(threefry2x32(k0, k1, _rows(blocks, axis), column))
    segments = [(word >> np.uint32(shift)) & np.uint32(2**bits - 1) for word in words for shift in range(0, 32, bits)]
    used = segments[: max(1, math.ceil(shape[axis] / width))]
    return lax.slice_in_dim(jnp.concatenate(used, axis), 0, shape[axis], axis=axis)


def _rows(shape: tuple[int, ...], axis: int) -> jax.Array:
    """Numbers the positions along all axes but `axis`, as if they were one."""
    row = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for other in reversed(range(len(shape))):
        if other != axis:
            row += lax.broadcasted_iota(jnp.uint32, shape, other) * np.uint32(stride % 2**32)
            stride *= shape[other]
    return row


def _key_words(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Hashes a key of any implementation (one, two or four words) to two words."""
    words = jax.random.key_data(key) if _is_typed(key) else key
    words = jnp.pad(words, (0, words.size % 2))
    k0, k1 = jnp.asarray(_DOMAIN, jnp.uint32)
    for first in range(0, words.size, 2):
        k0, k1 = threefry2x32(k0, k1, words[first], words[first + 1])
    return k0, k1


def _is_typed(key: jax.Array) -> bool:
    return jnp.issubdtype(key.dtype, jax.dtypes.prng_key)


def _draws_itself(key: jax.Array) -> bool:
    """Whether a key is of an implementation that is not one of jax's own.

    jax.random's primitives then ask it for bits. The key of `jaxdrop.moments` marks them in a traced program; those of
    antithetic and balanced samples depend on one another.
    """
    return _is_typed(key) and not isinstance(jax.random.key_impl(key), str)


def threefry2x32(k0, k1, x0, x1):
    """Encrypts the counter (x0, x1) under the key (k0, k1), all uint32, in 20 rounds.

    jax.random's own generator runs as a rolled loop on CPU; written out, it fuses with what surrounds it.
    """
    keys = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for injection in range(1, 6):
        for rotation in _ROTATIONS[(injection - 1) % 2]:
            x0 = x0 + x1
            x1 = x0 ^ ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation)))
        x0 = x0 + keys[injection % 3]
        x1 = x1 + keys[(injection + 1) % 3] + np.uint32(injection)
    return x0, x1
