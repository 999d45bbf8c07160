"""Uncertainties of class probabilities equal scipy's and NumPy's, and those that `monte_carlo` gathers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxdrop
from jaxdrop import metrics

OF_SAMPLES = [
    metrics.expected_entropy,
    metrics.mutual_information,
    metrics.variation_ratio,
    metrics.mean_standard_deviation,
]


@pytest.fixture
def samples():
    drawn = np.random.default_rng(0).dirichlet(np.full(4, 0.3), size=(9, 50))
    drawn[:, 0] = [0.5, 0.5, 0, 0]  # exact zeros, ties and no spread
    drawn[:, 1] = np.eye(4)[np.arange(9) % 4]  # certain passes that disagree
    return drawn


def test_entropies_equal_scipy(samples):
    mean = samples.mean(0)
    np.testing.assert_allclose(metrics.entropy(samples), stats.entropy(samples, axis=-1), rtol=1e-5, atol=1e-6)
    expected = stats.entropy(samples, axis=-1).mean(0)
    np.testing.assert_allclose(jax.jit(metrics.expected_entropy)(samples), expected, rtol=1e-5)
    information = stats.entropy(mean, axis=-1) - expected
    np.testing.assert_allclose(jax.jit(metrics.mutual_information)(samples), information, rtol=1e-4, atol=1e-7)


def test_information_does_not_cancel_where_samples_hardly_differ():
    samples = np.array([[0.5, 0.5], [0.5 + 2**-11, 0.5 - 2**-11]])
    exact = stats.entropy(samples.mean(0)) - stats.entropy(samples, axis=-1).mean()
    assert exact < 3e-7  # the difference of two entropies in float32 is a multiple of 6e-8
    np.testing.assert_allclose(metrics.mutual_information(samples), exact, rtol=0.05)


def test_votes_equal_the_mode(samples):
    _, count = stats.mode(samples.argmax(-1), axis=0)
    np.testing.assert_allclose(jax.jit(metrics.variation_ratio)(samples), 1 - count / 9, rtol=1e-6)


def test_votes_and_mean_probability_are_two_things():
    samples = jnp.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]])
    np.testing.assert_allclose(metrics.variation_ratio(samples), [1 / 3], rtol=1e-6)
    np.testing.assert_allclose(metrics.least_confidence(samples.mean(0)), [0.4], rtol=1e-6)


def test_the_others_equal_numpy(samples):
    mean = samples.mean(0)
    np.testing.assert_allclose(metrics.least_confidence(mean), 1 - mean.max(-1), rtol=1e-5)
    np.testing.assert_allclose(metrics.mean_standard_deviation(samples), samples.std(0).mean(-1), rtol=1e-5, atol=1e-7)
    ordered = np.sort(mean, axis=-1)
    np.testing.assert_allclose(metrics.margin(mean), ordered[:, -1] - ordered[:, -2], rtol=1e-4, atol=1e-7)


@pytest.mark.thorough
def test_equal_what_monte_carlo_gathers(getkey):
    logits = 3 * jax.random.normal(getkey(), (6, 4))
    sample = lambda key: jaxdrop.dropout(key, logits, 0.5)  # noqa: E731
    p = jaxdrop.monte_carlo(sample, getkey(), num_samples=20, outputs="logits", return_samples=True)
    gathered = {
        metrics.expected_entropy: p.expected_entropy,
        metrics.mutual_information: p.mutual_information,
        metrics.variation_ratio: 1 - p.votes.max(-1) / p.votes.sum(-1),
        metrics.mean_standard_deviation: jnp.sqrt(p.variance).mean(-1),
    }
    for metric, expected in gathered.items():
        np.testing.assert_allclose(metric(p.samples), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics.entropy(p.mean), p.predictive_entropy, rtol=1e-5)


@pytest.mark.thorough
def test_one_sample_has_no_spread():
    samples = jnp.array([[[0.3, 0.7], [1.0, 0.0]]])
    for metric in (metrics.mutual_information, metrics.variation_ratio, metrics.mean_standard_deviation):
        np.testing.assert_array_equal(metric(samples), [0.0, 0.0])


@pytest.mark.thorough
def test_one_class_is_certain():
    samples = jnp.ones((3, 2, 1))
    for metric in (*OF_SAMPLES, lambda s: metrics.entropy(s[0]), lambda s: metrics.least_confidence(s[0])):
        np.testing.assert_array_equal(metric(samples), [0.0, 0.0])
    np.testing.assert_array_equal(metrics.margin(samples[0]), [1.0, 1.0])


@pytest.mark.parametrize("metric", OF_SAMPLES)
@pytest.mark.parametrize("shape", [(3,), (0, 2, 3)])
def test_refuses_what_has_no_samples(metric, shape):
    with pytest.raises(ValueError, match="samples must have 2 or more axes, the first over at least one sample"):
        metric(jnp.zeros(shape))


def test_probabilities_next_to_the_smallest_number_have_finite_information():
    samples = jnp.zeros((100, 1, 2)).at[:, :, 1].set(1.0).at[0, 0, 0].set(1e-37)
    np.testing.assert_allclose(metrics.mutual_information(samples), [0], atol=1e-30)


@pytest.mark.parametrize(
    "measure",
    [
        metrics.entropy,
        lambda p: metrics.mutual_information(p[None]),
        lambda p: metrics.mean_standard_deviation(jnp.stack([p, p])),
    ],
    ids=["entropy", "information", "deviation"],
)
def test_gradients_are_finite_where_a_softmax_underflows(measure):
    gradient = jax.grad(lambda logits: measure(jax.nn.softmax(logits)).sum())(jnp.array([0.0, 200.0]))
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
