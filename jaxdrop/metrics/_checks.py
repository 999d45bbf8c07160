"""What every metric asks of its arguments."""

import jax
import jax.numpy as jnp


def check_labels(probabilities: jax.Array, labels: jax.Array) -> None:
    """Raises unless `probabilities` is (batch, classes) and `labels` is (batch,) of integers."""
    if jnp.ndim(probabilities) != 2 or jnp.shape(labels) != jnp.shape(probabilities)[:1]:
        raise ValueError(
            "probabilities must be (batch, classes) and labels (batch,), got shapes "
            f"{jnp.shape(probabilities)} and {jnp.shape(labels)}."
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels must be integers, got {labels.dtype}.")
    if len(labels) == 0:
        raise ValueError("labels must hold at least one example, got none.")


def check_pairs(uncertainty: jax.Array, errors: jax.Array) -> None:
    """Raises unless both are (batch,) of the same, non-zero length."""
    if jnp.ndim(uncertainty) != 1 or jnp.shape(errors) != jnp.shape(uncertainty) or len(uncertainty) == 0:
        raise ValueError(
            "uncertainty and errors must both be (batch,) of at least one example, got shapes "
            f"{jnp.shape(uncertainty)} and {jnp.shape(errors)}."
        )


def check_num_bins(num_bins: int) -> None:
    """Raises unless there is at least one bin."""
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}.")
