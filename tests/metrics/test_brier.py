"""The Brier score equals scikit-learn's, and its parts those of a plain loop, which sum up to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from jaxdrop.metrics import brier_decomposition, brier_score, equal_mass_bins, equal_width_bins


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(4, 0.5), size=200).astype(np.float32), rng.integers(4, size=200).astype(np.int32)


def total(parts):
    return parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins


def test_equals_scikit_learn(predictions):
    probabilities, labels = predictions
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(-1, keepdims=True)
    expected = brier_score_loss(labels, exact, labels=range(4), scale_by_half=False)
    np.testing.assert_allclose(jax.jit(brier_score)(probabilities, labels), expected, rtol=1e-5)


def test_is_twice_the_score_of_one_of_two_classes():
    first, labels = np.array([0.75, 0.5, 1.0, 0.0], np.float32), np.array([0, 1, 1, 1], np.int32)
    score = brier_score(np.stack([first, 1 - first], -1), labels)
    np.testing.assert_allclose(score, 2 * brier_score_loss(labels == 0, first), rtol=1e-6)


def test_edges():
    assert brier_score(jnp.ones((1, 1)), jnp.array([0])) == 0
    assert brier_score(jnp.array([[1.0, 0.0]]), jnp.array([1])) == 2


@pytest.mark.thorough
@pytest.mark.parametrize("binned", [equal_width_bins, equal_mass_bins])
@pytest.mark.parametrize("num_bins", [1, 5, 300])
def test_parts_sum_up(predictions, binned, num_bins):
    probabilities, labels = predictions
    parts = brier_decomposition(binned(probabilities, labels, num_bins, class_wise=True))
    np.testing.assert_allclose(total(parts), brier_score(probabilities, labels), rtol=1e-5)
    top = brier_decomposition(binned(probabilities, labels, num_bins))
    expected = brier_score_loss(probabilities.argmax(-1) == labels, probabilities.max(-1))
    np.testing.assert_allclose(total(top), expected, rtol=1e-5)


@pytest.mark.thorough
def test_parts_equal_a_loop(predictions):
    probabilities, labels = predictions
    expected = np.zeros(4)
    for c in range(4):
        p, y = probabilities[:, c].astype(np.float64), (labels == c).astype(np.float64)
        bins = np.digitize(p, np.linspace(0, 1, 6)[1:-1], right=True)
        for b in range(5):
            inside = bins == b
            weight, frequency = inside.mean(), y[inside].mean()
            expected[0] += weight * (p[inside].mean() - frequency) ** 2
            expected[1] += weight * (frequency - y.mean()) ** 2
            covariance = np.cov(p[inside], y[inside], bias=True)
            expected[3] += weight * (covariance[0, 0] - 2 * covariance[0, 1])
        expected[2] += y.var()
    parts = brier_decomposition(equal_width_bins(probabilities, labels, 5, class_wise=True))
    np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_forecasts_that_are_equal_in_a_bin_have_no_part_within():
    # A calibrated forecast of two values: 1/4 comes true in 1 of 4, and 3/4 in 3 of 4.
    first = np.repeat([0.25, 0.75], 4).astype(np.float32)
    labels = np.array([0, 1, 1, 1, 0, 0, 0, 1], np.int32)
    parts = brier_decomposition(equal_width_bins(np.stack([first, 1 - first], -1), labels, 2, class_wise=True))
    np.testing.assert_allclose(parts, [0, 2 / 16, 2 / 4, 0], atol=1e-7)


def test_labels_of_few_bits_number_many_classes():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(300), 50).astype(np.float32)
    labels = np.arange(50)
    assert brier_score(probabilities, labels.astype(np.uint8)) == brier_score(probabilities, labels)
