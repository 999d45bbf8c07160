"""The temperature is the one of the highest likelihood: the true one, within its standard error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special, stats

from jaxdrop.metrics import fit_temperature, negative_log_likelihood
from tests.statistical import FALSE_FAILURE


@pytest.fixture
def data(getkey):
    """Logits that are three times too large for their labels."""
    logits = 2 * jax.random.normal(getkey(), (20000, 5))
    return 3 * logits, jax.random.categorical(getkey(), logits)


def test_recovers_a_known_temperature(data):
    logits, labels = data
    temperature = jax.jit(fit_temperature)(logits, labels)
    # The likelihood's curvature in 1/T is the variance of the logits under the model.
    p = special.softmax(np.asarray(logits, np.float64) / 3, axis=-1)
    variance = np.sum(p * logits**2, -1) - np.sum(p * logits, -1) ** 2
    error = 3**2 / np.sqrt(variance.sum())
    assert error < 0.04
    assert abs(float(temperature) - 3) < stats.norm.isf(FALSE_FAILURE / 2) * error


def test_equals_an_optimizer(data):
    logits, labels = (np.asarray(array)[:200] for array in data)

    def loss(log_temperature):
        log_p = special.log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=-1)
        return -np.take_along_axis(log_p, labels[:, None], -1).mean()

    best = np.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-9}).x)
    np.testing.assert_allclose(fit_temperature(logits, labels), best, rtol=1e-5)


@pytest.mark.thorough
def test_gradient_there_is_zero(data):
    logits, labels = data
    slope = jax.grad(lambda t: negative_log_likelihood(jax.nn.softmax(logits / t), labels))
    temperature = fit_temperature(logits, labels)
    assert abs(slope(temperature)) < 1e-6
    assert abs(slope(1.01 * temperature)) > 1e-4
    assert not jax.grad(fit_temperature)(logits[:9], labels[:9]).any()


def test_follows_the_scale_of_the_logits_and_not_their_offset(data):
    logits, labels = data[0][:100], data[1][:100]
    temperature = fit_temperature(logits, labels)
    np.testing.assert_allclose(fit_temperature(8 * logits + 5, labels), 8 * temperature, rtol=1e-4)


def test_wrong_classes_may_be_impossible():
    # Those without the impossible class decide: sure to 0.9, right in three of four.
    probabilities = jnp.array([[0.9, 0.1, 0.0]] * 4)
    temperature = fit_temperature(jnp.log(probabilities), jnp.array([0, 0, 0, 1]))
    np.testing.assert_allclose(temperature, 2, rtol=1e-5)


def test_ends():
    sure = jnp.array([[2.0, 0.0], [0.0, 2.0]])
    low, high = np.exp(-7), np.exp(7)
    np.testing.assert_allclose(fit_temperature(sure, jnp.array([0, 1])), low, rtol=1e-4)  # always right
    np.testing.assert_allclose(fit_temperature(sure, jnp.array([1, 0])), high, rtol=1e-4)  # always wrong
    impossible = jnp.log(jnp.array([[1.0, 0.0]]))
    np.testing.assert_allclose(fit_temperature(impossible, jnp.array([1])), high, rtol=1e-4)
    assert jnp.isfinite(fit_temperature(jnp.ones((2, 1)), jnp.array([0, 0])))  # one class: any is right


def test_refuses_what_are_no_logits_of_classes():
    with pytest.raises(ValueError, match=r"logits must be \(batch, classes\) and labels \(batch,\), got shapes \(3,\)"):
        fit_temperature(jnp.zeros(3), jnp.zeros(3, int))


@pytest.mark.parametrize(
    ("logits", "labels"), [([[1.0, np.nan], [1.0, 0.0]], [0, 1]), ([[1.0, 2.0], [1.0, 0.0]], [0, 5])]
)
def test_what_has_no_likelihood_has_no_temperature(logits, labels):
    assert np.isnan(fit_temperature(jnp.array(logits), jnp.array(labels)))
