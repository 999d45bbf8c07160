"""The Brier score, and what it is made of."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _checks
from jaxdrop.metrics._bins import CalibrationBins


def brier_score(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    r"""Mean squared distance between the class probabilities and the true class's indicator.

    .. math:: \frac{1}{N} \sum_n \sum_c (p_{nc} - 1[y_n = c])^2

    This is Brier's own sum over the classes: for two classes it is twice the score of the one's probability alone.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers in [0, classes), (batch,).

    Returns:
      A scalar in [0, 2].

    Raises:
      ValueError: If the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> float(brier_score(jnp.array([[0.75, 0.25], [1.0, 0.0]]), jnp.array([0, 1])))  # (2 / 16 + 2) / 2
      1.0625

    References:
      Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78, 1950
    """
    _checks.class_labels("probabilities", probabilities, labels)
    # Labels of few bits may not hold the number of every class.
    outcomes = jax.nn.one_hot(jnp.asarray(labels).astype(int), probabilities.shape[-1], dtype=float)
    return jnp.square(jnp.asarray(probabilities, dtype=float) - outcomes).sum(-1).mean()


class BrierDecomposition(NamedTuple):
    """Parts of a Brier score: `reliability - resolution + uncertainty + within_bins`; all scalars.

    Attributes:
      reliability: Mean squared gap between predicted probability and frequency; 0 if calibrated.
      resolution: Mean squared difference between the frequency in a bin and that in all; larger is better.
      uncertainty: Variance of the outcomes, which no forecast changes.
      within_bins: What is lost by taking the forecasts in a bin as one; 0 if they are equal.
    """

    reliability: jax.Array
    resolution: jax.Array
    uncertainty: jax.Array
    within_bins: jax.Array


def brier_decomposition(bins: CalibrationBins) -> BrierDecomposition:
    r"""Splits the Brier score into calibration, discrimination and what cannot be known.

    .. math:: \mathrm{BS} = \sum_b w_b (\bar p_b - f_b)^2 - \sum_b w_b (f_b - f)^2 + f (1 - f) + \mathrm{within}

    with the mean probability :math:`\bar p_b` and the frequency :math:`f_b` in bin :math:`b`, its share
    :math:`w_b` of the examples, and the frequency :math:`f` among all. The split is exact for any bins, as the variance
    of the forecasts within a bin less twice their covariance with the outcomes has its own term.

    Args:
      bins: Of `equal_width_bins` or `equal_mass_bins`. Class-wise ones decompose `brier_score`, each part summed over
        the classes; others decompose the score of the top class's probability as a forecast of being right.

    Returns:
      A `BrierDecomposition`.

    Examples:
      >>> from jaxdrop.metrics import equal_width_bins
      >>> probabilities, labels = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 1, 1])
      >>> parts = brier_decomposition(equal_width_bins(probabilities, labels, class_wise=True))
      >>> [round(float(part), 4) for part in parts]  # 2 * (1/6, 1/18, 2/9, 0)
      [0.3333, 0.1111, 0.4444, 0.0]
      >>> round(float(parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins), 4)
      0.6667
      >>> round(float(brier_score(probabilities, labels)), 4)
      0.6667

    References:
      Murphy, A New Vector Partition of the Probability Score, Journal of Applied Meteorology 12, 1973; Stephenson et
      al., Two Extra Components in the Brier Score Decomposition, Weather and Forecasting 23, 2008
    """
    total = bins.num_examples.sum(-1)
    count = jnp.maximum(bins.num_examples, 1.0)
    weight = bins.num_examples / total[..., None]
    frequency, base_rate = bins.outcome / count, bins.outcome.sum(-1) / total
    square_gap = jnp.square((bins.confidence - bins.outcome) / count)
    within = bins.squared_error / count - square_gap - frequency * (1 - frequency)
    return BrierDecomposition(
        reliability=(weight * square_gap).sum(),
        resolution=(weight * jnp.square(frequency - base_rate[..., None])).sum(),
        uncertainty=(base_rate * (1 - base_rate)).sum(),
        within_bins=(weight * within).sum(),
    )
