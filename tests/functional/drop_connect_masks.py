"""The masks of DropConnect, all at once: what the naive versions in the tests multiply with."""

import functools

import jax
import jax.numpy as jnp

from jaxdrop import _masks


def masks_per_example(key, batch, taps, channels, out, rate, bits):
    """Returns masks (*batch, taps, channels, out) and (*batch, out) of weights and bias, of zeros and ones.

    By `keep_mask`, which lays its elements out by the same blocks: element `part * columns + column` of a row of
    `columns * 64 / bits` is that part of the block in that column.
    """
    number, size = _masks.tiles(channels, bits)
    columns, parts = number * taps + 1, 64 // bits
    mask = _masks.keep_mask(key, (*batch, out, columns * parts), rate, bits=bits).mask.astype(jnp.float32)
    mask = jnp.moveaxis(mask.reshape(*batch, out, parts, columns), (-1, -2), (0, 1))  # columns, parts, *batch, out
    weights = mask[:-1, :size].reshape(number, taps, size, *batch, out)
    weights = jnp.moveaxis(weights, 1, 0).reshape(taps, number * size, *batch, out)[:, :channels]
    return jnp.moveaxis(weights, (0, 1), (-3, -2)), mask[-1, 0]


@functools.partial(jax.jit, static_argnums=0)
def outputs_and_gradients(layer, *operands):
    """Returns what a layer gives, and the vector-Jacobian products with the cosines of that."""
    y, pullback = jax.vjp(layer, *operands)
    return y, *pullback(jnp.cos(y))


def normals(key, *shapes):
    return [
        jax.random.normal(key, shape) for key, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]
