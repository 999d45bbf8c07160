"""Whether predicted quantiles of real numbers hold the targets as often as they say."""

import jax
import jax.numpy as jnp

from jaxdrop import _checks


def sample_cdf(samples: jax.Array, targets: jax.Array) -> jax.Array:
    """Predictive distribution function at the targets: the fraction of the samples that are no larger.

    Over targets from the same distribution it is uniform but for steps of 1 / num_samples. For a normal predictive
    distribution use `jax.scipy.stats.norm.cdf(targets, mean, deviation)`.

    Args:
      samples: Predictions, (num_samples, batch, ...), noise included.
      targets: (batch, ...).

    Returns:
      Numbers in [0, 1], (batch, ...).

    Raises:
      ValueError: If the shapes are others, or there is no sample or example.

    Examples:
      >>> sample_cdf(jnp.array([[1.0], [2.0], [3.0], [4.0]]), jnp.array([3.5])).tolist()
      [0.75]
    """
    _checks.sample_targets(samples, targets)
    samples, targets = jnp.asarray(samples, dtype=float), jnp.asarray(targets, dtype=float)
    return jnp.mean(samples <= targets[None], axis=0, dtype=float)


def calibration_curve(cdf_values: jax.Array, levels: jax.Array) -> jax.Array:
    r"""Fraction of the targets below the predicted quantile of each level; equal to the level if calibrated.

    .. math:: f_j = \frac{1}{N} \#\{n : F_n(y_n) \leq p_j\}

    Args:
      cdf_values: Predictive distribution function at the targets, :math:`F_n(y_n)`, of any shape. Given
        `jnp.abs(2 * cdf_values - 1)`, the result is the coverage of the central intervals of these levels.
      levels: Expected fractions :math:`p_j`, (levels,).

    Returns:
      Observed fractions, (levels,).

    Raises:
      ValueError: If `cdf_values` is empty, or `levels` has not one axis.

    Examples:
      >>> calibration_curve(jnp.array([0.1, 0.2, 0.3, 0.9]), jnp.array([0.25, 0.5, 0.75])).tolist()
      [0.5, 0.75, 0.75]

    References:
      Kuleshov et al., `Accurate Uncertainties for Deep Learning Using Calibrated Regression
      <https://arxiv.org/abs/1807.00263>`_, 2018
    """
    _checks.not_empty("cdf_values", cdf_values)
    _checks.vector("levels", levels)
    values, levels = jnp.ravel(jnp.asarray(cdf_values, dtype=float)), jnp.asarray(levels, dtype=float)
    # A mean over samples is a product with a rounded reciprocal: 9 of 10 come out above the nearest float to 0.9.
    levels = jnp.where(levels > 0, levels + 4 * jnp.finfo(levels.dtype).eps, levels)
    return jnp.mean(values[:, None] <= levels[None], axis=0, dtype=float)


def calibration_curve_error(frequencies: jax.Array, levels: jax.Array) -> jax.Array:
    r"""Mean gap between observed and expected fractions, :math:`\frac{1}{J} \sum_j |f_j - p_j|`.

    Args:
      frequencies: Observed fractions as `calibration_curve` returns them, (levels,).
      levels: Expected fractions, (levels,).

    Returns:
      A scalar in [0, 1]; 0 if calibrated.

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> float(calibration_curve_error(jnp.array([0.5, 0.75]), jnp.array([0.25, 0.5])))
      0.25
    """
    _checks.one_shape(frequencies=frequencies, levels=levels)
    return jnp.abs(jnp.asarray(frequencies, dtype=float) - jnp.asarray(levels, dtype=float)).mean()


def sharpness(variance: jax.Array) -> jax.Array:
    r"""Root of the mean predictive variance: how much is claimed to be known, whether it is or not.

    Args:
      variance: Predictive variances of any shape, that of the noise, :math:`1 / \tau`, included.

    Returns:
      A scalar, in the unit of the targets; smaller is sharper, and better only at equal calibration.

    Raises:
      ValueError: If `variance` is empty.

    Examples:
      >>> float(sharpness(jnp.array([1.0, 49.0])))
      5.0

    References:
      Kuleshov et al., `Accurate Uncertainties for Deep Learning Using Calibrated Regression
      <https://arxiv.org/abs/1807.00263>`_, 2018
    """
    _checks.not_empty("variance", variance)
    return jnp.sqrt(jnp.asarray(variance, dtype=float).mean())
