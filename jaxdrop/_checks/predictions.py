"""Checks of predictions, and of the labels or targets that they are compared with."""

import jax
import jax.numpy as jnp

from jaxdrop._checks.arrays import integers


def class_labels(name: str, scores: jax.Array, labels: jax.Array) -> None:
    """Raises unless `scores` of classes are (batch, classes) and `labels` is (batch,) of integers, not empty."""
    if jnp.ndim(scores) != 2 or jnp.shape(labels) != jnp.shape(scores)[:1]:
        raise ValueError(
            f"{name} must be (batch, classes) and labels (batch,), got shapes {jnp.shape(scores)} and "
            f"{jnp.shape(labels)}."
        )
    integers("labels", labels)
    if len(labels) == 0:
        raise ValueError("labels must hold at least one example, got none.")


def class_samples(name: str, x: jax.Array, labels: jax.Array) -> None:
    """Raises unless `x` is (num_samples, batch, classes) and `labels` is (batch,) of integers, not empty."""
    if jnp.ndim(x) != 3 or jnp.shape(labels) != jnp.shape(x)[1:2] or 0 in jnp.shape(x)[:2]:
        raise ValueError(
            f"{name} must be (num_samples, batch, classes) and labels (batch,), of at least one sample and example, "
            f"got shapes {jnp.shape(x)} and {jnp.shape(labels)}."
        )
    integers("labels", labels)


def samples(name: str, x: jax.Array, min_ndim: int) -> None:
    """Raises unless `x` has at least `min_ndim` axes, the first over samples of which there is one or more."""
    if jnp.ndim(x) < min_ndim or jnp.shape(x)[0] == 0:
        raise ValueError(
            f"{name} must have {min_ndim} or more axes, the first over at least one sample, got shape {jnp.shape(x)}."
        )


def sample_targets(x: jax.Array, targets: jax.Array) -> None:
    """Raises unless `x` is (num_samples, batch, ...) and `targets` is (batch, ...), neither empty."""
    shape = jnp.shape(x)
    if len(shape) < 2 or jnp.shape(targets) != shape[1:] or 0 in shape:
        raise ValueError(
            "samples must be (num_samples, batch, ...) and targets (batch, ...), neither empty, got shapes "
            f"{shape} and {jnp.shape(targets)}."
        )


def labels_of_logits(name: str, labels: jax.Array, logits_name: str, logits: jax.Array) -> None:
    """Raises unless `labels` are integers of shape (...), for `logits` of shape (..., classes)."""
    if logits.ndim == 0 or labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"{logits_name} must be (..., classes) and {name} (...), got shapes {logits.shape} and {labels.shape}."
        )
    integers(name, labels)


def samples_of_logits(name: str, samples: jax.Array, logits_name: str, logits: jax.Array) -> None:
    """Raises unless `samples` are (num_samples, ..., classes), at least one, for `logits` of shape (..., classes)."""
    if samples.shape[1:] != logits.shape or logits.ndim == 0 or logits.shape[-1] == 0 or len(samples) == 0:
        raise ValueError(
            f"{logits_name} must be (..., classes) and {name} (num_samples, ..., classes), of at least one sample and "
            f"class, got shapes {logits.shape} and {samples.shape}."
        )


def to_rank(uncertainty: jax.Array, name: str, other: jax.Array) -> None:
    """Raises unless `uncertainty` and the `other` array are (batch,) of the same, non-zero length."""
    if jnp.ndim(uncertainty) != 1 or jnp.shape(other) != jnp.shape(uncertainty) or len(uncertainty) == 0:
        raise ValueError(
            f"uncertainty and {name} must both be (batch,) of at least one example, got shapes "
            f"{jnp.shape(uncertainty)} and {jnp.shape(other)}."
        )
