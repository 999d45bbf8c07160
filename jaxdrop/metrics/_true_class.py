"""What scores of classes have in common."""

import jax
import jax.numpy as jnp


def of_true_class(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """The score of each example's true class, NaN for a label that is no class.

    Args:
      scores: Of each class, (..., batch, classes), floating point.
      labels: True classes as integers, (batch,).

    Returns:
      Scores, (..., batch).
    """
    labels = jnp.asarray(labels).astype(int)
    # One below 0 would count from the end.
    index = jnp.where(labels < 0, scores.shape[-1], labels)[:, None]
    index = jnp.broadcast_to(index, (*scores.shape[:-1], 1))
    return jnp.take_along_axis(scores, index, axis=-1, mode="fill", fill_value=jnp.nan)[..., 0]
