"""Keep-masks: decisions to keep or to drop, made of random bits, and what they are applied with.

Comparing integers makes the drop frequency exact to the last bit in every dtype; a bfloat16 uniform would be biased
(jax issue 28039).
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _bits, _checks


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
    drawn = _bits.random_uints(key, decided, bits, readers=_num_readers(shape, decided))
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
    drawn = _bits.numbered(key, numbers)
    return KeepMask(_survives(drawn >> np.uint32(32 - bits), levels, bits), _keep(levels, bits))


def tiles(length: int, bits: int) -> tuple[int, int]:
    """Splits `length` entries into equal tiles, of no more than one block decides on; returns their number and size."""
    number = max(1, math.ceil(length * bits / 64))
    return number, math.ceil(length / number)


def keeps(
    blocks: tuple[jax.Array, jax.Array], number: jax.Array, rate: jax.typing.ArrayLike, *, bits: int
) -> jax.Array:
    """Returns the decision `number`, below `64 // bits`, of each block: True where an element survives.

    Args:
      blocks: What `jaxdrop._bits.draw_blocks` returned.
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
        _bits.mark_used(key)
        return checkpointed(key, *args)

    return drawn
