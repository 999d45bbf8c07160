import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import integrate, stats

import jaxdrop
from jaxdrop.inference._propagation import gaussian
from tests.inference.sampled_moments import MEAN, X, noisy, samples


def by_quadrature(f, mean, deviation, points=()):
    """Mean and variance of a function of a normal variable."""

    def expect(g):
        inside = [(p - mean) / deviation for p in points if abs(p - mean) < 8 * deviation]
        return integrate.quad(lambda t: g(mean + deviation * t) * stats.norm.pdf(t), -9, 9, points=[0, *inside])[0]

    first = expect(f)
    return first, expect(lambda z: (f(z) - first) ** 2)


FUNCTIONS = {
    "relu": (jax.nn.relu, [0]),
    "relu6": (jax.nn.relu6, [0, 6]),
    "leaky_relu": (jax.nn.leaky_relu, [0]),
    "hard_tanh": (jax.nn.hard_tanh, [-1, 1]),
    "abs": (jnp.abs, [0]),
    "sign": (jnp.sign, [0]),
    "clip": (lambda x: jnp.clip(x, -0.5, 2.0), [-0.5, 2]),
    "greater": (lambda x: x > 0.5, [0.5]),
    "elu": (jax.nn.elu, [0]),
    "selu": (jax.nn.selu, [0]),
    "hard_swish": (jax.nn.hard_swish, [-3, 3]),
    "softplus": (jax.nn.softplus, []),
    "gelu": (jax.nn.gelu, []),
    "silu": (jax.nn.silu, []),
    "tanh": (jnp.tanh, []),
    "sigmoid": (jax.nn.sigmoid, []),
    "square": (lambda x: x * x, []),
    "exp": (lambda x: jnp.exp(x / 2), []),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_a_normal_variable(name):
    f, kinks = FUNCTIONS[name]
    p = jaxdrop.moments(lambda key: f(noisy(key)))
    values = jax.jit(lambda x: jnp.asarray(f(x), jnp.float32))
    grid = np.linspace(-16, 16, 64_001, dtype=np.float32)
    table = functools.partial(np.interp, xp=grid, fp=np.asarray(values(grid), np.float64))
    expected = np.array([by_quadrature(table, m, 1.3, kinks) for m in MEAN.astype(np.float64)])
    scale = np.sqrt(expected[:, 1].max())
    np.testing.assert_allclose(p.mean, expected[:, 0], atol=1e-3 * scale)
    np.testing.assert_allclose(np.sqrt(p.variance), np.sqrt(expected[:, 1]), rtol=2e-3, atol=1e-3 * scale)


def test_rectifier_and_sigmoid_are_those_of_fast_dropout():
    mean, deviation = np.float32(0.7), np.float32(1.9)
    ratio = 0.7 / 1.9
    cdf, pdf = stats.norm.cdf(ratio), stats.norm.pdf(ratio)
    p = jaxdrop.moments(lambda key: jax.nn.relu(mean + deviation * jax.random.normal(key, (2,))))
    np.testing.assert_allclose(p.mean, 0.7 * cdf + 1.9 * pdf, rtol=1e-5)
    np.testing.assert_allclose(p.variance + p.mean**2, (0.7**2 + 1.9**2) * cdf + 0.7 * 1.9 * pdf, rtol=1e-5)
    # The logistic function of N(0.5, 1), N(2, 4) and N(-1, 9), for which the probit approximation gives 0.60436, ...
    mean, deviation = jnp.asarray([0.5, 2, -1]), jnp.asarray([1.0, 2, 3])
    p = jaxdrop.moments(lambda key: jax.nn.sigmoid(mean + deviation * jax.random.normal(key, (3,))))
    np.testing.assert_allclose(p.mean, [0.60203, 0.77520, 0.38675], atol=1e-5)


def test_a_large_mean_does_not_drown_the_variance():
    p = jaxdrop.moments(lambda key: jax.nn.relu(1e4 + jax.random.normal(key, (2,))))
    np.testing.assert_allclose(p.variance, 1, rtol=1e-3)


def test_no_variance_is_no_trouble():
    def sample(key):
        return jnp.tanh(jax.nn.relu(jnp.zeros(3) * jax.random.normal(key, (3,)) + jnp.asarray([-1.0, 0, 1])))

    p = jaxdrop.moments(sample)
    np.testing.assert_allclose(p.mean, np.tanh([0, 0, 1]), rtol=1e-6)
    np.testing.assert_array_equal(p.variance, 0)


def test_max_pooling_of_rectified_maps():
    """The rectifier is taken after the maximum, of which four are not quite normal."""

    def sample(key):
        return nn.max_pool(jax.nn.relu(noisy(key)[None, :12, None]), (4,), (4,))

    p, drawn = jaxdrop.moments(sample), samples(sample)
    deviation = drawn.std(0)
    np.testing.assert_allclose(p.mean, drawn.mean(0), atol=0.02 * deviation.max())
    np.testing.assert_allclose(np.sqrt(p.variance), deviation, atol=0.06 * deviation.max())


@pytest.mark.thorough
@pytest.mark.parametrize("function", [jax.nn.softmax, jax.nn.log_softmax, jax.nn.logsumexp])
@pytest.mark.parametrize("covariance", [False, True])
def test_softmax(function, covariance):
    def sample(key):
        return function(X + 0.8 * jax.random.normal(key, X.shape), axis=-1)

    p, drawn = jaxdrop.moments(sample, covariance=covariance), samples(sample)
    deviation = drawn.std(0)
    np.testing.assert_allclose(p.mean, drawn.mean(0), atol=0.03 * deviation.max())
    np.testing.assert_allclose(np.sqrt(p.variance), deviation, atol=0.06 * deviation.max())


@pytest.mark.parametrize("function", [jnp.log, jnp.sqrt, lax.rsqrt])
def test_a_variance_is_taken_for_log_normal(function):
    """A normal one would be below zero, or next to it, with a chance that counts."""

    def sample(key):
        return function(jnp.mean(jnp.square(X + jax.random.normal(key, X.shape)), -1))

    p, drawn = jaxdrop.moments(sample), samples(sample)
    np.testing.assert_allclose(p.mean, drawn.mean(0), atol=0.1 * drawn.std(0).max())
    np.testing.assert_allclose(np.sqrt(p.variance), drawn.std(0), rtol=0.25)


@pytest.mark.thorough
def test_layer_normalization_with_covariance():
    x = np.random.default_rng(3).normal(size=(3, 64)).astype(np.float32)
    model = nn.LayerNorm(use_bias=False, use_scale=False)

    def sample(key):
        return model.apply({}, jaxdrop.gaussian_dropout(key, x, 0.1))

    p, drawn = jaxdrop.moments(sample, covariance=True), samples(sample)
    # The numerator and the denominator are taken for independent in the mean.
    np.testing.assert_allclose(p.mean, drawn.mean(0), rtol=0.02, atol=0.01)
    np.testing.assert_allclose(np.sqrt(p.variance), drawn.std(0), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("covariance", [False, True])
def test_the_norm_of_an_example_of_zeros_is_known(covariance):
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    p = jaxdrop.moments(lambda key: jnp.linalg.norm(jaxdrop.dropout(key, x, 0.5), axis=-1), covariance=covariance)
    assert (p.mean[0], p.variance[0]) == (0, 0)
    assert p.variance[1] > 1


@pytest.mark.thorough
def test_clark_maximum_of_two_is_exact():
    """Given one of them, the mean of the maximum and of its square have closed forms."""
    means, deviations = np.array([-1.0, -0.3, 0, 0.5, 40]), np.array([0, 0.2, 1, 2, 3])
    a = gaussian.Stats(jnp.asarray(means, jnp.float32), jnp.full(5, 0.7))
    b = gaussian.Stats(jnp.zeros(5), jnp.asarray(deviations**2, jnp.float32))
    p = gaussian.maximum(a, b)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    given = deviations * nodes[:, None]
    above, sigma = means - given, math.sqrt(0.7)
    cdf, pdf = stats.norm.cdf(above / sigma), stats.norm.pdf(above / sigma)
    excess, square = above * cdf + sigma * pdf, (above**2 + 0.7) * cdf + above * sigma * pdf
    first = weights @ (given + excess) / weights.sum()
    second = weights @ (given**2 + 2 * given * excess + square) / weights.sum()
    np.testing.assert_allclose(p.mean, first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(p.variance, second - first**2, rtol=1e-4)


DECISIONS = {
    "square": (lambda x: x * x > 1, lambda m, s: stats.norm.sf(1, m, s) + stats.norm.cdf(-1, m, s)),
    "tanh": (lambda x: jnp.tanh(x) > 0.6, lambda m, s: stats.norm.sf(np.arctanh(0.6), m, s)),
    "cubic": (
        lambda x: x**3 - x > 0,
        lambda m, s: stats.norm.sf(1, m, s) + stats.norm.cdf(0, m, s) - stats.norm.cdf(-1, m, s),
    ),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_comparisons_of_curves_have_their_probabilities(name):
    decide, probability = DECISIONS[name]
    p = jaxdrop.moments(lambda key: decide(noisy(key, 0.8)))
    expected = probability(MEAN.astype(np.float64), 0.8)
    np.testing.assert_allclose(p.mean, expected, atol=1e-4)
    np.testing.assert_allclose(p.variance, expected * (1 - expected), atol=1e-4)


PRODUCTS = {
    "x log x": (lambda x: x * jnp.log(x), lambda z: z * np.log(z)),
    "x / sqrt x": (lambda x: x / jnp.sqrt(x), np.sqrt),
    "xlogy": (lambda x: jax.scipy.special.xlogy(jnp.abs(x), jnp.abs(x)), lambda z: np.abs(z) * np.log(np.abs(z))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_a_logarithm_or_root_meets_is_its_own_array(name):
    f, by_hand = PRODUCTS[name]
    p = jaxdrop.moments(lambda key: f(5 + 0.5 * jax.random.normal(key, (3,))))
    mean, variance = by_quadrature(by_hand, 5, 0.5)
    np.testing.assert_allclose(p.mean, mean, rtol=2e-3)
    np.testing.assert_allclose(p.variance, variance, rtol=0.03)


def test_entropy_of_a_softmax_is_finite():
    p = jaxdrop.moments(lambda key: jaxdrop.metrics.entropy(jax.nn.softmax(jax.random.normal(key, (2, 4)) / 4)))
    drawn = samples(lambda key: jaxdrop.metrics.entropy(jax.nn.softmax(jax.random.normal(key, (2, 4)) / 4)), 4000)
    np.testing.assert_allclose(p.mean, drawn.mean(0), rtol=0.02)


@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_has_the_shape_of_the_model(keepdims):
    def sample(key, keepdims=keepdims):
        return jax.nn.logsumexp(X + jax.random.normal(key, X.shape), axis=-1, keepdims=keepdims)

    p, reduced = jaxdrop.moments(sample), jaxdrop.moments(functools.partial(sample, keepdims=False))
    assert p.mean.shape == jax.eval_shape(sample, jax.random.key(0)).shape
    np.testing.assert_allclose(p.mean.ravel(), reduced.mean, rtol=1e-6)
    np.testing.assert_allclose(p.variance.ravel(), reduced.variance, rtol=1e-6)


def test_log_softmax_written_with_logsumexp_is_log_softmax():
    def logits(key):
        return X + 0.8 * jax.random.normal(key, X.shape)

    def written(key):
        z = logits(key)
        return z - jax.nn.logsumexp(z, axis=-1, keepdims=True)

    for ours, theirs in zip(
        jax.tree.leaves(jaxdrop.moments(written)),
        jax.tree.leaves(jaxdrop.moments(lambda key: jax.nn.log_softmax(logits(key)))),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_softmax_along_another_axis_than_the_shift():
    """The numbers that are taken off do not cancel."""

    def sample(key):
        z = (X[:2, :6] + 0.1 * jax.random.normal(key, (2, 6))).reshape(2, 2, 3)
        e = jnp.exp((z - z.mean(-1, keepdims=True)).reshape(2, 3, 2))
        return e / e.sum(-1, keepdims=True)

    p, drawn = jaxdrop.moments(sample), samples(sample, 4000)
    np.testing.assert_allclose(p.mean, drawn.mean(0), atol=0.01)


@pytest.mark.parametrize(
    "quotient",
    [
        lambda z: jax.nn.softmax(z, where=X > 0),
        lambda z: jnp.exp(z) / (jnp.exp(z).sum(-1, keepdims=True) + 1e-6),
        lambda z: (lambda e: e / e.sum(1)[None])(jnp.exp(z[:4, :4])),  # sums of rows beside columns
    ],
    ids=["masked", "something added", "sums of the other axis"],
)
def test_refuses_what_is_nearly_a_softmax(quotient):
    with pytest.raises(NotImplementedError, match="div"):
        jaxdrop.moments(lambda key: quotient(X + jax.random.normal(key, X.shape)))


def test_leaky_rectifiers_before_max_pooling():
    p = jaxdrop.moments(lambda key: (lambda z: jnp.maximum(z, 0.1 * z).max())(noisy(key)[:3]))
    drawn = samples(lambda key: (lambda z: jnp.maximum(z, 0.1 * z).max())(noisy(key)[:3]), 4000)
    assert abs(p.mean - drawn.mean()) < 0.2 * drawn.std()


@pytest.mark.thorough
def test_probabilities_of_curves_have_derivatives():
    def probability(threshold):
        return jaxdrop.moments(lambda key: jnp.tanh(jax.random.normal(key, (2,))) > threshold).mean.sum()

    place = np.arctanh(0.6)
    slope = -2 * stats.norm.pdf(place) / (1 - 0.6**2)
    np.testing.assert_allclose(jax.grad(probability)(0.6), slope, rtol=1e-3)
