"""DropConnect for dense layers: masks over weights rather than activations."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxdrop import _bits, _checks, _masks, _shards

BITS = (1, 2, 4, 8, 16, 32)
MODES = ("example", "batch")


def drop_connect_dense(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    kernel: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    bias: jax.typing.ArrayLike | None = None,
    mode: str = "example",
    bits: int | None = None,
) -> jax.Array:
    r"""Applies a dense layer of which each weight is zeroed with probability `rate`.

    .. math:: y_o = \sum_i m_{io} W_{io} x_i + m_o b_o, \quad m \sim \mathrm{Bernoulli}(1 - p)

    with masks of its own for each example, as in the paper. Nothing is rescaled: :math:`E[y] = (1 - p) (W^T x + b)`.
    To predict, see `drop_connect_dense_moments`. The paper writes p for the probability of keeping; `rate` is 1 - p.

    The masks of a batch would take batch x in x out entries. They are drawn, used and forgotten one input at a time, in
    the backward pass again, so that memory beyond the arguments' is a small multiple of the outputs'. The fewer `bits`
    the faster: rates 1/2, 1/4 and 3/4 need one or two.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point array (\*batch, in).
      kernel: Weights (in, out).
      rate: Probability :math:`p` of dropping a weight; a number in [0, 1], or a scalar array, traced or not. No
        gradient flows into it.
      bias: Array (out,), which is masked too.
      mode: "example": masks are independent for each index of the batch axes. "batch": one mask for all of `x`, which
        is as cheap as a dense layer.
      bits: Random bits that decide a weight: 1, 2, 4, 8, 16 or 32; the rate is rounded to a multiple of `2**-bits`.
        None chooses up to 8 that represent a static rate exactly; else 16, or 32 where those would change it by over
        1 %; 16 for arrays.

    Returns:
      An array (\*batch, out) of the dtype of `x`; sums are in float32 or wider.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not a scalar, shapes do not fit, `mode` is
        unknown, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x`, `kernel` or `bias` is not real floating point, `rate` is neither a number nor an array, or
        `key` is not one key.

    Examples:
      >>> jaxdrop.drop_connect_dense(jax.random.key(1), jnp.ones((3, 4)), jnp.ones((4, 2)), 0.5)
      Array([[2., 1.],
             [3., 2.],
             [1., 0.]], dtype=float32)

    References:
      Wan et al., `Regularization of neural networks using DropConnect
      <https://proceedings.mlr.press/v28/wan13.html>`_, 2013
    """
    x = _checks.real("x", x)
    kernel, bias = _checks.weights(kernel, bias, x, ranks=(2,))
    static_rate = _checks.static_rate("rate", rate)
    _checks.one_of("mode", mode, MODES)
    bits = _checks.random_bits(bits, static_rate, BITS)
    if static_rate == 0:
        return affine(x, kernel, bias)
    if static_rate == 1:
        return jnp.zeros((*x.shape[:-1], kernel.shape[-1]), x.dtype)
    return _drop_connect(_checks.prng_key("key", key), x, kernel, bias, jnp.asarray(rate, jnp.float32), mode, bits)


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    """Returns `x @ kernel + bias` in the dtype of `x`, summed in a wide one."""
    dtype = _masks.wide(x.dtype)
    return add_bias(jnp.matmul(x, kernel.astype(x.dtype), preferred_element_type=dtype), bias).astype(x.dtype)


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    return y if bias is None else y + jnp.broadcast_to(bias.astype(y.dtype), y.shape)


@functools.partial(jax.jit, static_argnames=("mode", "bits"))
def _drop_connect(
    key: jax.Array, x: jax.Array, kernel: jax.Array, bias: jax.Array | None, rate: jax.Array, mode: str, bits: int
) -> jax.Array:
    _checks.rate_shape("rate", rate.shape, (), ())
    draw = _one_mask if mode == "batch" else _mask_per_example
    y = _masks.redraw(functools.partial(draw, bits=bits))(key, x, kernel, bias, lax.stop_gradient(rate))
    return jnp.where(jnp.isnan(rate), jnp.asarray(jnp.nan, y.dtype), y)


def _one_mask(key, x, kernel, bias, rate, *, bits: int) -> jax.Array:
    return affine(x, *mask_weights(key, kernel, bias, rate, bits))


def mask_weights(
    key: jax.Array, kernel: jax.Array, bias: jax.Array | None, rate: jax.Array, bits: int
) -> tuple[jax.Array, jax.Array | None]:
    """Zeroes weights and biases; the bias counts as one more input of weight 1."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    mask, _ = _masks.keep_mask(key, (len(flat) + (bias is not None), flat.shape[-1]), rate, bits=bits)
    kernel = jnp.where(mask[: len(flat)].reshape(kernel.shape), kernel, 0)
    return kernel, None if bias is None else jnp.where(mask[-1], bias, 0)


def _mask_per_example(key, x, kernel, bias, rate, *, bits: int) -> jax.Array:
    dtype = _masks.wide(x.dtype)
    (length, out), batch = kernel.shape, x.shape[:-1]
    number, size = _masks.tiles(length, bits)
    padding = number * size - length
    inputs = jnp.pad(x.astype(dtype), [(0, 0)] * len(batch) + [(0, padding)]).reshape(*batch, number, size)
    weights = jnp.pad(kernel.astype(dtype), [(0, padding), (0, 0)]).reshape(number, size, out)
    index = jnp.arange(size, dtype=jnp.uint32)

    @jax.checkpoint
    def add_tile(y, column, inputs, weights):
        # Drawn once for all inputs of the tile.
        blocks = lax.optimization_barrier(_bits.draw_blocks(key, y.shape, column))

        # A loop over inputs, and a product rather than a broadcast, because their transposes are matrix-vector
        # products with one masked cotangent, of the size of the outputs.
        @jax.checkpoint
        def add_input(y, index, x_i, w_i):
            return y + jnp.where(_masks.keeps(blocks, index, rate, bits=bits), jnp.einsum("...,o->...o", x_i, w_i), 0)

        return lax.scan(lambda y, entry: (add_input(y, *entry), None), y, (index, inputs, weights))[0]

    columns = jnp.arange(number, dtype=jnp.uint32)
    tiles = (columns, jnp.moveaxis(inputs, (-2, -1), (0, 1)), weights)
    y = _shards.varying_with(jnp.zeros((*batch, out), dtype), key, x, kernel, rate)
    y, _ = lax.scan(lambda y, tile: (add_tile(y, *tile), None), y, tiles)
    if bias is not None:
        y = y + bias_per_example(key, bias.astype(dtype), batch, rate, number, bits)
    return y.astype(x.dtype)


def bias_per_example(
    key: jax.Array, bias: jax.Array, batch: tuple[int, ...], rate: jax.Array, column: int, bits: int
) -> jax.Array:
    """Returns a bias (\\*batch, out) with a mask for each example, from the blocks of a `column` that is not in use."""
    shape = (*batch, len(bias))
    mask = _masks.keeps(_bits.draw_blocks(key, shape, column), jnp.zeros(shape, jnp.uint32), rate, bits=bits)
    return jnp.where(mask, jnp.broadcast_to(bias, shape), 0)
