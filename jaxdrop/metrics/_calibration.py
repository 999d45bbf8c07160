"""Whether confidence equals the frequency of being right."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxdrop.metrics._bins import CalibrationBins, equal_width_bins


def expected_calibration_error(probabilities: jax.Array, labels: jax.Array, num_bins: int = 15) -> jax.Array:
    r"""Mean gap between confidence and accuracy over equally wide bins of the top class's probability.

    .. math:: \sum_{b=1}^{B} \frac{n_b}{N} | \mathrm{accuracy}_b - \mathrm{confidence}_b |

    Bin :math:`b` is :math:`((b - 1) / B, b / B]`: a confidence of exactly 1 falls into the last. An empty bin has
    weight 0 and adds nothing. The estimate is biased upwards, the more so the fewer examples a bin holds, so compare
    values at equal `num_bins` and batch size only. This is `calibration_error` of `equal_width_bins`: use these for
    other bins, each class, less bias, or several batches.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers, (batch,).
      num_bins: Number of bins :math:`B`, at least 1; static.

    Returns:
      A scalar in [0, 1].

    Raises:
      ValueError: If `num_bins` is below 1, the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> p = jnp.array([[0.9, 0.1], [0.9, 0.1]])  # sure to 0.9, right in half of the cases
      >>> round(float(expected_calibration_error(p, jnp.array([0, 1]))), 4)
      0.4

    References:
      Guo et al., `On Calibration of Modern Neural Networks <https://arxiv.org/abs/1706.04599>`_, 2017
    """
    return calibration_error(equal_width_bins(probabilities, labels, num_bins))


def calibration_error(bins: CalibrationBins, *, norm: Literal[1, 2] = 1, debiased: bool = False) -> jax.Array:
    r"""Mean gap, or root mean square gap, between mean predicted probability and frequency over bins.

    .. math:: \sum_b w_b |d_b| \quad \text{or} \quad \sqrt{\sum_b w_b d_b^2}, \quad
       d_b = \mathrm{confidence}_b - \mathrm{frequency}_b, \; w_b = n_b / N

    The frequencies are those of finite bins, :math:`s_b^2 = f_b (1 - f_b) / n_b` being their variance, which makes the
    gaps of a calibrated model positive. `debiased` subtracts what that adds. For norm 2 it takes
    :math:`f_b (1 - f_b) / (n_b - 1)` from each :math:`d_b^2`, which makes the sum, before the root, right on average; a
    bin with one example tells nothing and counts 0. For norm 1 it takes
    :math:`E|d_b + s_b \epsilon| - |d_b|`, with :math:`\epsilon` normal, from each :math:`|d_b|`: the bias of a model
    with the observed gaps. That is less than the bias of a calibrated model, so some remains.

    Args:
      bins: Of `equal_width_bins` (the usual expected calibration error) or `equal_mass_bins` (adaptive). Class-wise
        bins give the error of each class; its mean is the class-wise (static) calibration error.
      norm: 1 or 2; static.
      debiased: Whether to subtract the bias; static.

    Returns:
      A scalar, or (classes,) for class-wise bins, in [0, 1]. Debiased values of norm 1 can be below 0, and those of
      norm 2 are 0 where the sum is below 0.

    Raises:
      ValueError: If `norm` is neither 1 nor 2.

    Examples:
      >>> probabilities, labels = jnp.array([[0.75, 0.25]] * 4), jnp.array([0, 1, 1, 1])
      >>> bins = equal_width_bins(probabilities, labels)
      >>> float(calibration_error(bins)), float(calibration_error(bins, norm=2))  # 0.75 against 1 of 4
      (0.5, 0.5)
      >>> round(float(calibration_error(bins, norm=2, debiased=True)), 4)  # sqrt(0.5^2 - 0.25 * 0.75 / 3)
      0.433

    References:
      Kumar et al., `Verified Uncertainty Calibration <https://arxiv.org/abs/1909.10155>`_, 2019 (debiasing, of which
      this computes by its formula what they sample for norm 1); Nixon et al., `Measuring Calibration in Deep Learning
      <https://arxiv.org/abs/1904.01685>`_, 2019 (class-wise and adaptive)
    """
    if norm not in (1, 2):
        raise ValueError(f"norm must be 1 or 2, got {norm!r}.")
    weight = bins.num_examples / bins.num_examples.sum(-1, keepdims=True)
    gap, frequency = _gaps(bins)
    noise = frequency * (1 - frequency)
    if norm == 1:
        # Multiplied by its count, a gap is the difference of two sums: nothing to divide by, hence nothing to be 0.
        error = jnp.abs(bins.confidence - bins.outcome).sum(-1) / bins.num_examples.sum(-1)
        deviation = jnp.sqrt(noise / jnp.maximum(bins.num_examples, 1.0))
        return error - (weight * _folding(gap, deviation)).sum(-1) if debiased else error
    square = jnp.square(gap)
    if debiased:
        square = jnp.where(bins.num_examples > 1, square - noise / jnp.maximum(bins.num_examples - 1, 1.0), 0.0)
    return jnp.sqrt(jnp.maximum((weight * square).sum(-1), 0.0))


def maximum_calibration_error(bins: CalibrationBins) -> jax.Array:
    r"""Largest gap between mean predicted probability and frequency among the bins that are not empty.

    The fewer examples a bin holds, the larger its gap by chance: this is mostly a statement on the smallest bin.

    Args:
      bins: Of `equal_width_bins` or `equal_mass_bins`.

    Returns:
      A scalar, or (classes,) for class-wise bins, in [0, 1].

    Examples:
      >>> probabilities, labels = jnp.array([[0.75, 0.25], [0.5, 0.5]]), jnp.array([1, 0])
      >>> float(maximum_calibration_error(equal_width_bins(probabilities, labels)))
      0.75

    References:
      Naeini et al., `Obtaining Well Calibrated Probabilities Using Bayesian Binning
      <https://ojs.aaai.org/index.php/AAAI/article/view/9602>`_, 2015
    """
    return _gaps(bins)[0].max(-1)


def _gaps(bins: CalibrationBins) -> tuple[jax.Array, jax.Array]:
    """Returns the absolute gap of each bin and the frequency in it, both 0 where it is empty."""
    count = jnp.maximum(bins.num_examples, 1.0)
    return jnp.abs(bins.confidence - bins.outcome) / count, bins.outcome / count


def _folding(gap: jax.Array, deviation: jax.Array) -> jax.Array:
    """By how much the mean of |x| exceeds `gap` >= 0, for x normal with mean `gap` and this standard deviation."""
    z = gap / jnp.where(deviation > 0, deviation, 1.0)
    excess = 2 * (deviation * jax.scipy.stats.norm.pdf(z) - gap * jax.scipy.stats.norm.sf(z))
    return jnp.where(deviation > 0, excess, 0.0)
