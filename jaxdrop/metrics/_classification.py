"""Scores of class probabilities against the true classes."""

import jax
import jax.numpy as jnp

from jaxdrop import _checks
from jaxdrop.metrics._true_class import of_true_class


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
    _checks.class_labels("probabilities", probabilities, labels)
    return jnp.mean(probabilities.argmax(-1) == jnp.asarray(labels).astype(int), dtype=float)


def negative_log_likelihood(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    r"""Mean negative log-probability of the true class, in nats.

    .. math:: -\frac{1}{N} \sum_n \log p(y_n | x_n), \quad p(y | x) = \frac{1}{S} \sum_s p(y | x, m_s)

    For :math:`S` stochastic passes give the mean of their probabilities, the mixture: the likelihood is that of the
    averaged prediction, not the average of the passes' log-likelihoods.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers in [0, classes), (batch,); NaN results from any other.

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
    _checks.class_labels("probabilities", probabilities, labels)
    return -jnp.mean(jnp.log(of_true_class(jnp.asarray(probabilities, dtype=float), labels)))


def mixture_negative_log_likelihood(logits: jax.Array, labels: jax.Array) -> jax.Array:
    r"""Mean negative log-probability of the true class under the mixture of stochastic passes, in nats.

    .. math:: -\frac{1}{N} \sum_n \Big( \log \sum_s \exp \log p(y_n | x_n, m_s) - \log S \Big)

    This is `negative_log_likelihood` of the passes' mean probabilities, computed from logits, so that a probability too
    small for a float has its logarithm all the same.

    Args:
      logits: Unnormalised log-probabilities of each pass, (num_samples, batch, classes).
      labels: True classes as integers in [0, classes), (batch,); NaN results from any other.

    Returns:
      A scalar.

    Raises:
      ValueError: If the shapes are others, or there is no sample or no example.
      TypeError: If `labels` are not integers.

    Examples:
      >>> logits = jnp.array([[[0.0, 0.0]], [[0.0, 200.0]]])  # two passes, the second sure of the second class
      >>> round(float(mixture_negative_log_likelihood(logits, jnp.array([0]))), 4)  # -log(0.5 / 2)
      1.3863
      >>> float(mixture_negative_log_likelihood(logits[1:], jnp.array([0])))  # exp(-200) is 0 in float32
      200.0

    References:
      Gal and Ghahramani, `Dropout as a Bayesian Approximation <https://arxiv.org/abs/1506.02142>`_, 2016
    """
    _checks.class_samples("logits", logits, labels)
    log_probabilities = jax.nn.log_softmax(jnp.asarray(logits, dtype=float))
    passes = of_true_class(log_probabilities, labels)
    return -jnp.mean(jax.nn.logsumexp(passes, axis=0) - jnp.log(float(len(passes))))
