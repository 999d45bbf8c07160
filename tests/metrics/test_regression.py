"""Scores of predictive distributions equal densities, integrals and plain double sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from sklearn import metrics as sklearn_metrics

from jaxdrop.metrics import crps, gaussian_crps, gaussian_mixture_log_likelihood, root_mean_squared_error


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 20, 3)), rng.normal(size=(20, 3))


def test_mixture_equals_the_log_of_a_mean_of_densities(drawn):
    samples, targets = drawn
    for precision in (0.3, 25.0):
        densities = stats.norm(samples, precision**-0.5).pdf(targets).prod(-1)
        expected = np.log(densities.mean(0)).mean()
        found = jax.jit(gaussian_mixture_log_likelihood)(samples, targets, precision)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        densities = stats.norm(samples[..., 0], precision**-0.5).pdf(targets[..., 0])
        found = gaussian_mixture_log_likelihood(samples[..., 0], targets[..., 0], precision)
        np.testing.assert_allclose(found, np.log(densities.mean(0)).mean(), rtol=1e-5)


def test_one_sample_is_one_gaussian_however_far(drawn):
    samples, targets = drawn[0][:1] + 1000, drawn[1]
    expected = stats.norm(samples[0], 0.1).logpdf(targets).sum(-1).mean()
    np.testing.assert_allclose(gaussian_mixture_log_likelihood(samples, targets, 100.0), expected, rtol=1e-5)


def test_each_example_has_its_own_mixture():
    # Each pass is right on one example and far off on the other: no pass alone explains both.
    samples = jnp.array([[0.0, 9.0], [9.0, 0.0]])
    found = gaussian_mixture_log_likelihood(samples, jnp.zeros(2), 1.0)
    np.testing.assert_allclose(found, stats.norm.logpdf(0) - np.log(2), rtol=1e-5)


def test_root_mean_squared_error_equals_scikit_learn(drawn):
    predictions, targets = drawn[0][0, :, 0], drawn[1][:, 0]
    expected = sklearn_metrics.root_mean_squared_error(targets, predictions)
    np.testing.assert_allclose(jax.jit(root_mean_squared_error)(predictions, targets), expected, rtol=1e-6)


def test_crps_equals_its_double_sum(drawn):
    samples, targets = np.round(drawn[0], 1), np.round(drawn[1], 1)  # with ties
    pairs = np.abs(samples[:, None] - samples[None]).mean((0, 1))
    expected = (np.abs(samples - targets).mean(0) - pairs / 2).mean()
    np.testing.assert_allclose(jax.jit(crps)(samples, targets), expected, rtol=1e-5)
    offset = crps(samples + 4096, targets + 4096)  # would cancel, were the targets not subtracted first
    np.testing.assert_allclose(offset, expected, rtol=1e-3)


def test_crps_is_the_area_between_distribution_functions():
    samples, target = np.array([0.0, 0.5, 2.0]), 0.75
    square = lambda x: (np.mean(samples <= x) - (x >= target)) ** 2  # noqa: E731
    area, _ = integrate.quad(square, -1, 3, points=[0, 0.5, 0.75, 2])
    np.testing.assert_allclose(crps(samples[:, None], np.array([target])), area, rtol=1e-6)


def test_crps_of_one_sample_is_the_absolute_error(drawn):
    samples, targets = drawn
    np.testing.assert_allclose(crps(samples[:1], targets), np.abs(samples[0] - targets).mean(), rtol=1e-5)


@pytest.mark.parametrize("target", [-3.0, 0.5, 0.7])
def test_gaussian_crps_is_the_area_between_distribution_functions(target):
    square = lambda x: (stats.norm(0.5, 0.4).cdf(x) - (x >= target)) ** 2  # noqa: E731
    area, _ = integrate.quad(square, -8, 8, points=[target, 0.5], limit=200)
    found = jax.jit(gaussian_crps)(jnp.array([0.5]), jnp.array([0.4]), jnp.array([target]))
    np.testing.assert_allclose(found, area, rtol=1e-5)


def test_gaussian_without_spread_is_its_mean():
    score = gaussian_crps(jnp.array([1.0, 1.0]), jnp.zeros(2), jnp.array([1.0, 3.0]))
    assert score == 1


def test_refuses_other_shapes():
    for metric in (crps, lambda s, t: gaussian_mixture_log_likelihood(s, t, 1.0)):
        for shapes in [((4, 3), (3, 1)), ((3,), ()), ((0, 3), (3,)), ((4, 0), (0,))]:
            with pytest.raises(ValueError, match=r"samples must be \(num_samples, batch, ...\)"):
                metric(jnp.zeros(shapes[0]), jnp.zeros(shapes[1]))
    with pytest.raises(ValueError, match="precision must be above 0 and finite, got 0"):
        gaussian_mixture_log_likelihood(jnp.zeros((1, 1)), jnp.zeros(1), 0)
    with pytest.raises(ValueError, match=r"same shape and not be empty, got predictions \(3,\), targets \(3, 1\)"):
        root_mean_squared_error(jnp.zeros(3), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="mean and deviation and targets must have the same shape"):
        gaussian_crps(jnp.zeros(3), jnp.zeros(1), jnp.zeros(3))


def test_crps_takes_many_samples():
    assert crps(jnp.zeros((50_000, 1)), jnp.ones(1)) == 1


def test_a_deviation_that_is_nan_shows():
    assert jnp.isnan(gaussian_crps(jnp.zeros(1), jnp.array([jnp.nan]), jnp.ones(1)))
