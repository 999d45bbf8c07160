import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import dawsn, gammaln, psi

from jaxdrop.variational import kl_ard, kl_kingma, kl_log_uniform, kl_log_uniform_exact

LOG_ALPHA = np.linspace(-8, 8, 20)
ALL = [kl_log_uniform, kl_log_uniform_exact, kl_ard, kl_kingma]

# Minus the divergence, exact and by three constants, computed beforehand with another program.
POINTS = [-8, -6, -4, -2, -1, 0, 1, 2, 3, 4, 6, 8]
EXACT = [
    *(-4.635014, -3.633937, -2.625755, -1.544155, -0.914531, -0.426686),
    *(-0.173194, -0.066168, -0.024688, -0.009130, -0.001239, -0.000168),
]
THREE_CONSTANTS = [
    *(-4.635899, -3.636446, -2.634208, -1.540533, -0.913872, -0.431239),
    *(-0.177970, -0.068417, -0.025420, -0.009330, -0.001251, -0.000168),
]


def by_quadrature(log_alpha):
    """E log|e| for e ~ N(1, alpha) by integration, of which the divergence is made."""
    deviation = np.exp(log_alpha / 2)

    def integrand(z):
        return np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * np.log(np.abs(1 + deviation * z))

    zero = -1 / deviation
    ends = sorted({-12.0, 12.0, *([zero] if abs(zero) < 12 else [])})
    mean = sum(quad(integrand, low, high, limit=500)[0] for low, high in itertools.pairwise(ends))
    return (np.euler_gamma + np.log(2)) / 2 - log_alpha / 2 + mean


def test_exact_is_the_integral_over_the_noise():
    ours = kl_log_uniform_exact(jnp.asarray(LOG_ALPHA, jnp.float32))
    np.testing.assert_allclose(ours, [by_quadrature(value) for value in LOG_ALPHA], atol=1e-5)


def test_exact_is_the_mean_over_a_poisson_number():
    """psi(j + 1/2) for j ~ Poisson(1 / (2 alpha)), another closed form."""
    for log_alpha in LOG_ALPHA:
        u = np.exp(-log_alpha) / 2
        j = np.arange(int(u + 20 * np.sqrt(u) + 60))
        chances = np.exp(j * np.log(u) - u - gammaln(j + 1))
        expected = (chances * (psi(j + 0.5) - psi(0.5))).sum() / 2
        np.testing.assert_allclose(kl_log_uniform_exact(jnp.float32(log_alpha)), expected, atol=2e-6)


def test_gradient_is_dawson_s(getkey):
    log_alpha = jax.random.uniform(getkey(), (1000,), minval=-8, maxval=8)
    t = np.sqrt(np.exp(-np.asarray(log_alpha, np.float64)) / 2)
    slope = jax.jit(jax.vmap(jax.grad(kl_log_uniform_exact)))(log_alpha)
    np.testing.assert_allclose(slope, -t * dawsn(t), atol=2e-6)


def test_the_published_values():
    points = jnp.asarray(POINTS, jnp.float32)
    np.testing.assert_allclose(-kl_log_uniform_exact(points), EXACT, atol=1e-6)
    np.testing.assert_allclose(-kl_log_uniform(points), THREE_CONSTANTS, atol=1e-6)
    # The cubic without its constant.
    alpha = jnp.array([1e-4, 0.01, 0.1, 0.5, 1.0])
    cubic = [-4.605054, -2.291120, -1.049582, -0.068071, 0.245709]
    np.testing.assert_allclose(0.63518142 - kl_kingma(jnp.log(alpha)), cubic, atol=2e-6)


def test_three_constants_are_within_their_stated_distance():
    log_alpha = jnp.linspace(-8, 8, 1601)
    distance = jnp.abs(kl_log_uniform(log_alpha) - kl_log_uniform_exact(log_alpha))
    assert 0.0093 < distance.max() < 0.0094


def test_ard_is_the_divergence_from_the_best_normal_prior():
    """KL(N(t, s2) || N(0, t2 + s2)) for t = 1, whatever s2."""
    variance = np.exp(LOG_ALPHA)
    expected = 0.5 * ((variance + 1) / (variance + 1) - 1 + np.log((1 + variance) / variance))
    np.testing.assert_allclose(kl_ard(jnp.asarray(LOG_ALPHA, jnp.float32)), expected, atol=1e-5)


@pytest.mark.parametrize("kl", ALL)
def test_decreases_to_zero(kl):
    log_alpha = jnp.linspace(-8, 0 if kl is kl_kingma else 8, 161)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(kl)))(log_alpha)
    assert (jnp.diff(values) < 0).all()
    assert (slopes[:-1] < 0).all()
    if kl is not kl_kingma:  # which says that it does not
        assert 0 < values[-1] < 2e-4
        assert kl(jnp.float32(80)) < 1e-6
    np.testing.assert_allclose(slopes[:-1], np.gradient(values, log_alpha)[:-1], atol=0.03)


@pytest.mark.thorough
@pytest.mark.parametrize("kl", ALL)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_is_finite_and_as_wide_as_float32(kl, dtype):
    log_alpha = jnp.array([-jnp.finfo(dtype).max, -100, -8, 0, 1, 8, 100, jnp.finfo(dtype).max], dtype)
    value, pullback = jax.vjp(kl, log_alpha)
    assert value.dtype == jnp.float32
    assert jnp.isfinite(value).all()
    assert jnp.isfinite(pullback(jnp.ones_like(value))[0]).all()


def test_refuses_integers():
    with pytest.raises(TypeError, match="log_alpha must be floating point"):
        kl_ard(jnp.array([1]))
