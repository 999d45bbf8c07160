"""Embedding dropout: word types that are missing wherever they occur."""

import functools

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks


def embedding_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    tokens: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes the embeddings of each word type with probability `rate`, wherever it occurs, and rescales the rest.

    .. math:: y_{td} = m_{w_t} x_{td} / (1 - p), \quad m_w \sim \mathrm{Bernoulli}(1 - p)

    for token t of type :math:`w_t`: a type that is gone is gone from the whole batch. It is as if rows of the embedding
    matrix were dropped, without touching more of them than occur. The authors' code for the first version of their
    paper drew a mask for each token, which they took for a bug.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point array (\*batch, features): the embedded tokens.
      tokens: Integers (\*batch,): the types, from 0 to `2**32 - 1`.
      rate: Probability :math:`p` of dropping a type; a number in [0, 1], or a scalar array, traced or not. No gradient
        flows into it.
      bits: Random bits that decide a type; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If the shapes do not fit, a static rate is outside [0, 1] or NaN, an array rate is not a scalar, or
        `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x` is not floating point, `tokens` are not integers, `rate` is neither a number nor an array, or
        `key` is not one key.

    Examples:
      >>> tokens = jnp.array([[3, 1, 3], [1, 2, 0]])
      >>> jaxdrop.embedding_dropout(jax.random.key(1), jnp.ones((2, 3, 4)), tokens, 0.5)[..., 0]
      Array([[2., 0., 2.],
             [0., 2., 0.]], dtype=float32)

    References:
      Gal and Ghahramani, `A theoretically grounded application of dropout in recurrent neural networks
      <https://arxiv.org/abs/1512.05287>`_, 2016, section 4.2
    """
    x, tokens = _checks.inexact("x", x), _checks.integers("tokens", tokens)
    if x.shape[:-1] != tokens.shape or x.ndim == 0:
        raise ValueError(f"x must be (*batch, features) for tokens (*batch,), got {x.shape} and {tokens.shape}.")
    static_rate = _checks.static_rate("rate", rate)
    bits = _checks.random_bits(bits, static_rate)
    if static_rate == 0:
        return x
    if static_rate == 1:
        return jnp.zeros_like(x)
    return _embedding_dropout(_checks.prng_key("key", key), x, tokens, jnp.asarray(rate, jnp.float32), bits)


@functools.partial(jax.jit, static_argnums=4)
def _embedding_dropout(key: jax.Array, x: jax.Array, tokens: jax.Array, rate: jax.Array, bits: int) -> jax.Array:
    _checks.rate_shape("rate", rate.shape, (), ())

    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, tokens: jax.Array, rate: jax.Array) -> jax.Array:
        mask, keep = _masks.keep_numbered(key, tokens, rate, bits=bits)
        dtype = _masks.wide(x.dtype)
        scaled = x.astype(dtype) * _masks.inverse_keep(keep, dtype)
        return jnp.where(mask[..., None], scaled, jnp.zeros((), dtype)).astype(x.dtype)

    return draw(key, x, tokens, rate)
