"""Split-conformal prediction: intervals and sets that hold the truth with a given probability, whatever the model.

Scores of a calibration set, their quantile, and what it means for a new prediction are three steps. The promise is that
over the draw of the calibration set *and* of the new example, if these are exchangeable (and none was trained on), the
truth is inside with a probability of at least `level`, and of at most that plus 1 / (n + 1) if scores are distinct.
"""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp

from jaxdrop import _checks
from jaxdrop.metrics._intervals import Interval
from jaxdrop.metrics._true_class import of_true_class


def conformal_quantile(scores: jax.Array, level: float = 0.9) -> jax.Array:
    r"""The :math:`\lceil (n + 1) \ell \rceil`-th smallest of :math:`n` scores.

    Needs all calibration examples at once.

    Args:
      scores: How badly the truth fits the prediction, (calibration,): those of `conformal_interval_scores` or
        `conformal_set_scores`, or any others that are computed from one example each.
      level: Wanted probability :math:`\ell` of holding the truth, above 0 and below 1; static. It is taken for the
        decimal number that it is written as.

    Returns:
      A scalar; infinite if there are too few scores for that level.

    Raises:
      ValueError: If `scores` is not (calibration,) or empty, or `level` is not above 0 and below 1.
      TypeError: If `level` is not a Python number.

    Examples:
      >>> scores = jnp.arange(1.0, 10.0)  # 9 of them: 8 of 10 are below the 8th or equal, the new one included
      >>> float(conformal_quantile(scores, 0.8)), float(conformal_quantile(scores, 0.95))
      (8.0, inf)

    References:
      Vovk et al., Algorithmic Learning in a Random World, 2005; Angelopoulos and Bates, `A Gentle Introduction to
      Conformal Prediction <https://arxiv.org/abs/2107.07511>`_, 2021
    """
    _checks.vector("scores", scores)
    # In floats 0.07 * 100 is above 7, which would ask for the 8th.
    rank = math.ceil(Fraction(str(_checks.inside_unit_interval("level", level))) * (len(scores) + 1))
    scores = jnp.asarray(scores, dtype=float)
    return jnp.sort(scores)[rank - 1] if rank <= len(scores) else jnp.full((), jnp.inf, dtype=scores.dtype)


def conformal_interval_scores(mean: jax.Array, deviation: jax.Array, targets: jax.Array) -> jax.Array:
    r"""Errors in units of the predicted standard deviation, :math:`|y - \mu| / \sigma`.

    Args:
      mean: Predictions for the calibration examples, (calibration,).
      deviation: Their standard deviations, above 0, (calibration,); ones give intervals of one width.
      targets: (calibration,).

    Returns:
      Scores for `conformal_quantile`, (calibration,).

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> conformal_interval_scores(jnp.array([1.0, 1.0]), jnp.array([1.0, 2.0]), jnp.array([3.0, 0.0])).tolist()
      [2.0, 0.5]

    References:
      Lei et al., `Distribution-Free Predictive Inference for Regression <https://arxiv.org/abs/1604.04173>`_, 2018
    """
    _checks.one_shape(mean=mean, deviation=deviation, targets=targets)
    mean, deviation, targets = (jnp.asarray(array, dtype=float) for array in (mean, deviation, targets))
    return jnp.abs(targets - mean) / deviation


def conformal_interval(mean: jax.Array, deviation: jax.Array, quantile: jax.Array) -> Interval:
    r"""Intervals :math:`\mu \pm q \sigma` of new predictions.

    Args:
      mean: Predictions, (batch,).
      deviation: Their standard deviations, above 0, (batch,).
      quantile: Quantile :math:`q` of the `conformal_interval_scores` of the calibration examples, a scalar.

    Returns:
      An `Interval`, (batch,); all numbers if the quantile is infinite.

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> scores = conformal_interval_scores(jnp.zeros(4), jnp.ones(4), jnp.array([0.5, -1.0, 1.5, 2.0]))
      >>> quantile = conformal_quantile(scores, 0.6)
      >>> [end.tolist() for end in conformal_interval(jnp.array([0.0, 10.0]), jnp.array([1.0, 2.0]), quantile)]
      [[-1.5, 7.0], [1.5, 13.0]]
    """
    _checks.one_shape(mean=mean, deviation=deviation)
    mean = jnp.asarray(mean, dtype=float)
    radius = jnp.asarray(quantile, dtype=float) * jnp.asarray(deviation, dtype=float)
    return Interval(lower=mean - radius, upper=mean + radius)


def conformal_set_scores(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    r"""One less the probability of the true class, :math:`1 - p_{y}`.

    Args:
      probabilities: Class probabilities of the calibration examples, (calibration, classes).
      labels: True classes as integers in [0, classes), (calibration,).

    Returns:
      Scores for `conformal_quantile`, (calibration,).

    Raises:
      ValueError: If the shapes are others, or there is no example.
      TypeError: If `labels` are not integers.

    Examples:
      >>> conformal_set_scores(jnp.array([[0.75, 0.25], [0.5, 0.5]]), jnp.array([1, 0])).tolist()
      [0.75, 0.5]

    References:
      Sadinle et al., `Least Ambiguous Set-Valued Classifiers with Bounded Error Levels
      <https://arxiv.org/abs/1609.00451>`_, 2019
    """
    _checks.class_labels("probabilities", probabilities, labels)
    return 1 - of_true_class(jnp.asarray(probabilities, dtype=float), labels)


def conformal_set(probabilities: jax.Array, quantile: jax.Array) -> jax.Array:
    r"""Classes that fit as well as the calibration examples' true ones: those of :math:`1 - p_c \leq q`.

    These are the smallest sets on average for the level, if the probabilities are right. Some may be empty.

    Args:
      probabilities: Class probabilities of new examples, (batch, classes).
      quantile: Quantile :math:`q` of the `conformal_set_scores` of the calibration examples, a scalar.

    Returns:
      Booleans, (batch, classes): which classes are in the set of each example; all if the quantile is infinite.

    Examples:
      >>> scores = conformal_set_scores(jnp.array([[0.75, 0.25], [0.625, 0.375], [0.5, 0.5]]), jnp.array([0, 0, 1]))
      >>> quantile = conformal_quantile(scores, 0.75)  # the largest score, 1 - 0.5
      >>> conformal_set(jnp.array([[0.5, 0.5], [0.75, 0.25]]), quantile).tolist()
      [[True, True], [True, False]]
    """
    return 1 - jnp.asarray(probabilities, dtype=float) <= jnp.asarray(quantile, dtype=float)
