"""Functions whose derivative is infinite at zero, with one of zero there.

What comes before them often has a derivative of zero where it is zero, as a softmax that underflows: their product
would be NaN.
"""

import jax
import jax.numpy as jnp


def entr(x: jax.Array) -> jax.Array:
    """Returns `-x log x`, and 0 at 0; minus infinity below."""
    return jax.scipy.special.entr(jnp.where(x == 0, 1, x))


def rel_entr(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns `x log(x / y)`, and 0 where `x` is 0."""
    is_zero = x == 0
    return jax.scipy.special.rel_entr(jnp.where(is_zero, 1, x), jnp.where(is_zero, 1, y))


def sqrt(x: jax.Array) -> jax.Array:
    """Returns the square root, and 0 below 0, where rounding may have put what is 0."""
    not_positive = x <= 0  # false for NaN, which stays
    return jnp.where(not_positive, 0, jnp.sqrt(jnp.where(not_positive, 1, x)))
