"""A student's closed forms equal sampling and scipy, losses are least at the truth, and it learns from a teacher."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

import jaxdrop
from tests.statistical import FALSE_FAILURE, assert_mean, assert_moments

ALPHAS = np.array([[1.0, 1.0, 1.0], [0.2, 3.0, 0.7], [20.0, 5.0, 0.01], [300.0, 200.0, 500.0], [0.01, 0.02, 0.03]])

loss = jax.jit(jaxdrop.dirichlet_distillation_loss)
prediction = jax.jit(jaxdrop.dirichlet_prediction)


@functools.partial(jax.jit, static_argnums=(0, 3))
def train(objective, params, key, steps):
    """Minimises a function of parameters and a key by Adam."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, steps))

    def step(carry, number):
        params, state = carry
        gradient = jax.grad(objective)(params, jax.random.fold_in(key, number))
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    with jax.numpy_dtype_promotion("standard"):  # for optax
        return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))[0][0]


def exact_prediction(alpha):
    """Mean, variance, entropy, expected entropy and information by scipy, in float64."""
    total = alpha.sum(-1, keepdims=True)
    mean = alpha / total
    expected = special.digamma(total[..., 0] + 1) - (mean * special.digamma(alpha + 1)).sum(-1)
    entropy = stats.entropy(mean, axis=-1)
    return mean, mean * (1 - mean) / (total + 1), entropy, expected, entropy - expected


def exact_loss(alpha, probabilities):
    return -np.mean([stats.dirichlet.logpdf(p / p.sum(), alpha) for p in np.asarray(probabilities, np.float64)])


# The prediction of the student


def test_prediction_equals_scipy():
    p = prediction(jnp.log(jnp.float32(ALPHAS)))
    for value, expected in zip(p[:5], exact_prediction(ALPHAS), strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-6)
    assert p.votes is None
    assert p.samples is None


@pytest.mark.parametrize("alpha", ALPHAS, ids=str)
def test_prediction_equals_sampling(alpha):
    draws = np.random.default_rng(0).dirichlet(alpha, size=50_000)
    p = prediction(jnp.log(jnp.float32(alpha)))
    assert_moments(draws, p.mean, p.variance)
    assert_mean(stats.entropy(draws, axis=-1), p.expected_entropy)
    # The mutual information is the mean divergence from the mean.
    assert_mean(special.rel_entr(draws, alpha / alpha.sum()).sum(-1), p.mutual_information)


@pytest.mark.parametrize("scale", [1e4, 1e6, 1e8])
def test_information_of_concentrated_distributions_does_not_cancel(scale):
    alpha = scale * np.array([1.0, 2.0, 3.0, 0.5])
    np.testing.assert_allclose(prediction(jnp.log(jnp.float32(alpha))).mutual_information, 1.5 / alpha.sum(), rtol=1e-3)


def test_information_has_no_seam():
    # Where series take over from functions, and one part from the other.
    alpha = np.geomspace(0.3, 100, 400)[:, None] * np.array([1.0, 0.4, 0.05])
    *_, expected, information = exact_prediction(alpha)
    p = prediction(jnp.log(jnp.float32(alpha)))
    np.testing.assert_allclose(p.mutual_information, information, rtol=1e-5)
    np.testing.assert_allclose(p.expected_entropy, expected, rtol=1e-5)
    assert jnp.all(jnp.diff(p.mutual_information) < 0)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("level", [-1e4, -80.0, 80.0, 1e4])
def test_prediction_at_extremes(level, dtype):
    """Concentrations of 0 are certain of a class that they do not know, infinite ones are certain of the mean."""
    logits = jnp.array([[level, level], [level, level - 1]], dtype)
    p = prediction(logits)
    mean = jax.nn.softmax(logits.astype(jnp.float32))
    np.testing.assert_allclose(p.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(p.variance, mean * (1 - mean) if level < 0 else 0 * mean, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(p.predictive_entropy, jaxdrop.metrics.entropy(mean), rtol=1e-6)
    known, unknown = (p.expected_entropy, p.mutual_information)[:: 1 if level < 0 else -1]
    np.testing.assert_allclose(known, 0, atol=2e-7)
    np.testing.assert_allclose(unknown, p.predictive_entropy, rtol=1e-6)
    gradient = jax.grad(lambda z: sum(leaf.sum() for leaf in jax.tree.leaves(prediction(z))))(logits)
    assert gradient.dtype == dtype
    assert jnp.isfinite(gradient).all()


def test_parts_add_up_and_are_not_negative(getkey):
    logits = 30 * jax.random.normal(getkey(), (2000, 5))
    p = prediction(logits)
    assert jnp.all(p.expected_entropy >= 0)
    assert jnp.all(p.mutual_information >= 0)
    np.testing.assert_allclose(p.expected_entropy + p.mutual_information, p.predictive_entropy, rtol=1e-6, atol=1e-6)


def test_one_class_is_certain():
    p = prediction(jnp.array([[3.0], [-3.0]]))
    np.testing.assert_array_equal(p.mean, 1)
    for value in (p.variance, p.predictive_entropy, p.expected_entropy, p.mutual_information):
        np.testing.assert_array_equal(value, jnp.zeros_like(value))
    np.testing.assert_allclose(loss(jnp.array([[3.0], [-3.0]]), jnp.ones((4, 2, 1))), 0, atol=1e-6)


# The loss of the student


@pytest.mark.parametrize("alpha", ALPHAS, ids=str)
def test_loss_equals_scipy(alpha):
    probabilities = np.random.default_rng(0).dirichlet(np.array([0.8, 2.0, 1.5]), size=20)
    value = loss(jnp.log(jnp.float32(alpha)), jnp.float32(probabilities), smoothing=0.0)
    np.testing.assert_allclose(value, exact_loss(alpha, probabilities), rtol=2e-6, atol=1e-5)


@pytest.mark.thorough
def test_loss_equals_scipy_in_float64():
    with jax.enable_x64(True):
        probabilities = np.random.default_rng(0).dirichlet(np.array([0.8, 2.0, 1.5]), size=20)
        for alpha in np.geomspace(1e-3, 1e3, 60)[:, None] * np.array([1.0, 0.4, 0.05]):
            value = jaxdrop.dirichlet_distillation_loss(np.log(alpha), probabilities, smoothing=0.0)
            assert value.dtype == jnp.float64
            np.testing.assert_allclose(value, exact_loss(alpha, probabilities), rtol=1e-10)
            information = jaxdrop.dirichlet_prediction(np.log(alpha)).mutual_information
            np.testing.assert_allclose(information, exact_prediction(alpha)[-1], rtol=1e-9, atol=1e-14)


def test_loss_does_not_cancel_at_large_concentrations():
    # Samples as they are expected: the terms of the density are of 1e7, and their sum is of 10.
    alpha = 1e6 * np.array([0.2, 0.3, 0.5])
    probabilities = np.random.default_rng(1).dirichlet(alpha, size=5)
    value = loss(jnp.log(jnp.float32(alpha)), jnp.float32(probabilities), smoothing=0.0)
    np.testing.assert_allclose(value, exact_loss(np.exp(np.float64(np.log(np.float32(alpha)))), probabilities), atol=1)


def test_smoothing_mixes_with_the_uniform_distribution():
    probabilities, z = jnp.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]), jnp.array([1.0, -1.0, 0.5])
    mixed = 0.9 * probabilities + 0.1 / 3
    np.testing.assert_allclose(loss(z, probabilities, smoothing=0.1), exact_loss(np.exp(z), mixed), rtol=1e-5)
    traced = loss(z, probabilities, smoothing=jnp.float32(0.1))
    np.testing.assert_allclose(traced, exact_loss(np.exp(z), mixed), rtol=1e-5)
    default = 0.999 * probabilities + 0.001 / 3
    np.testing.assert_allclose(loss(z, probabilities), exact_loss(np.exp(z), default), rtol=1e-5)


def test_loss_of_each_example_is_its_own():
    rng = np.random.default_rng(2)
    z, probabilities = jnp.float32(rng.normal(size=(2, 5, 3))), jnp.float32(rng.dirichlet(np.ones(3), size=(7, 2, 5)))
    values = loss(z, probabilities)
    assert values.shape == (2, 5)
    np.testing.assert_allclose(values[1, 3], loss(z[1, 3], probabilities[:, 1, 3]), rtol=1e-5)
    of_samples = jnp.stack([loss(z, p[None]) for p in probabilities])
    np.testing.assert_allclose(values, of_samples.mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("smoothing", [1e-3, 1e-7])
def test_loss_is_finite_with_probabilities_of_zero_and_concentrations_at_extremes(smoothing, dtype):
    corners = jnp.broadcast_to(jnp.eye(3, dtype=dtype)[:, None], (3, 8, 3))
    levels = [0.0, -80.0, 80.0, -1e4, 1e4, -3e4, 3e4]
    logits = jnp.stack([*(jnp.full(3, level) for level in levels), jnp.array([1e4, 0.0, -1e4])]).astype(dtype)
    values, gradients = jax.value_and_grad(lambda z: loss(z, corners, smoothing=smoothing).sum())(logits)
    assert jnp.isfinite(values)
    assert gradients.dtype == dtype
    assert jnp.isfinite(gradients).all()
    assert jnp.all(gradients[jnp.array([2, 4, 6])].sum(-1) > 0)  # certain, and wrong: the total must come down
    assert jnp.all(gradients[jnp.array([1, 3, 5])].sum(-1) < 0)


@pytest.mark.thorough
def test_loss_recovers_a_dirichlet(getkey):
    """The minimiser is within the asymptotic error of the maximum-likelihood estimate, by Fisher's information."""
    alpha, num_samples = np.array([0.6, 2.5, 5.0]), 20_000
    probabilities = jax.random.dirichlet(getkey(), jnp.float32(alpha), (num_samples,))
    # What the docstring says of keeping no samples: their mean logarithm is enough.
    kept = jnp.exp(jnp.log(probabilities).mean(0, keepdims=True))
    z = train(lambda z, _: loss(z, kept, smoothing=0.0), jnp.zeros(3), getkey(), 500)
    curvature = np.diag(special.polygamma(1, alpha)) - special.polygamma(1, alpha.sum())
    information = np.outer(alpha, alpha) * curvature  # for the logarithms of the concentrations
    errors = np.sqrt(np.diag(np.linalg.inv(information)) / num_samples)
    assert np.all(np.abs(z - np.log(alpha)) < stats.norm.isf(FALSE_FAILURE / 6) * errors)
    # And the samples themselves agree.
    gradient = jax.grad(lambda z: loss(z, probabilities, smoothing=0.0))(z)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


# Regression


def test_gaussian_loss_is_the_mean_over_samples(getkey):
    samples = np.asarray(2 + 3 * jax.random.normal(getkey(), (40, 5, 2)), np.float64)
    mean, log_variance = np.full((5, 2), 1.5), np.linspace(-2, 3, 10).reshape(5, 2)
    expected = -stats.norm.logpdf(samples, mean, np.exp(log_variance / 2)).mean(0)
    teacher = jaxdrop.Prediction(jnp.float32(samples.mean(0)), jnp.float32(samples.var(0)))
    value = jax.jit(jaxdrop.gaussian_distillation_loss)(jnp.float32(mean), jnp.float32(log_variance), teacher)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    moments = jaxdrop.Moments(*teacher[:2])
    eager = jaxdrop.gaussian_distillation_loss(jnp.float32(mean), jnp.float32(log_variance), moments)
    np.testing.assert_allclose(eager, value, rtol=1e-6)


@pytest.mark.thorough
def test_gaussian_loss_is_least_at_the_teacher():
    teacher = jaxdrop.Prediction(jnp.array([1.0, -3.0]), jnp.array([0.01, 40.0]))

    def total(mean, log_variance):
        return jaxdrop.gaussian_distillation_loss(mean, log_variance, teacher).sum()

    at = (teacher.mean, jnp.log(teacher.variance))
    for gradient in jax.grad(total, (0, 1))(*at):
        np.testing.assert_allclose(gradient, 0, atol=1e-5)
    hessian = jax.hessian(total, 1)(*at)
    np.testing.assert_allclose(hessian, 0.5 * np.eye(2), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gaussian_loss_is_finite_at_extremes(dtype):
    log_variance = jnp.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype)
    teacher = jaxdrop.Prediction(jnp.ones(5, dtype), jnp.zeros(5, dtype))
    for mean in (jnp.zeros(5, dtype), jnp.ones(5, dtype)):
        value, gradient = jax.value_and_grad(
            lambda *args: jaxdrop.gaussian_distillation_loss(*args, teacher).sum(), (0, 1)
        )(mean, log_variance)
        assert jnp.isfinite(value)
        assert value.dtype == jnp.float32
        assert all(jnp.isfinite(leaf).all() for leaf in gradient)
    slope = jax.grad(lambda s: jaxdrop.gaussian_distillation_loss(0 * s, s, teacher).sum())(log_variance)
    assert jnp.all(slope[:2] < 0)  # certain, and wrong: the variance must go up


# A student of a teacher


def mlp(params, x, key=None):
    *hidden, (kernel, bias) = params
    for number, (weights, offset) in enumerate(hidden):
        x = jnp.tanh(x @ weights + offset[None])
        if key is not None:
            x = jaxdrop.dropout(jax.random.fold_in(key, number), x, 0.3)
    return x @ kernel + bias[None]


def start(key, *widths):
    keys = jax.random.split(key, len(widths) - 1)
    sizes = zip(keys, widths, widths[1:], strict=False)
    return [(jax.random.normal(k, (fan_in, out)) / fan_in**0.5, jnp.zeros(out)) for k, fan_in, out in sizes]


@pytest.mark.thorough
def test_student_predicts_as_its_teacher_of_classes(getkey):
    labels = jnp.arange(90) % 3
    centres = jnp.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])
    x = centres[labels] + 0.8 * jax.random.normal(getkey(), (90, 2))
    inputs = 2.5 * jax.random.normal(getkey(), (400, 2))

    def cross_entropy(params, key):
        return optax.softmax_cross_entropy_with_integer_labels(mlp(params, x, key), labels).mean()

    teacher = train(cross_entropy, start(getkey(), 2, 32, 3), getkey(), 300)
    p = jaxdrop.monte_carlo(
        lambda key: mlp(teacher, inputs, key), getkey(), num_samples=50, outputs="logits", return_samples=True
    )

    def distillation(params, key):
        return loss(mlp(params, inputs[:200]), p.samples[:, :200]).mean()

    student = train(distillation, start(getkey(), 2, 32, 32, 3), getkey(), 500)
    expected = jax.tree.map(lambda leaf: leaf[200:], p._replace(samples=None, num_samples=None))
    found = prediction(mlp(student, inputs))
    assert jnp.abs(found.mean[200:] - expected.mean).mean() < 0.02
    assert stats.spearmanr(found.mutual_information[200:], expected.mutual_information).statistic > 0.8
    assert stats.spearmanr(found.expected_entropy[200:], expected.expected_entropy).statistic > 0.8


@pytest.mark.thorough
def test_student_predicts_as_its_teacher_of_numbers(getkey):
    kernel = jax.random.normal(getkey(), (20, 1)) / 20**0.5
    features = lambda x: jnp.cos(x @ jnp.linspace(0.1, 2.0, 20)[None] + jnp.arange(20.0)[None])  # noqa: E731
    x, held_out = jnp.linspace(-3, 3, 200)[:, None], jnp.linspace(-2.9, 2.9, 77)[:, None]
    seen = jaxdrop.monte_carlo(lambda key: jaxdrop.dropout(key, features(x), 0.2) @ kernel, getkey(), 200)

    def distillation(params, key):
        mean, log_variance = jnp.split(mlp(params, x), 2, axis=-1)
        return jaxdrop.gaussian_distillation_loss(mean, log_variance, seen).mean()

    student = train(distillation, start(getkey(), 1, 32, 32, 2), getkey(), 700)
    mean, log_variance = jnp.split(mlp(student, held_out), 2, axis=-1)
    # Exact for a linear teacher: the variance of a dropped entry is rate / keep times its square.
    variance = 0.25 * jnp.square(features(held_out)) @ jnp.square(kernel)
    # 200 samples leave a standard error of sqrt(variance / 200) in the mean, and of sqrt(2 / 200) in log variance.
    assert jnp.all(jnp.abs(mean - features(held_out) @ kernel) < 5 * jnp.sqrt(variance / 200))
    assert jnp.all(jnp.abs(log_variance - jnp.log(variance)) < 0.5)


# Bad input


def test_refuses_other_shapes_and_types():
    z, p = jnp.zeros((2, 3)), jnp.full((4, 2, 3), 1 / 3)
    for bad in (p[0], p[:, :1], p[:0], p[..., :2]):
        with pytest.raises(ValueError, match=r"logits must be \(..., classes\) and probabilities \(num_samples"):
            jaxdrop.dirichlet_distillation_loss(z, bad)
    with pytest.raises(ValueError, match=r"of at least one sample and class, got shapes \(2, 0\) and \(4, 2, 0\)"):
        jaxdrop.dirichlet_distillation_loss(z[:, :0], p[..., :0])
    with pytest.raises(ValueError, match="logits must be"):
        jaxdrop.dirichlet_distillation_loss(1.0, jnp.ones(3))
    with pytest.raises(TypeError, match="logits must be floating point, got dtype int32"):
        jaxdrop.dirichlet_distillation_loss(jnp.zeros((2, 3), int), p)
    with pytest.raises(TypeError, match="probabilities must be floating point"):
        jaxdrop.dirichlet_distillation_loss(z, jnp.ones((4, 2, 3), int))
    with pytest.raises(ValueError, match="the last axis of logits, must be at least 1, got 0"):
        jaxdrop.dirichlet_prediction(1.0)
    with pytest.raises(TypeError, match="logits must be real"):
        jaxdrop.dirichlet_prediction(jnp.zeros(3, complex))
    teacher = jaxdrop.Prediction(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    with pytest.raises(ValueError, match=r"teacher\.mean and mean must have the same shape, got \(2, 1\) and \(2,\)"):
        jaxdrop.gaussian_distillation_loss(jnp.zeros(2), jnp.zeros(2), teacher)
    with pytest.raises(ValueError, match="log_variance and mean must have the same shape"):
        jaxdrop.gaussian_distillation_loss(jnp.zeros((2, 1)), jnp.zeros(2), teacher)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_refuses_smoothing_outside_the_unit_interval(smoothing):
    with pytest.raises(ValueError, match=r"smoothing must be in \[0, 1\]"):
        jaxdrop.dirichlet_distillation_loss(jnp.zeros(3), jnp.ones((1, 3)) / 3, smoothing=smoothing)
