"""Accuracy and likelihood equal scikit-learn's, and bad arguments are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from jaxdrop.metrics import accuracy, expected_calibration_error, negative_log_likelihood


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(5), size=200).astype(np.float32), rng.integers(5, size=200).astype(np.int32)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_equal_scikit_learn(predictions, transform):
    probabilities, labels = predictions
    expected = accuracy_score(labels, probabilities.argmax(-1))
    np.testing.assert_allclose(transform(accuracy)(probabilities, labels), expected, rtol=1e-6)
    exact = probabilities.astype(np.float64)
    expected = log_loss(labels, exact / exact.sum(-1, keepdims=True), labels=range(5))
    np.testing.assert_allclose(transform(negative_log_likelihood)(probabilities, labels), expected, rtol=1e-5)


def test_likelihood_of_a_mixture_is_not_the_mean_of_its_parts():
    passes = jnp.array([[[0.5, 0.5]], [[0.1, 0.9]]])
    mixture = negative_log_likelihood(passes.mean(0), jnp.array([0]))
    np.testing.assert_allclose(mixture, -np.log(0.3), rtol=1e-6)


def test_an_impossible_class_costs_infinity():
    assert negative_log_likelihood(jnp.array([[1.0, 0.0]]), jnp.array([1])) == jnp.inf


def test_first_of_equally_probable_classes_counts():
    assert accuracy(jnp.array([[0.5, 0.5], [0.5, 0.5]]), jnp.array([0, 1])) == 0.5


def test_half_precision_is_averaged_in_single_precision():
    # In bfloat16 the mean would lose all but eight bits: 4096 ones and one zero would average to 1.
    probabilities = jnp.tile(jnp.array([[0.75, 0.25]], jnp.bfloat16), (4097, 1))
    labels = jnp.zeros(4097, jnp.int32).at[0].set(1)
    np.testing.assert_allclose(accuracy(probabilities, labels), 4096 / 4097, rtol=1e-6)
    expected = -(4096 * np.log(0.75) + np.log(0.25)) / 4097
    np.testing.assert_allclose(negative_log_likelihood(probabilities, labels), expected, rtol=1e-5)


@pytest.mark.parametrize("metric", [accuracy, negative_log_likelihood, expected_calibration_error])
def test_refuses_arrays_that_would_only_broadcast(metric):
    probabilities = jnp.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=r"labels \(batch,\), got shapes \(3, 2\) and \(3, 1\)"):
        metric(probabilities, jnp.zeros((3, 1), jnp.int32))
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(1,\)"):
        metric(probabilities, jnp.zeros(1, jnp.int32))
    with pytest.raises(TypeError, match="labels must be integers, got float32"):
        metric(probabilities, jnp.zeros(3))
    with pytest.raises(ValueError, match="at least one example"):
        metric(jnp.zeros((0, 2)), jnp.zeros(0, jnp.int32))
