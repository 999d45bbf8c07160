import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from scipy import integrate, stats

import jaxdrop
from jaxdrop import _masks
from jaxdrop.inference._propagation import gaussian
from tests.methods import METHODS, SHAPE
from tests.statistical import assert_mean, assert_moments

X = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32) / 3
MEAN = np.linspace(-3, 3, 13, dtype=np.float32)


def samples(sample, number=20_000):
    return jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(7), number))


def assert_agrees(sample, number=20_000):
    """The moments are those of samples."""
    p = jaxdrop.moments(sample)
    assert_moments(samples(sample, number), p.mean, p.variance)


def by_quadrature(f, mean, deviation, points=()):
    """Mean and variance of a function of a normal variable."""

    def expect(g):
        inside = [(p - mean) / deviation for p in points if abs(p - mean) < 8 * deviation]
        return integrate.quad(lambda t: g(mean + deviation * t) * stats.norm.pdf(t), -9, 9, points=[0, *inside])[0]

    first = expect(f)
    return first, expect(lambda z: (f(z) - first) ** 2)


CLOSED_FORM = [m for m in METHODS if m.variance is not None and m.name not in ("masksembles",)]


@pytest.mark.parametrize("method", CLOSED_FORM, ids=lambda m: m.name)
def test_noise_has_its_exact_moments(method):
    x = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    p = jaxdrop.moments(lambda key: method.function(key, jnp.asarray(x), 0.25))
    x = x.astype(np.float64)
    np.testing.assert_allclose(p.mean, np.broadcast_to(method.mean(x, 0.25), x.shape), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p.variance, np.broadcast_to(method.variance(x, 0.25), x.shape), rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "method",
    [m for m in METHODS if m.name in ("drop_connect_dense", "word_dropout", "drop_block")],
    ids=lambda m: m.name,
)
def test_noise_without_a_closed_form_agrees_with_samples(method):
    """DropBlock's rescaling depends on the mask, which is neglected: on a large map there is little of it."""
    x = jnp.ones((1, 40, 40, 1) if method.name == "drop_block" else (4, 8))

    def sample(key):
        return method.function(key, x, 0.1)

    p, drawn = jaxdrop.moments(sample), samples(sample, 4000)
    np.testing.assert_allclose(jnp.mean(p.mean), jnp.mean(drawn), rtol=0.01)
    np.testing.assert_allclose(jnp.mean(p.variance), jnp.mean(drawn.var(0)), rtol=0.05)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.3, deterministic=True),
        nn.Dropout(0.3, broadcast_dims=(1,), deterministic=True),
        jaxdrop.linen.Dropout(0.3, deterministic=True),
    ],
    ids=["flax", "flax_broadcast", "jaxdrop"],
)
def test_linen_dropout_is_exact(layer):
    p = jaxdrop.moments(jaxdrop.linen.sampler(layer, {}, X))
    np.testing.assert_allclose(p.mean, X, rtol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 * 0.3 / 0.7, rtol=1e-4)


@pytest.mark.parametrize("layer", [nnx.Dropout, jaxdrop.nnx.Dropout])
def test_nnx_dropout_is_exact(layer):
    p = jaxdrop.moments(jaxdrop.nnx.sampler(layer(0.3, rngs=nnx.Rngs(0)), jnp.asarray(X)))
    np.testing.assert_allclose(p.mean, X, rtol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 * 0.3 / 0.7, rtol=1e-4)


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (jax.random.uniform, 1 / 2, 1 / 12),
        (jax.random.normal, 0, 1),
        (lambda key, shape: 3 - 2 * jax.random.normal(key, shape), 3, 4),
        (lambda key, shape: jax.random.bernoulli(key, 0.3, shape), 0.3, 0.21),
        (jax.random.exponential, 1, 1),
        (jax.random.gumbel, 0.5772157, math.pi**2 / 6),
        (jax.random.laplace, 0, 2),
        (lambda key, shape: jax.random.uniform(key, shape, jnp.bfloat16, -1, 1), 0, 1 / 3),
    ],
    ids=["uniform", "normal", "affine", "bernoulli", "exponential", "gumbel", "laplace", "bfloat16"],
)
def test_distributions_of_jax_random(draw, mean, variance):
    p = jaxdrop.moments(lambda key: draw(key, (3,)))
    np.testing.assert_allclose(p.mean, mean, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(p.variance, variance, rtol=5e-3)


def noisy(key, deviation=1.3):
    return MEAN + np.float32(deviation) * jax.random.normal(key, MEAN.shape)


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


def linear(key, x):
    return jaxdrop.dropout(key, x, 0.4) @ KERNEL + 1


def test_a_linear_layer_is_exact():
    p = jaxdrop.moments(functools.partial(linear, x=X))
    np.testing.assert_allclose(p.mean, X @ KERNEL + 1, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 * (0.4 / 0.6) @ KERNEL**2, rtol=1e-3)


def test_linear_networks_have_exact_covariances():
    """Two layers of dropout, and a branch around one of them."""

    def sample(key):
        first, second = jax.random.split(key)
        hidden = linear(first, X)
        return (hidden + linear(second, hidden)) @ KERNEL[:, :3]

    p = jaxdrop.moments(sample, covariance=True)
    drawn = np.asarray(samples(sample, 40_000), np.float64) - np.asarray(p.mean)
    assert_mean(drawn, np.zeros(p.mean.shape))
    assert_mean(np.einsum("sbi,sbj->sbij", drawn, drawn), p.covariance)
    np.testing.assert_allclose(p.variance, np.diagonal(p.covariance, axis1=1, axis2=2))


def test_products_of_random_arrays_have_exact_covariances():
    def sample(key):
        weights = 1 + jax.random.normal(key, (4, 8, 3))
        return jnp.einsum("bi,bio->bo", jaxdrop.dropout(jax.random.fold_in(key, 1), X, 0.4), weights)

    p = jaxdrop.moments(sample, covariance=True)
    drawn = np.asarray(samples(sample), np.float64) - np.asarray(p.mean)
    assert_mean(np.einsum("sbi,sbj->sbij", drawn, drawn), p.covariance)


PROGRAMS = {
    "product": lambda key: noisy(key) * noisy(jax.random.fold_in(key, 1)),
    "quotient": lambda key: noisy(key) / jax.random.uniform(jax.random.fold_in(key, 1), MEAN.shape, minval=1, maxval=3),
    "maximum": lambda key: jnp.maximum(noisy(key), noisy(jax.random.fold_in(key, 1), 0.5)),
    "minimum": lambda key: jnp.minimum(noisy(key), noisy(jax.random.fold_in(key, 1), 0.5)),
    "greater": lambda key: noisy(key) > noisy(jax.random.fold_in(key, 1)),
    "attention": lambda key: linear(key, X) @ jax.random.normal(jax.random.fold_in(key, 1), (8, 3)),
    "rectified dropout": lambda key: jax.nn.relu(jaxdrop.dropout(jax.random.fold_in(key, 1), noisy(key), 0.5) - 0.3),
    "choice": lambda key: jnp.where(
        jax.random.bernoulli(key, 0.3, MEAN.shape), noisy(jax.random.fold_in(key, 1)), MEAN
    ),
    "residual": lambda key: (lambda x: x + jnp.tanh(x) * x)(noisy(key)),
    "layer drop": lambda key: jaxdrop.layer_drop(key, lambda x: 2 * x, jnp.asarray(X), 0.3),
    "zoneout": lambda key: jaxdrop.zoneout(key, noisy(jax.random.fold_in(key, 1)), jnp.asarray(MEAN), 0.3),
    "convolution": lambda key: nn.Conv(3, (3,)).apply(
        {"params": {"kernel": jnp.ones((3, 8, 3)), "bias": jnp.ones(3)}},
        jaxdrop.dropout(key, jnp.asarray(X), 0.4)[None],
    ),
    "average pooling": lambda key: (
        lax.reduce_window(jaxdrop.dropout(key, X.reshape(4, 8, 1), 0.4), 0.0, lax.add, (2, 2, 1), (2, 2, 1), "SAME") / 4
    ),
    "max pooling": lambda key: nn.max_pool(noisy(key)[None, :12, None], (2,), (2,)),
    "places": lambda key: jnp.pad(jnp.concatenate([noisy(key)[::-1], MEAN]).reshape(2, 13).T[2:5], 1)[:, :2],
    "float64-free constants": lambda key: jnp.sum(noisy(key)) * 2 - 1,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_exact_agrees_with_samples(name):
    assert_agrees(PROGRAMS[name])


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


class Network(nn.Module):
    """Wide enough for sums to be normal, and with units that are correlated by its first dropout."""

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Dense(256)(x)))
            x = jaxdrop.linen.Dropout(0.5, deterministic=True)(x)
        return nn.Dense(4)(x)


@pytest.mark.thorough
def test_a_network_agrees_with_samples():
    variables = Network().init(jax.random.key(0), X)
    # As in a trained network, units agree on what they tell the next layer.
    variables = jax.tree.map(lambda leaf: leaf + 0.03 * (leaf.ndim == 2), variables)
    sample = jaxdrop.linen.sampler(Network(), variables, X)
    q = jaxdrop.monte_carlo(sample, jax.random.key(1), 4000)
    independent, p = jaxdrop.moments(sample), jaxdrop.moments(sample, covariance=True)
    np.testing.assert_allclose(p.mean, q.mean, atol=0.1 * np.sqrt(q.variance.min()))
    assert np.median(np.abs(np.sqrt(p.variance / q.variance) - 1)) < 0.03
    assert np.median(np.sqrt(independent.variance / q.variance)) < 0.9


@pytest.mark.thorough
def test_shared_masks_and_other_inputs_of_one_shape(getkey):
    variables = Network().init(jax.random.key(0), X)
    shared = jaxdrop.linen.sampler(Network(), variables, X, share_masks=True)
    p = jaxdrop.moments(jaxdrop.linen.sampler(Network(), variables, X))
    np.testing.assert_allclose(jaxdrop.moments(shared).variance, p.variance, rtol=1e-4)
    assert np.abs(jaxdrop.moments(jaxdrop.linen.sampler(Network(), variables, 2 * X)).mean - p.mean).max() > 0.01
    with pytest.raises(ValueError, match="covariance must be False where the first axis"):
        jaxdrop.moments(shared, covariance=True)


@pytest.mark.thorough
@pytest.mark.parametrize("covariance", [False, True])
def test_a_loop_is_the_program_written_out(covariance):
    def step(hidden, key):
        hidden = jnp.tanh(jaxdrop.dropout(key, hidden, 0.2) @ KERNEL)
        return hidden, hidden.sum(-1)

    def looped(key):
        return lax.scan(step, jnp.asarray(X), jax.random.split(key, 3))[0]

    def written_out(key):
        hidden = jnp.asarray(X)
        for each in jax.random.split(key, 3):
            hidden, _ = step(hidden, each)
        return hidden

    p, q = (jaxdrop.moments(sample, covariance=covariance) for sample in (looped, written_out))
    np.testing.assert_allclose(p.mean, q.mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(p.variance, q.variance, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("outside", [False, True])
def test_decisions_that_a_loop_makes_stay_decisions(outside):
    def sample(key):
        def turn(ever, now):
            now = now if outside else jax.random.bernoulli(now, 0.3, (2,))
            return ever | now, (ever | now, now)

        turns = jax.random.bernoulli(key, 0.3, (3, 2)) if outside else jax.random.split(key, 3)
        ever, (so_far, now) = lax.scan(turn, jnp.zeros(2, bool), turns)
        return tuple(jnp.where(decision, 2.0, 0.0) for decision in (ever, so_far, now))

    ever, so_far, now = jaxdrop.moments(sample).mean
    chances = np.array([0.3, 0.51, 0.657])  # that something of chance 0.3 has happened
    np.testing.assert_allclose(ever, 2 * chances[[2, 2]], rtol=1e-5)
    np.testing.assert_allclose(so_far, 2 * np.stack([chances] * 2, 1), rtol=1e-5)
    np.testing.assert_allclose(now, 0.6, rtol=1e-5)
    np.testing.assert_allclose(jaxdrop.moments(sample).variance[2], 4 * 0.3 * 0.7, rtol=1e-5)


@pytest.mark.parametrize("covariance", [False, True])
def test_the_norm_of_an_example_of_zeros_is_known(covariance):
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    p = jaxdrop.moments(lambda key: jnp.linalg.norm(jaxdrop.dropout(key, x, 0.5), axis=-1), covariance=covariance)
    assert (p.mean[0], p.variance[0]) == (0, 0)
    assert p.variance[1] > 1


def test_arrays_are_stacked_and_taken_apart():
    x = jnp.asarray(X)
    p = jaxdrop.moments(lambda key: jnp.stack([jaxdrop.dropout(key, x, 0.5), x]))
    np.testing.assert_allclose(p.mean, [X, X], rtol=1e-5)
    np.testing.assert_allclose(p.variance, [X**2, 0 * X], rtol=1e-5)
    p = jaxdrop.moments(lambda key: jnp.unstack(jaxdrop.dropout(key, x, 0.5))[1])
    np.testing.assert_allclose(p.variance, X[1] ** 2, rtol=1e-5)


def test_limits_of_uniform_numbers_may_differ():
    p = jaxdrop.moments(lambda key: jax.random.uniform(key, (2,), minval=jnp.array([-1.0, 0.0])))
    np.testing.assert_allclose(p.mean, [0, 0.5], atol=1e-6)
    np.testing.assert_allclose(p.variance, [1 / 3, 1 / 12], rtol=1e-5)


@pytest.mark.parametrize("noise", [jaxdrop.dropout, jaxdrop.gaussian_dropout])
def test_knows_the_noise_in_64_bits(noise):
    with jax.enable_x64(True):
        p = jaxdrop.moments(lambda key: noise(key, jnp.asarray(X), 0.25))
    np.testing.assert_allclose(p.mean, X, rtol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 / 3, rtol=1e-4)


@pytest.mark.thorough
def test_gradients_flow_into_the_model():
    def loss(kernel):
        p = jaxdrop.moments(lambda key: jax.nn.relu(jaxdrop.dropout(key, X, 0.4) @ kernel))
        return jnp.sum(p.mean) + jnp.sum(p.variance)

    direction = np.random.default_rng(5).normal(size=KERNEL.shape).astype(np.float32)
    slope = (loss(KERNEL + 1e-2 * direction) - loss(KERNEL - 1e-2 * direction)) / 2e-2
    np.testing.assert_allclose(jnp.sum(jax.grad(loss)(jnp.asarray(KERNEL)) * direction), slope, rtol=1e-2)


def test_names_what_it_cannot_treat_and_where():
    def sample(key):
        return jnp.sort(jaxdrop.dropout(key, jnp.ones(4), 0.5))

    with pytest.raises(NotImplementedError, match=r"primitive 'sort' .*test_moments.py:\d+: return jnp.sort"):
        jaxdrop.moments(sample)


def test_what_is_not_needed_need_not_be_known():
    def sample(key):
        y = jaxdrop.dropout(key, jnp.ones(4), 0.5)
        jnp.sort(y)
        return {"y": y, "known": jnp.arange(2)}

    p = jaxdrop.moments(sample)
    np.testing.assert_allclose(p.variance["y"], 1)
    np.testing.assert_array_equal(p.mean["known"], [0, 1])
    np.testing.assert_array_equal(p.variance["known"], 0)


def test_refuses_a_model_without_noise():
    with pytest.raises(ValueError, match="model must have a stochastic layer"):
        jaxdrop.moments(jaxdrop.linen.sampler(nn.Dense(2), nn.Dense(2).init(jax.random.key(0), X), X))


def test_half_precision_is_computed_in_single():
    x = jnp.asarray(X, jnp.bfloat16)
    p = jaxdrop.moments(lambda key: jaxdrop.dropout(key, x, 0.1) @ jnp.asarray(KERNEL, jnp.bfloat16))
    wide = np.asarray(x, np.float32), np.asarray(jnp.asarray(KERNEL, jnp.bfloat16), np.float32)
    assert p.mean.dtype == jnp.float32
    np.testing.assert_allclose(p.mean, wide[0] @ wide[1], rtol=1e-3, atol=1e-4)
    rate = 1 - float(_masks.keep_probability(0.1, bits=16))
    np.testing.assert_allclose(p.variance, wide[0] ** 2 * rate / (1 - rate) @ wide[1] ** 2, rtol=1e-3)


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
