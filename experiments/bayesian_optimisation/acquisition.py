"""Acquisition functions for minimisation, and the search for their best point."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats


def expected_improvement(samples: jax.Array, best: jax.typing.ArrayLike) -> jax.Array:
    r"""Expected improvement under samples of the function, exactly that of the samples.

    .. math:: \frac{1}{S} \sum_s \max(f^* - f_s(x), 0)

    Args:
      samples: Values of each sample, (num_samples, ...).
      best: The least value :math:`f^*` so far.

    Returns:
      (...).
    """
    return jnp.maximum(best - samples, 0).mean(0)


def gaussian_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    r"""Expected improvement where the function's value is normally distributed.

    .. math:: \sigma (z \Phi(z) + \phi(z)), \quad z = (f^* - \mu) / \sigma

    Args:
      mean: Means :math:`\mu`, any shape.
      deviation: Standard deviations :math:`\sigma`, above 0, of that shape.
      best: The least value :math:`f^*` so far.

    Returns:
      The same shape.
    """
    z = (best - mean) / deviation
    return deviation * (z * stats.norm.cdf(z) + stats.norm.pdf(z))


def candidates(key: jax.Array, best: jax.Array, number: int, spread: float = 0.05) -> jax.Array:
    """Draws points to look at: three in four uniform on the unit cube, the others near the best one so far.

    Args:
      key: PRNG key; consumed.
      best: The best point, (dims,).
      number: How many.
      spread: Standard deviation of those near it.

    Returns:
      (number, dims).
    """
    uniform_key, normal_key = jax.random.split(key)
    near = number // 4
    uniform = jax.random.uniform(uniform_key, (number - near, len(best)))
    normal = best[None] + spread * jax.random.normal(normal_key, (near, len(best)))
    return jnp.concatenate([uniform, jnp.clip(normal, 0, 1)])


def minimise(
    function: Callable[[jax.Array], jax.Array], points: jax.Array, *, starts: int, steps: int, step_size: float
) -> jax.Array:
    """Looks for the least value of a function on the unit cube.

    Args:
      function: Points (n, dims) -> values (n,).
      points: Points to begin with, (points, dims).
      starts: How many of the best of them go on, by Adam.
      steps: Steps of each.
      step_size: Adam's, which falls to 0 linearly.

    Returns:
      The best point that was met at the beginning or in the end, (dims,).
    """
    best = jax.lax.top_k(-function(points), starts)[1]
    optimizer = optax.adam(optax.linear_schedule(step_size, 0.0, steps))

    def step(carry, _):
        points, state = carry
        gradient = jax.grad(lambda points: function(points).sum())(points)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, state = optimizer.update(gradient, state)
        return (jnp.clip(points + updates, 0, 1), state), None

    (last, _), _ = jax.lax.scan(step, (points[best], optimizer.init(points[best])), length=steps)
    met = jnp.concatenate([points[best], last])
    return met[function(met).argmin()]
