import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from tests.statistical import assert_frequency, assert_mean


@pytest.mark.thorough
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_survivors_are_left_as_they_are(rate, getkey):
    x = 1 + jax.random.uniform(getkey(), (1000, 1000))
    y = jaxdrop.standard_dropout(getkey(), x, rate)
    np.testing.assert_array_equal(y[y != 0], x[y != 0])
    assert_frequency((y == 0).sum(), y.size, rate)


@pytest.mark.parametrize("bits", [None, 8, 16, 32])
@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_is_dropout_without_its_rescaling(bits, traced, getkey):
    """The expectation undoes exactly the rescaling by the rounded rate; of 0.1 itself, 8 bits would be off by 0.2 %."""
    key, x = getkey(), 1 + jax.random.uniform(getkey(), (1000,))
    rate = jnp.asarray(0.1) if traced else 0.1
    y = jaxdrop.standard_dropout(key, x, rate, bits=bits)
    rescaled = jaxdrop.standard_dropout_expectation(jaxdrop.dropout(key, x, rate, bits=bits), rate, bits=bits)
    np.testing.assert_allclose(y, rescaled, rtol=1e-6)


@pytest.mark.thorough
def test_a_rate_per_channel_infinity_and_nan(getkey):
    rates, x = jnp.asarray([0.0, 0.5, 1.0]), jnp.ones((100_000, 3))
    y = jaxdrop.standard_dropout(getkey(), x, rates)
    np.testing.assert_array_equal(y[:, 0], 1)
    assert_frequency((y[:, 1] == 0).sum(), len(y), 0.5)
    np.testing.assert_array_equal(y[:, 2], 0)
    np.testing.assert_array_equal(jaxdrop.standard_dropout_expectation(x, rates)[0], [1, 0.5, 0])
    assert set(np.unique(np.asarray(jaxdrop.standard_dropout(getkey(), x * jnp.inf, 0.5)))) == {0.0, np.inf}
    assert np.isnan(jax.jit(jaxdrop.standard_dropout)(getkey(), x, jnp.nan)).all()
    assert np.isnan(jaxdrop.standard_dropout_expectation(x, jnp.asarray(jnp.nan))).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_expectation_keeps_the_dtype_and_rounds_once(dtype):
    x = 1 + jnp.arange(1000, dtype=jnp.float32).astype(dtype) / 1000
    expected = (x.astype(jnp.float32) * np.float32(1 - 6554 / 65536)).astype(dtype)
    np.testing.assert_array_equal(jaxdrop.standard_dropout_expectation(x, 0.1), expected)


def test_the_expectation_refuses_what_dropout_refuses():
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        jaxdrop.standard_dropout_expectation(jnp.ones(3), 1.5)
    with pytest.raises(TypeError, match="x must be floating point, got dtype int32"):
        jaxdrop.standard_dropout_expectation(jnp.ones(3, jnp.int32), 0.5)
    with pytest.raises(ValueError, match=r"rate must broadcast against the shape \(3,\), got shape \(2,\)"):
        jaxdrop.standard_dropout_expectation(jnp.ones(3), jnp.ones(2))


def test_options_reach_the_functions_from_the_modules(getkey):
    key, x, options = getkey(), jnp.ones((5, 50)), {"broadcast_dims": (0,), "bits": 8}
    noisy = jaxdrop.standard_dropout(key, x, 0.1, **options)
    linen = jaxdrop.linen.StandardDropout(0.1, **options)
    np.testing.assert_array_equal(linen.apply({}, x, deterministic=False, rng=key), noisy)
    np.testing.assert_allclose(linen.apply({}, x, deterministic=True), 230 / 256, rtol=1e-6)
    nnx = jaxdrop.nnx.StandardDropout(0.1, **options)
    np.testing.assert_array_equal(nnx(x, rngs=key), noisy)
    np.testing.assert_allclose(nnx(x, deterministic=True), 230 / 256, rtol=1e-6)


@pytest.fixture
def regression(getkey):
    x = jax.random.normal(getkey(), (40, 5)) * jnp.asarray([[0.5, 1.0, 1.0, 2.0, 3.0]])
    return x, x.sum(1) + jax.random.normal(getkey(), (40,))


def squared_error(weights, key, x, y, rate):
    return jnp.sum((y - jaxdrop.standard_dropout(key, x, rate) @ weights) ** 2)


@pytest.mark.thorough
@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_linear_regression_marginalises_to_ridge_regression(rate, regression, getkey):
    """Srivastava, section 9.1: E |y - (m x) w|^2 = |y - q x w|^2 + q (1 - q) |gamma w|^2, gamma^2 = diag(x'x)."""
    x, y = regression
    weights = jax.random.normal(getkey(), (5,))
    losses = jax.vmap(lambda key: squared_error(weights, key, x, y, rate))(jax.random.split(getkey(), 20_000))
    gamma = jnp.sqrt(jnp.diag(x.T @ x))
    mean_error = jnp.sum((y - jaxdrop.standard_dropout_expectation(x, rate) @ weights) ** 2)
    assert_mean(losses, mean_error + rate * (1 - rate) * jnp.sum((gamma * weights) ** 2))


@pytest.mark.thorough
@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_the_scaled_solution_is_that_of_ridge_regression(rate, regression, getkey):
    """q w solves (x'x + (1 - q) / q diag(x'x)) q w = x'y: there, and not beside it, the mean gradient vanishes."""
    x, y = regression
    gram = x.T @ x
    scaled = jnp.linalg.solve(gram + rate / (1 - rate) * jnp.diag(jnp.diag(gram)), x.T @ y)

    def gradients(weights):
        keys = jax.random.split(jax.random.key(5), 20_000)
        return jax.vmap(lambda key: jax.grad(squared_error)(weights, key, x, y, rate))(keys)

    assert_mean(gradients(scaled / (1 - rate)), np.zeros(5))
    with pytest.raises(AssertionError, match="mean off"):
        assert_mean(gradients(1.1 * scaled / (1 - rate)), np.zeros(5))


@pytest.mark.parametrize("rate", [1.0, jnp.asarray([1.0, 1.0, 0.5])], ids=["static", "traced"])
def test_the_expectation_at_rate_one_is_zero_of_infinity_too(rate):
    expected = [0, 0, 1 if jnp.ndim(rate) else 0]
    np.testing.assert_array_equal(jaxdrop.standard_dropout_expectation(jnp.asarray([jnp.inf, 1, 2]), rate), expected)
