"""PatchDropout: training a transformer on a random part of the tokens."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxdrop import _bits, _checks, _masks


def patch_dropout(
    key: jax.Array | None, x: jax.typing.ArrayLike, rate: float, *, num_prefix_tokens: int = 1
) -> jax.Array:
    r"""Removes a fixed number of tokens, chosen at random for each example, from the sequence.

    Of :math:`n` patches, :math:`\max(1, \lfloor (1 - p) n \rfloor)` stay, every subset of that size with the same
    probability, and with them the class and register tokens in front. The sequence really becomes shorter: at rate 1/2
    the layers that follow cost half, and attention less. Apply it once, after position embeddings have been added.
    Nothing is rescaled, and prediction uses all tokens.

    The tokens that stay keep their order. (The authors' code shuffles them, which a transformer does not notice.)
    `patch_indices` gives, for the same key, the places that they had.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read if no patch goes: None will do.
      x: Floating-point or complex array, (\*batch, tokens, features).
      rate: Part :math:`p` of the patches to drop; a Python number in [0, 1], as it decides a shape.
      num_prefix_tokens: How many tokens in front are not patches and always stay.

    Returns:
      An array (\*batch, num_prefix_tokens + kept, features) of the dtype of `x`.

    Raises:
      ValueError: If `rate` is outside [0, 1] or NaN, `x` has less than two axes, or `num_prefix_tokens` is negative or
        more than there are tokens.
      TypeError: If `x` is not floating point, `rate` is an array or no number, `num_prefix_tokens` is not an integer,
        or `key` is not one key.

    Examples:
      >>> tokens = jnp.broadcast_to(jnp.arange(11.0)[:, None], (2, 11, 4))  # a class token and ten patches
      >>> jaxdrop.patch_dropout(jax.random.key(2), tokens, 0.6)[:, :, 0]
      Array([[ 0.,  4.,  5.,  6.,  8.],
             [ 0.,  3.,  5.,  8., 10.]], dtype=float32)

    References:
      Liu et al., `PatchDropout: economizing Vision Transformers using patch dropout
      <https://arxiv.org/abs/2208.07220>`_, 2022
    """
    x = _checks.inexact("x", x)
    _checks.at_least("x.ndim", x.ndim, 2)
    patches, kept = _numbers(x.shape[-2], rate, num_prefix_tokens)
    if kept == patches:
        return x
    return _patch_dropout(_checks.prng_key("key", key), x, kept, num_prefix_tokens)


def patch_indices(key: jax.Array | None, shape: Sequence[int], rate: float, *, num_prefix_tokens: int = 1) -> jax.Array:
    r"""Draws which tokens `patch_dropout` keeps of an array (\*shape, features).

    Use it to gather other things that belong to a position, such as rotary embeddings, and the tokens themselves:
    `patch_dropout(key, x, rate)` is `jnp.take_along_axis(x, patch_indices(key, x.shape[:-1], rate)[..., None], -2)`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read if no patch goes: None will do.
      shape: Numbers of examples and tokens, (\*batch, tokens).
      rate: Part of the patches to drop; a Python number in [0, 1].
      num_prefix_tokens: How many tokens in front are not patches and always stay.

    Returns:
      An int32 array (\*batch, num_prefix_tokens + kept), ascending along the last axis.

    Raises:
      ValueError: If `rate` is outside [0, 1] or NaN, `shape` is empty, or `num_prefix_tokens` is negative or more than
        there are tokens.
      TypeError: If `rate` is an array or no number, `num_prefix_tokens` is not an integer, or `key` is not one key.

    Examples:
      >>> jaxdrop.patch_indices(jax.random.key(2), (2, 11), 0.6)
      Array([[ 0,  4,  5,  6,  8],
             [ 0,  3,  5,  8, 10]], dtype=int32)

    References:
      Liu et al., `PatchDropout: economizing Vision Transformers using patch dropout
      <https://arxiv.org/abs/2208.07220>`_, 2022
    """
    shape = tuple(shape)
    _checks.at_least("len(shape)", len(shape), 1)
    patches, kept = _numbers(shape[-1], rate, num_prefix_tokens)
    if kept == patches:
        return lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
    key = _checks.prng_key("key", key)
    _bits.mark_used(key)
    return _indices(key, shape, kept, num_prefix_tokens)


def _numbers(tokens: int, rate: float, num_prefix_tokens: int) -> tuple[int, int]:
    """Returns how many patches there are and how many of them stay."""
    rate = _checks.known_rate("rate", rate)
    _checks.integer_between("num_prefix_tokens", num_prefix_tokens, 0, tokens)
    patches = tokens - num_prefix_tokens
    # (1 - 0.9) * 100 is a little below 10.
    return patches, min(patches, max(1, math.floor((1 - rate) * patches + 1e-6)))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _patch_dropout(key: jax.Array, x: jax.Array, kept: int, num_prefix_tokens: int) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array) -> jax.Array:
        indices = _indices(key, x.shape[:-1], kept, num_prefix_tokens)
        return jnp.take_along_axis(x, indices[..., None], axis=-2, mode="promise_in_bounds")

    return draw(key, x)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _indices(key: jax.Array, shape: tuple[int, ...], kept: int, num_prefix_tokens: int) -> jax.Array:
    drawn = _bits.random_uints(key, (*shape[:-1], shape[-1] - num_prefix_tokens), 32)
    # Equal numbers are kept from the front. They matter if they are the last to stay and the first to go: of n patches,
    # with a probability of about n / 2**32.
    order = jnp.argsort(drawn, axis=-1, stable=True).astype(jnp.int32)
    chosen = jnp.sort(order[..., :kept], axis=-1) + num_prefix_tokens
    prefix = lax.broadcasted_iota(jnp.int32, (*shape[:-1], num_prefix_tokens), len(shape) - 1)
    return jnp.concatenate([prefix, chosen], axis=-1)
