import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

import jaxdrop
from tests.statistical import assert_mean

CLASSES = 7

r_drop_loss = jax.jit(jaxdrop.r_drop_loss)


def draw(seed, shape=(5, CLASSES), scale=3.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def r_drop_reference(logits_1, logits_2, labels, alpha):
    """The README's form, by scipy and in float64."""
    log_p_1, log_p_2 = special.log_softmax(logits_1, -1), special.log_softmax(logits_2, -1)
    rows = np.arange(len(labels))
    cross_entropy = -(log_p_1[rows, labels] + log_p_2[rows, labels]) / 2
    p_1, p_2 = np.exp(log_p_1), np.exp(log_p_2)
    return cross_entropy + alpha * (stats.entropy(p_1, p_2, axis=-1) + stats.entropy(p_2, p_1, axis=-1)) / 2


def numeric_gradient(f, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (f(x + shift) - f(x - shift)) / (2 * step)
    return gradient


LABELS = np.array([0, 3, 6, 6, 1])


@pytest.mark.parametrize("alpha", [0.0, 0.7, 5, np.float32(1), jnp.float32(2)], ids=str)
def test_r_drop_is_the_published_form(alpha):
    loss = r_drop_loss(jnp.float32(draw(0)), jnp.float32(draw(1)), LABELS, alpha)
    np.testing.assert_allclose(loss, r_drop_reference(draw(0), draw(1), LABELS, float(alpha)), rtol=2e-6)
    assert loss.shape == (5,)


def test_r_drop_of_equal_passes_is_cross_entropy():
    logits = jnp.float32(draw(0))
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, LABELS)
    np.testing.assert_allclose(r_drop_loss(logits, logits, LABELS, 100.0), expected, rtol=1e-6)


def test_r_drop_is_symmetric_and_grows_with_alpha():
    logits_1, logits_2 = jnp.float32(draw(0)), jnp.float32(draw(1))
    loss = r_drop_loss(logits_1, logits_2, LABELS, 1.0)
    np.testing.assert_allclose(r_drop_loss(logits_2, logits_1, LABELS, 1.0), loss, rtol=1e-6)
    assert jnp.all(r_drop_loss(logits_1, logits_2, LABELS, 2.0) > loss)


def test_r_drop_gradient():
    def reference(logits_1, logits_2):
        return r_drop_reference(logits_1, logits_2, LABELS, 0.7).sum()

    gradients = jax.jit(jax.grad(lambda *logits: jaxdrop.r_drop_loss(*logits, LABELS, 0.7).sum(), argnums=(0, 1)))(
        jnp.float32(draw(0)), jnp.float32(draw(1))
    )
    expected_1 = numeric_gradient(lambda logits: reference(logits, draw(1)), draw(0))
    expected_2 = numeric_gradient(lambda logits: reference(draw(0), logits), draw(1))
    np.testing.assert_allclose(gradients[0], expected_1, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(gradients[1], expected_2, rtol=2e-5, atol=2e-6)


@pytest.mark.thorough
def test_r_drop_is_finite_for_extreme_logits():
    extreme = jnp.float32([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]])
    labels = jnp.array([1, 1, 2])
    value, gradients = jax.value_and_grad(lambda *logits: r_drop_loss(*logits, labels, 1.0).sum(), argnums=(0, 1))(
        extreme, -extreme
    )
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)
    # The first example: cross-entropies of 20000 and 0, and two divergences of 20000 each.
    np.testing.assert_allclose(r_drop_loss(extreme[:1], -extreme[:1], labels[:1], 1.0), [10_000 + 20_000])


def test_r_drop_takes_sequences():
    logits_1, logits_2 = jnp.float32(draw(0, (2, 5, CLASSES))), jnp.float32(draw(1, (2, 5, CLASSES)))
    loss = r_drop_loss(logits_1, logits_2, np.stack([LABELS, LABELS]), 0.5)
    expected = [r_drop_loss(logits_1[i], logits_2[i], LABELS, 0.5) for i in range(2)]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_computed_in_float32(dtype):
    x, y = jnp.asarray(draw(0), dtype), jnp.asarray(draw(1), dtype)
    for loss in (lambda x, y: r_drop_loss(x, y, LABELS, 1.0), jaxdrop.expectation_linear_loss):
        assert loss(x, y).dtype == jnp.float32
        np.testing.assert_array_equal(loss(x, y), loss(x.astype(jnp.float32), y.astype(jnp.float32)))
    gradient = jax.grad(lambda x: r_drop_loss(x, y, LABELS, 1.0).sum())(x)
    assert gradient.dtype == dtype


def test_float64_stays_float64():
    with jax.enable_x64(True):
        loss = r_drop_loss(draw(0), draw(1), LABELS, 0.7)
        np.testing.assert_allclose(loss, r_drop_reference(draw(0), draw(1), LABELS, 0.7), rtol=1e-12)
        assert jaxdrop.expectation_linear_loss(draw(0), draw(1)).dtype == jnp.float64


def test_expectation_linear_is_the_squared_distance():
    x, y = draw(0), draw(1)
    loss = jaxdrop.expectation_linear_loss(jnp.float32(x), jnp.float32(y))
    np.testing.assert_allclose(loss, np.linalg.norm(x - y, axis=-1) ** 2, rtol=1e-6)
    gradients = jax.grad(lambda *outputs: jaxdrop.expectation_linear_loss(*outputs).sum(), argnums=(0, 1))(
        jnp.float32(x), jnp.float32(y)
    )
    np.testing.assert_allclose(gradients[0], 2 * (x - y), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[1], -2 * (x - y), rtol=1e-5, atol=1e-6)


def test_expectation_linear_loss_of_a_linear_layer_is_its_variance(getkey):
    # Srivastava's section 9.1: the variance of sum_i w_i m_i x_i / keep is rate / keep * sum_i (w_i x_i)^2.
    x, kernel, rate = jnp.float32(draw(0, (3, 8), 1.0)), jnp.float32(draw(1, (8, 2), 1.0)), 0.3

    def loss(key):
        return jaxdrop.expectation_linear_loss(jaxdrop.dropout(key, x, rate) @ kernel, x @ kernel)

    losses = jax.jit(jax.vmap(loss))(jax.random.split(getkey(), 20_000))
    assert_mean(losses, rate / (1 - rate) * jnp.square(x) @ jnp.square(kernel).sum(-1))


# Bad input


def test_refuses_other_shapes_and_types():
    x, labels = jnp.ones((2, 3)), jnp.zeros(2, int)
    with pytest.raises(ValueError, match=r"logits_1 and logits_2 must have the same shape, got \(2, 3\) and \(1, 3\)"):
        jaxdrop.r_drop_loss(x, x[:1], labels, 1.0)
    with pytest.raises(ValueError, match=r"labels \(...\), got shapes \(2, 3\) and \(1,\)"):
        jaxdrop.r_drop_loss(x, x, labels[:1], 1.0)
    with pytest.raises(ValueError, match="logits_1 must be"):
        jaxdrop.r_drop_loss(jnp.float32(1), jnp.float32(1), 0, 1.0)
    with pytest.raises(TypeError, match="labels must be integers, got dtype float32"):
        jaxdrop.r_drop_loss(x, x, jnp.zeros(2), 1.0)
    with pytest.raises(TypeError, match="logits_2 must be floating point, got dtype int32"):
        jaxdrop.r_drop_loss(x, jnp.ones((2, 3), int), labels, 1.0)
    with pytest.raises(ValueError, match="output_noisy and output_expected must have the same shape"):
        jaxdrop.expectation_linear_loss(x, x[:1])
    with pytest.raises(ValueError, match="the number of axes of output_noisy must be at least 1, got 0"):
        jaxdrop.expectation_linear_loss(1.0, 1.0)
    with pytest.raises(TypeError, match="output_expected must be floating point"):
        jaxdrop.expectation_linear_loss(x, jnp.ones((2, 3), int))


@pytest.mark.parametrize("alpha", [-1, float("nan"), float("inf")])
def test_refuses_a_negative_alpha(alpha):
    with pytest.raises(ValueError, match="alpha must be at least 0 and finite"):
        jaxdrop.r_drop_loss(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.zeros(2, int), alpha)


# AWD-LSTM's penalties


def test_activation_regularization_is_the_mean_square():
    h = draw(0, (3, 4, 5), 2.0)
    np.testing.assert_allclose(jaxdrop.activation_regularization(jnp.float32(h)), (h**2).mean(-1), rtol=1e-5)
    low = jaxdrop.activation_regularization(jnp.full((2, 1000), 3, jnp.float16))
    assert low.dtype == jnp.float32
    np.testing.assert_array_equal(low, 9)


@pytest.mark.parametrize("axis", [-2, 0])
def test_temporal_activation_regularization_is_that_of_the_differences(axis):
    h = draw(0, (3, 4, 5), 2.0)
    loss = jaxdrop.temporal_activation_regularization(jnp.float32(h), time_axis=axis)
    np.testing.assert_allclose(loss, (np.diff(h, axis=axis) ** 2).mean(-1), rtol=1e-5)


def test_penalties_refuse():
    with pytest.raises(TypeError, match="outputs must be floating point, got dtype int32"):
        jaxdrop.activation_regularization(jnp.ones((2, 3), int))
    with pytest.raises(ValueError, match=r"outputs\.ndim must be at least 1, got 0"):
        jaxdrop.activation_regularization(1.0)
    with pytest.raises(ValueError, match="time_axis must be from 0 to 0, got 1"):
        jaxdrop.temporal_activation_regularization(jnp.ones((2, 3)), time_axis=-1)
