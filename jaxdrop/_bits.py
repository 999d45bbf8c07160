r"""Random bits: the one place that draws them.

An integer is a pure function of (key, shape, position). Element :math:`c` of row :math:`r`, where the row counts the
positions of all other axes, is `bits` bits of the Threefry-2x32-20 block with counter :math:`(r, c \bmod w)`. A block
gives 64 bits, so `64 // bits` elements share one: they are :math:`w` apart, which leaves every segment of the axis
contiguous. Nothing depends on how an array is laid out, split over devices, chunked by `vmap` or compiled.

References:
  Salmon et al., `Parallel random numbers: as easy as 1, 2, 3 <https://doi.org/10.1145/2063384.2063405>`_, 2011
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry_2x32

from jaxdrop import _shards

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
# Separates our streams from those that jax.random draws from the same key: the bytes of "jaxd" and "rop\0".
_DOMAIN = (0x6A617864, 0x726F7000)


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
    if draws_itself(key):
        return jax.random.bits(key, shape, jnp.uint32) >> np.uint32(32 - bits)
    layout = _layout(shape, bits)
    # The same integers, by three programs. XLA's CPU backend fuses the generator into whatever reads the mask, and
    # vectorises it best when it is purely elementwise: nothing is stored. Where many read the same integer, each would
    # draw it anew, and the mask is better held. An accelerator's integer units would limit the speed in either case, so
    # there a block is computed once and unpacked.
    return lax.platform_dependent(
        *key_words(key),
        cpu=functools.partial(_held if _worth_holding(layout, readers) else _elementwise, layout=layout),
        default=functools.partial(_packed, layout=layout),
    )


def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws float32 numbers that are uniform on (0, 1): the centres of 2**23 equal cells, ends excluded."""
    cells = random_uints(key, shape, 32) >> np.uint32(9)
    return (cells.astype(jnp.float32) + np.float32(0.5)) * np.float32(2**-23)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws standard normal float32 numbers, of at most 5.4 in size."""
    return np.float32(math.sqrt(2)) * lax.erf_inv(2 * uniform(key, shape) - 1)


def numbered(key: jax.Array, numbers: jax.Array) -> jax.Array:
    """Looks up elements, by their numbers, of an array of `2**32` integers that is never held.

    Args:
      key: PRNG key, typed or legacy, of any implementation. The caller marks it as used.
      numbers: Integer array.

    Returns:
      A uint32 array of the shape of `numbers`, uniform on `[0, 2**32)`; equal for equal numbers.
    """
    if draws_itself(key):
        drawn = jax.vmap(lambda number: jax.random.bits(jax.random.fold_in(key, number), (), jnp.uint32))(
            numbers.ravel()
        )
        return drawn.reshape(numbers.shape)
    return threefry2x32(*key_words(key), numbers.astype(jnp.uint32), jnp.zeros(numbers.shape, jnp.uint32))[0]


def draw_blocks(key: jax.Array, shape: tuple[int, ...], column: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Draws 64 bits for each element of an array: the block with counter (position, column).

    For masks with one axis more than can be held: `jaxdrop._masks.keeps` reads one decision after another out of the
    blocks, and the next column decides on the next tile.

    Args:
      key: PRNG key, typed or legacy, of any implementation. The caller marks it as used.
      shape: Shape of the array.
      column: Integer scalar.

    Returns:
      Two uint32 arrays of `shape`.
    """
    if math.prod(shape) > 2**32:
        raise ValueError(f"shape must have at most 2**32 elements, got {shape}.")
    if draws_itself(key):
        first, second = jax.random.split(jax.random.fold_in(key, column))
        return jax.random.bits(first, shape, jnp.uint32), jax.random.bits(second, shape, jnp.uint32)
    column = jnp.broadcast_to(jnp.asarray(column, jnp.uint32), shape)
    return threefry2x32(*key_words(key), _rows(shape, -1), column)


def split(key: jax.Array, number: int) -> list[jax.Array]:
    """Returns legacy keys whose streams are unrelated to one another and to that of `key`.

    Inside `redraw`, where `key` is used up already, jax_debug_key_reuse would not let jax.random.split have it.
    """
    if draws_itself(key):
        return list(jax.random.split(key, number))
    # A mask's columns never count this far.
    words = threefry2x32(*key_words(key), lax.iota(jnp.uint32, number), np.uint32(2**32 - 1))
    # Without the barrier XLA fuses this into what is drawn, and compiles for minutes (on CPU, jax 0.12, bfloat16).
    return list(lax.optimization_barrier(jnp.stack(words, axis=1)))


def mark_used(key: jax.Array) -> None:
    """Tells jax_debug_key_reuse that a key is used up, which reading its data does not. Draws nothing."""
    if _is_typed(key):
        jax.random.bits(key, (0,))


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
    words = _shards.varying_with(threefry_2x32((k0, k1), counters), k0, k1)
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


def key_words(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Hashes a key of any implementation (one, two or four words) to two words."""
    words = jax.random.key_data(key) if _is_typed(key) else key
    words = jnp.pad(words, (0, words.size % 2))
    k0, k1 = jnp.asarray(_DOMAIN, jnp.uint32)
    for first in range(0, words.size, 2):
        k0, k1 = threefry2x32(k0, k1, words[first], words[first + 1])
    return k0, k1


def _is_typed(key: jax.Array) -> bool:
    return jnp.issubdtype(key.dtype, jax.dtypes.prng_key)


def draws_itself(key: jax.Array) -> bool:
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
