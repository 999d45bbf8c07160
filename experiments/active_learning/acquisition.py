"""Acquisition functions: what makes an image worth its label, from samples of the probabilities of its classes."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

import jaxdrop
from jaxdrop import metrics

# Scores of the images by themselves, (samples, pool, classes) -> (pool,).
SCORES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "BALD": metrics.mutual_information,
    "maximum entropy": lambda samples: metrics.entropy(samples.mean(0)),
    "variation ratio": metrics.variation_ratio,
    "mean deviation": metrics.mean_standard_deviation,
}
BATCH_BALD, RANDOM = "BatchBALD", "random"
FUNCTIONS = (RANDOM, *SCORES, BATCH_BALD)


def choose(
    name: str, key: jax.Array, samples: jax.Array, available: jax.Array, size: int, num_configurations: int
) -> jax.Array:
    """Chooses images to label.

    Args:
      name: One of `FUNCTIONS` but `RANDOM`, which needs no samples.
      key: PRNG key; consumed, though only BatchBALD draws by it.
      samples: Class probabilities with the same masks for all images in a sample, (samples, pool, classes).
      available: Which images may be chosen, (pool,), booleans.
      size: How many to choose.
      num_configurations: As in `jaxdrop.batch_bald`.

    Returns:
      Their places in the pool, (size,): those of the highest scores, of equal ones the first; or BatchBALD's.
    """
    if name == BATCH_BALD:
        return jaxdrop.batch_bald(
            key, samples, size, available=available, num_configurations=num_configurations
        ).indices
    return _highest(name, samples, available, size)


def choose_at_random(key: jax.Array, available: jax.Array, size: int) -> jax.Array:
    """Places of `size` of those available, (pool,), each subset with the same probability."""
    return jax.lax.top_k(jnp.where(available, jax.random.uniform(key, available.shape), -1), size)[1]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _highest(name: str, samples: jax.Array, available: jax.Array, size: int) -> jax.Array:
    return jax.lax.top_k(jnp.where(available, SCORES[name](samples), -jnp.inf), size)[1]
