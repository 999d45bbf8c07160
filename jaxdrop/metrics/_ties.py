"""Examples of equal uncertainty, which no ranking may separate."""

import jax
import jax.numpy as jnp


def group_ties(ascending: jax.Array) -> jax.Array:
    """Numbers the distinct values of a sorted array, (batch,), from 0; NaNs, which come last, count as one value."""
    both_nan = jnp.isnan(ascending[1:]) & jnp.isnan(ascending[:-1])
    changes = ((ascending[1:] != ascending[:-1]) & ~both_nan).astype(jnp.int32)
    return jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(changes)])
