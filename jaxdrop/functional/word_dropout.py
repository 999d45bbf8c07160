"""Word dropout: tokens that are replaced by another."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _bits, _checks, _masks


def word_dropout(
    key: jax.Array | None,
    tokens: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    replacement: int,
    *,
    protected: Sequence[int] = (),
    bits: int | None = None,
) -> jax.Array:
    """Replaces each token by `replacement` with probability `rate`, each occurrence by itself.

    The replacement is most often the token of unknown words. To drop a type wherever it occurs, see
    `embedding_dropout`. Prediction uses the tokens as they are.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      tokens: Integer array of any shape.
      rate: Probability of replacing a token; a number in [0, 1], or an array, traced or not, that broadcasts against
        `tokens`.
      replacement: The token in place of those that are dropped.
      protected: Tokens that are never replaced, such as padding, and the ends of a sentence.
      bits: Random bits that decide a token; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `tokens`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `tokens`,
        `replacement` is not a number of their dtype, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `tokens`, `replacement` or `protected` are not integers, `rate` is neither a number nor an array, or
        `key` is not one key.

    Examples:
      >>> jaxdrop.word_dropout(jax.random.key(0), jnp.array([2, 5, 7, 5, 9, 3]), 0.5, replacement=1, protected=(2, 3))
      Array([2, 1, 1, 1, 1, 3], dtype=int32)

    References:
      Bowman et al., `Generating sentences from a continuous space <https://arxiv.org/abs/1511.06349>`_, 2016, section
      3.1
    """
    tokens = _checks.integers("tokens", tokens)
    static_rate = _checks.static_rate("rate", rate)
    bits = _checks.random_bits(bits, static_rate)
    limits = jnp.iinfo(tokens.dtype)
    for name, value in (("replacement", replacement), *(("protected", value) for value in protected)):
        _checks.integer_between(name, value, int(limits.min), int(limits.max))
    if static_rate == 0:
        return tokens
    key = None if static_rate == 1 else _checks.prng_key("key", key)
    return _word_dropout(
        key, tokens, jnp.asarray(rate, jnp.float32), int(replacement), tuple(map(int, protected)), bits
    )


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _word_dropout(
    key: jax.Array | None, tokens: jax.Array, rate: jax.Array, replacement: int, protected: tuple[int, ...], bits: int
) -> jax.Array:
    if key is None:
        kept = jnp.zeros(tokens.shape, bool)
    else:
        _bits.mark_used(key)
        kept = _masks.keep_mask(key, tokens.shape, rate, bits=bits).mask
    for token in protected:
        kept |= tokens == np.asarray(token, tokens.dtype)
    return jnp.where(kept, tokens, np.asarray(replacement, tokens.dtype))
