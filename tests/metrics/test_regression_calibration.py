"""Frequencies under predicted quantiles equal plain counting, and the levels where the model is right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdrop.metrics import calibration_curve, calibration_curve_error, sample_cdf, sharpness
from tests.statistical import assert_frequency

LEVELS = np.array([0.0, 0.1, 0.5, 0.9, 1.0], np.float32)


def test_sample_cdf_counts_those_no_larger():
    rng = np.random.default_rng(0)
    samples, targets = rng.integers(5, size=(8, 4, 3)).astype(np.float32), rng.integers(5, size=(4, 3))
    expected = np.mean(samples <= targets, axis=0)
    np.testing.assert_allclose(jax.jit(sample_cdf)(samples, targets.astype(np.float32)), expected, rtol=1e-6)
    assert sample_cdf(jnp.zeros((1, 1)), jnp.zeros(1)) == 1


def test_a_right_model_is_calibrated(getkey):
    targets = 1 + 2 * jax.random.normal(getkey(), (20000,))
    cdf = jax.scipy.stats.norm.cdf(targets, 1, 2)
    for values in (cdf, jnp.abs(2 * cdf - 1)):
        frequencies = jax.jit(calibration_curve)(values, LEVELS)
        for level, frequency in zip(LEVELS, frequencies, strict=True):
            assert_frequency(round(float(frequency) * 20000), 20000, float(level))


def test_too_narrow_a_model_is_not():
    targets = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)  # as normal as 1000 numbers can be
    cdf = stats.norm(scale=0.5).cdf(targets)
    frequencies = calibration_curve(cdf, LEVELS)
    expected = stats.norm.cdf(stats.norm(scale=0.5).ppf(LEVELS.astype(np.float64)))
    np.testing.assert_allclose(frequencies, expected, atol=1e-3)
    np.testing.assert_allclose(
        calibration_curve_error(frequencies, LEVELS), np.abs(expected - LEVELS).mean(), rtol=1e-2
    )
    assert calibration_curve_error(LEVELS, LEVELS) == 0


def test_sharpness_is_a_root_mean():
    variance = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    np.testing.assert_allclose(sharpness(variance), np.sqrt(variance.mean()), rtol=1e-6)
    assert sharpness(jnp.zeros(1)) == 0


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match="levels must have one axis and not be empty, got shape"):
        calibration_curve(jnp.zeros(3), jnp.zeros(()))
    with pytest.raises(ValueError, match=r"cdf_values must not be empty, got shape \(0,\)"):
        calibration_curve(jnp.zeros(0), LEVELS)
    with pytest.raises(ValueError, match=r"got frequencies \(4,\), levels \(5,\)"):
        calibration_curve_error(jnp.zeros(4), LEVELS)
    with pytest.raises(ValueError, match="variance must not be empty"):
        sharpness(jnp.zeros(0))
    with pytest.raises(ValueError, match=r"samples must be \(num_samples, batch, ...\)"):
        sample_cdf(jnp.zeros((4, 3)), jnp.zeros(4))


@pytest.mark.parametrize("number", [10, 30, 60])
def test_steps_of_samples_count_at_their_own_levels(number):
    levels = np.arange(1, 10) / 10
    cdf = sample_cdf(np.arange(1.0, number + 1)[:, None].repeat(number, 1), np.arange(1.0, number + 1))
    np.testing.assert_allclose(calibration_curve(cdf, levels), levels, rtol=1e-6)
