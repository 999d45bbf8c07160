"""Metrics over batches of unequal sizes equal those of all examples at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop import metrics

LEVELS = np.array([0.1, 0.5, 0.9], np.float32)


@jax.jit
def measure(probabilities, labels, samples, targets):
    mean = samples.mean(0)
    interval = metrics.central_interval(samples, 0.5)
    scores = {
        "accuracy": metrics.accuracy(probabilities, labels),
        "NLL": metrics.negative_log_likelihood(probabilities, labels),
        "Brier": metrics.brier_score(probabilities, labels),
        "entropy": metrics.entropy(probabilities).mean(),
        "log-likelihood": metrics.gaussian_mixture_log_likelihood(samples, targets, 2.0),
        "squared error": metrics.root_mean_squared_error(mean, targets) ** 2,
        "CRPS": metrics.crps(samples, targets),
        "coverage": metrics.interval_coverage(interval, targets),
        "width": metrics.interval_width(interval),
        "curve": metrics.calibration_curve(metrics.sample_cdf(samples, targets), LEVELS),
        "squared sharpness": metrics.sharpness(samples.var(0)) ** 2,
    }
    bins = metrics.equal_width_bins(probabilities, labels, 5)
    return (
        metrics.totals(scores, len(labels)),
        bins,
        metrics.equal_width_bins(probabilities, labels, 5, class_wise=True),
    )


@jax.jit
def finish(sums):
    scores, bins, class_bins = sums
    return metrics.means(scores) | {
        "calibration error": metrics.calibration_error(bins),
        "debiased": metrics.calibration_error(bins, norm=2, debiased=True),
        "maximum": metrics.maximum_calibration_error(bins),
        "class-wise": metrics.calibration_error(class_bins),
        "decomposition": metrics.brier_decomposition(class_bins),
    }


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(3), size=24), rng.integers(3, size=24), rng.normal(size=(5, 24)), rng.normal(size=24)


def assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


@pytest.mark.thorough
def test_batches_add_up(data):
    probabilities, labels, samples, targets = data
    one, rest = (
        measure(probabilities[batch], labels[batch], samples[:, batch], targets[batch])
        for batch in (slice(0, 1), slice(1, 24))
    )
    assert_close(finish(jax.tree.map(jnp.add, one, rest)), finish(measure(*data)))


@pytest.mark.thorough
def test_devices_add_up(data):
    probabilities, labels, samples, targets = data
    batches = probabilities.reshape(4, 6, 3), labels.reshape(4, 6), samples.reshape(5, 4, 6), targets.reshape(4, 6)
    across = jax.vmap(lambda *batch: jax.lax.psum(measure(*batch), "batch"), (0, 0, 1, 0), axis_name="batch")
    sums = jax.tree.map(lambda leaf: leaf[0], jax.jit(across)(*batches))
    assert_close(finish(sums), finish(measure(*data)))


def test_refuses_a_batch_of_nothing():
    with pytest.raises(ValueError, match="num_examples must be above 0"):
        metrics.totals({}, 0)
