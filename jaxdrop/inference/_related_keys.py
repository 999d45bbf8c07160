r"""Keys of samples whose masks depend on one another: each sample is as likely as ever, their mean is more exact.

A random integer is the number of a cell among :math:`2^{32}`, and every noise is a function of such cells. Samples of
one group use the same key and differ by their number :math:`s` in the group. Antithetic pairs use the cells :math:`u`
and :math:`2^{32} - 1 - u`. A balanced group of size :math:`G` uses, for each entry of an array, each of :math:`G` equal
strata of cells once, in an order of the entry's own: one coordinate of a Latin hypercube.

Numbers and sizes are data in the key, so that other ones need no compiling. The keys are an implementation of PRNG
keys: every layer that draws from a key follows, jaxdrop's or not.

References:
  Hammersley & Morton, `A new Monte Carlo technique: antithetic variates
  <https://doi.org/10.1017/S0305004100031455>`_, 1956;
  McKay, Beckman & Conover, `A comparison of three methods for selecting values of input variables
  <https://doi.org/10.2307/1268522>`_, 1979, for the Latin hypercube;
  Hoang, Morris & Rogaway, `An enciphering scheme based on a card shuffle <https://arxiv.org/abs/1208.1176>`_, 2012, for
  the order
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import define_prng_impl

from jaxdrop import _bits

_ROUNDS = 8
# Columns of the blocks that keys are derived from; masks, and `_bits.split`, never count this far.
_SPLIT, _FOLD_IN = np.uint32(2**32 - 2), np.uint32(2**32 - 3)


def antithetic(key: jax.Array, number: jax.Array) -> jax.Array:
    """Returns the key of the sample `number`, 0 or 1, of a pair."""
    return _related(key, number, jnp.zeros((), jnp.uint32))


def balanced(key: jax.Array, number: jax.Array, size: jax.typing.ArrayLike) -> jax.Array:
    """Returns the key of the sample `number` of a group of `size`."""
    return _related(key, number, jnp.asarray(size).astype(jnp.uint32))


def _related(key: jax.Array, number: jax.Array, size: jax.Array) -> jax.Array:
    words = jax.random.bits(key, (2,), jnp.uint32)
    return jax.random.wrap_key_data(jnp.stack([*words, number.astype(jnp.uint32), size]), impl=_RELATED)


def _split(words: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    numbers = lax.iota(jnp.uint32, math.prod(shape))
    return _derived(words, numbers, _SPLIT).reshape(*shape, 4)


def _fold_in(words: jax.Array, data: int) -> jax.Array:
    return _derived(words, jnp.asarray(data), _FOLD_IN)


def _derived(words: jax.Array, numbers: jax.Array, column: np.uint32) -> jax.Array:
    """Returns the words of other keys of the same sample."""
    first, second = _bits.threefry2x32(words[0], words[1], numbers, column)
    number, size = (jnp.broadcast_to(word, first.shape) for word in words[2:])
    return jnp.stack([first, second, number, size], -1)


def _random_bits(words: jax.Array, bits: int, shape: tuple[int, ...]) -> jax.Array:
    if bits > 32:
        raise NotImplementedError(f"masks must be 'independent' for noise that draws {bits} bits at once.")
    number, size = words[2:]
    cell, choice = _bits.draw_blocks(words[:2], shape, 0)
    mirrored = jnp.where(number == 1, ~cell, cell)
    strata = jnp.maximum(size, 1)
    # Rounding down leaves the last few of 2**32 cells unused, fewer than there are strata.
    width = (np.uint32(2**32 - 1) // strata).astype(jnp.uint32)
    stratified = _shuffled(number, strata, choice) * width + cell // strata
    drawn = jnp.where(size == 0, mirrored, stratified)
    return (drawn >> np.uint32(32 - bits)).astype(f"uint{bits}")


def _shuffled(number: jax.Array, size: jax.Array, choice: jax.Array) -> jax.Array:
    """Returns where a shuffle of `size` cards, chosen by 32 random bits, puts the card `number`: swap or not."""
    state = choice
    place = jnp.broadcast_to(number, choice.shape)
    for turn in range(_ROUNDS):
        state = _hash(state + np.uint32(0x9E3779B9 * (turn + 1) % 2**32))
        partner = state % size
        partner = jnp.where(partner >= place, partner - place, partner + size - place)
        swap = _hash(state ^ jnp.maximum(place, partner)) >> np.uint32(31)
        place = jnp.where(swap == 1, partner, place)
    # Makes every place equally likely.
    place = place + _hash(state) % size
    return jnp.where(place >= size, place - size, place)


def _hash(x: jax.Array) -> jax.Array:
    """Mixes the bits of an integer: the finalizer of MurmurHash3."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


_RELATED = define_prng_impl(
    key_shape=(4,),
    seed=lambda seed: jnp.stack([*jnp.zeros(3, jnp.uint32), seed.astype(jnp.uint32)]),
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="related",
    tag="rel",
)
