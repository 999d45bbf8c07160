"""Scores of class probabilities against the true classes."""

import jax
import jax.numpy as jnp

from jaxdrop import _checks


def accuracy(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    """Fraction of examples whose most probable class is the true one; the first of equally probable classes counts.

    Args:
      probabilities: Class probabilities (logits do as well), (batch, classes).
      labels: True classes as integers, (batch,).

    Returns:
      A scalar in [0, 1].

    Raises:
      ValueError: If the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> float(accuracy(jnp.array([[0.9, 0.1], [0.8, 0.2]]), jnp.array([0, 1])))
      0.5
    """
    _checks.class_labels(probabilities, labels)
    return jnp.mean(probabilities.argmax(-1) == labels, dtype=float)


def negative_log_likelihood(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    r"""Mean negative log-probability of the true class, in nats.

    .. math:: -\frac{1}{N} \sum_n \log p(y_n | x_n), \quad p(y | x) = \frac{1}{S} \sum_s p(y | x, m_s)

    For :math:`S` stochastic passes give the mean of their probabilities, the mixture: the likelihood is that of the
    averaged prediction, not the average of the passes' log-likelihoods.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers in [0, classes), (batch,); NaN results from a larger one.

    Returns:
      A scalar; infinite if a true class has probability 0.

    Raises:
      ValueError: If the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> p = jnp.array([[0.9, 0.1], [0.8, 0.2]])
      >>> round(float(negative_log_likelihood(p, jnp.array([0, 1]))), 4)  # -(log 0.9 + log 0.2) / 2
      0.8574
    """
    _checks.class_labels(probabilities, labels)
    likelihood = jnp.take_along_axis(probabilities, labels[:, None], axis=-1)
    return -jnp.mean(jnp.log(likelihood.astype(float)))
