"""Accuracy and likelihood equal scikit-learn's, and bad arguments are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from jaxdrop.metrics import (
    accuracy,
    brier_score,
    conformal_set_scores,
    equal_mass_bins,
    equal_width_bins,
    expected_calibration_error,
    fit_temperature,
    mixture_negative_log_likelihood,
    negative_log_likelihood,
)

ON_CLASSES = [
    accuracy,
    negative_log_likelihood,
    expected_calibration_error,
    brier_score,
    equal_width_bins,
    equal_mass_bins,
    fit_temperature,
    conformal_set_scores,
]


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


@pytest.mark.thorough
def test_mixture_of_logits_is_the_likelihood_of_the_mean_of_probabilities(predictions):
    _, labels = predictions
    logits = 3 * np.random.default_rng(1).normal(size=(7, 200, 5)).astype(np.float32)
    for passes in (logits, logits[:1], logits.astype(jnp.bfloat16)):
        mean = jax.nn.softmax(passes.astype(np.float32)).mean(0)
        mixture = jax.jit(mixture_negative_log_likelihood)(passes, labels)
        np.testing.assert_allclose(mixture, negative_log_likelihood(mean, labels), rtol=1e-5)
    assert mixture_negative_log_likelihood(logits[..., :1], jnp.zeros(200, jnp.int32)) == 0  # one class is certain


def test_mixture_of_logits_is_finite_where_probabilities_are_0():
    logits = jnp.array([[[0.0, 1000.0]], [[0.0, 500.0]]])
    assert negative_log_likelihood(jax.nn.softmax(logits).mean(0), jnp.array([0])) == jnp.inf
    mixture = mixture_negative_log_likelihood(logits, jnp.array([0]))
    np.testing.assert_allclose(mixture, 500 + np.log(2), rtol=1e-6)


@pytest.mark.parametrize("shapes", [((3, 2), (3,)), ((4, 3, 2), (4,)), ((0, 3, 2), (3,)), ((4, 0, 2), (0,))])
def test_mixture_refuses_arrays_that_are_not_passes(shapes):
    with pytest.raises(ValueError, match=r"logits must be \(num_samples, batch, classes\)"):
        mixture_negative_log_likelihood(jnp.zeros(shapes[0]), jnp.zeros(shapes[1], jnp.int32))
    with pytest.raises(TypeError, match="labels must be integers, got dtype float32"):
        mixture_negative_log_likelihood(jnp.zeros((4, 3, 2)), jnp.zeros(3))


def test_an_impossible_class_costs_infinity():
    assert negative_log_likelihood(jnp.array([[1.0, 0.0]]), jnp.array([1])) == jnp.inf


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int16])
def test_labels_may_be_any_integers(predictions, dtype):
    probabilities, labels = jnp.asarray(predictions[0]), jnp.asarray(predictions[1])
    for metric in ON_CLASSES:
        jax.tree.map(
            np.testing.assert_array_equal, metric(probabilities, labels.astype(dtype)), metric(probabilities, labels)
        )


def test_first_of_equally_probable_classes_counts():
    assert accuracy(jnp.array([[0.5, 0.5], [0.5, 0.5]]), jnp.array([0, 1])) == 0.5


def test_half_precision_is_averaged_in_single_precision():
    # In bfloat16 the mean would lose all but eight bits: 4096 ones and one zero would average to 1.
    probabilities = jnp.tile(jnp.array([[0.75, 0.25]], jnp.bfloat16), (4097, 1))
    labels = jnp.zeros(4097, jnp.int32).at[0].set(1)
    np.testing.assert_allclose(accuracy(probabilities, labels), 4096 / 4097, rtol=1e-6)
    expected = -(4096 * np.log(0.75) + np.log(0.25)) / 4097
    np.testing.assert_allclose(negative_log_likelihood(probabilities, labels), expected, rtol=1e-5)


@pytest.mark.parametrize("metric", ON_CLASSES)
def test_refuses_arrays_that_would_only_broadcast(metric):
    probabilities = jnp.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=r"labels \(batch,\), got shapes \(3, 2\) and \(3, 1\)"):
        metric(probabilities, jnp.zeros((3, 1), jnp.int32))
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(1,\)"):
        metric(probabilities, jnp.zeros(1, jnp.int32))
    with pytest.raises(TypeError, match="labels must be integers, got dtype float32"):
        metric(probabilities, jnp.zeros(3))
    with pytest.raises(ValueError, match="at least one example"):
        metric(jnp.zeros((0, 2)), jnp.zeros(0, jnp.int32))


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_shows(label):
    probabilities, labels = jnp.full((2, 2), 0.5), jnp.array([0, label])
    assert np.isnan(negative_log_likelihood(probabilities, labels))
    assert np.isnan(mixture_negative_log_likelihood(probabilities[None], labels))
    assert np.isnan(fit_temperature(probabilities, labels))
    assert np.isnan(conformal_set_scores(probabilities, labels)).tolist() == [False, True]
    assert accuracy(jnp.array([[0.0, 1.0]] * 2), labels) == 0


def test_labels_of_few_bits_do_not_count_around():
    probabilities = jnp.eye(300)[jnp.array([256, 257])]
    assert accuracy(probabilities, jnp.array([0, 1], jnp.uint8)) == 0
    assert expected_calibration_error(probabilities, jnp.array([0, 1], jnp.uint8)) == 1
    bins = equal_width_bins(probabilities, jnp.array([0, 1], jnp.uint8), class_wise=True)
    np.testing.assert_array_equal(bins.outcome.sum(-1), jnp.arange(300) < 2)
