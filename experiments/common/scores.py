"""The three scores that every experiment on classes reports."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdrop import metrics


def of_classes(probabilities: jax.Array, labels: Any) -> dict[str, float]:
    """How good class probabilities are.

    Args:
      probabilities: (examples, classes).
      labels: Classes, (examples,), integers.

    Returns:
      Accuracy, negative log-likelihood in nats and expected calibration error of 15 bins.

    Examples:
      >>> scores = of_classes(jnp.array([[0.75, 0.25], [0.25, 0.75]]), [0, 1])
      >>> {name: round(value, 4) for name, value in scores.items()}
      {'accuracy': 1.0, 'NLL': 0.2877, 'ECE': 0.25}
    """
    classes = jnp.asarray(labels)
    return {
        "accuracy": float(metrics.accuracy(probabilities, classes)),
        "NLL": float(metrics.negative_log_likelihood(probabilities, classes)),
        "ECE": float(metrics.expected_calibration_error(probabilities, classes)),
    }
