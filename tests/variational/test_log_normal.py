import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxdrop.variational import (
    LogNormalFactors,
    kept_factors,
    kl_log_normal,
    log_normal_expectation,
    log_normal_factors,
    log_normal_noise,
)
from jaxdrop.variational._truncated_normal import below_end
from jaxdrop.variational.log_normal import standardized
from tests.statistical import assert_moments

# (mu, log sigma): ordinary ones, and those for which nearly all mass is cut off at either end.
ORDINARY = [(0.0, -5.0), (-1.0, 0.0), (-5.0, 1.0), (0.0, 3.0), (0.02, -5.0), (-4.0, 2.0), (0.3, -1.0), (-20.0, 0.0)]
IN_TAIL = [(1.0, -5.0), (5.0, -3.0), (5.0, -9.0), (3.0, 0.0), (0.5, -2.0)]


def some(pairs):
    mu, log_sigma = jnp.asarray(pairs, jnp.float32).T
    return LogNormalFactors(mu, log_sigma)


def posterior(mu, log_sigma):
    """Points log(theta), the log-density there, and weights of an integral over the density, all in float64."""
    sigma, nearest = np.exp(log_sigma), np.clip(mu, -20, 0)
    # The length on which the density falls from where it is largest.
    scale = min(sigma, sigma**2 / abs(nearest - mu) if nearest != mu else np.inf)
    points = np.linspace(max(-20, nearest - 40 * scale), min(0, nearest + 40 * scale), 200_001)
    log_density = stats.norm.logpdf(points, mu, sigma)
    log_density -= log_density.max()
    log_density -= np.log(integrate.trapezoid(np.exp(log_density), points))
    weights = np.exp(log_density)
    weights[[0, -1]] /= 2
    return points, log_density, weights / weights.sum()


def moments(mu, log_sigma):
    """Mean and standard deviation of theta."""
    points, _, weights = posterior(mu, log_sigma)
    mean = np.sum(weights * np.exp(points))
    return mean, np.sqrt(np.sum(weights * np.square(np.exp(points) - mean)))


@pytest.mark.parametrize(("mu", "log_sigma"), ORDINARY + IN_TAIL)
def test_divergence_and_moments_against_quadrature(mu, log_sigma):
    pair = np.asarray([mu, log_sigma], np.float32).astype(float)
    _, log_density, weights = posterior(*pair)
    factors = LogNormalFactors(jnp.float32(mu), jnp.float32(log_sigma))
    np.testing.assert_allclose(kl_log_normal(factors), np.log(20) + np.sum(weights * log_density), rtol=5e-5, atol=1e-6)
    mean, deviation = moments(*pair)
    np.testing.assert_allclose(factors.mean, mean, rtol=1e-5)
    if mean / deviation < 100:  # above, rounding in float32 takes over
        np.testing.assert_allclose(factors.signal_to_noise, mean / deviation, rtol=1e-2)
    else:
        assert factors.signal_to_noise > 90


def test_the_values_computed_from_the_authors_code():
    expected = [7.2699409, 1.8933475, 0.6801651, 0.0101924]
    np.testing.assert_allclose(kl_log_normal(some(ORDINARY[:4])), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_finite_at_the_bounds_and_constant_beyond():
    corners = [(mu, log_sigma) for mu in (-20.0, 0.0, 5.0) for log_sigma in (-20.0, -5.0, 5.0)]

    def total(factors, uniform_key):
        noisy = log_normal_noise(uniform_key, jnp.ones(factors.mu.shape), factors)
        return (kl_log_normal(factors) + factors.mean + noisy).sum()

    evaluate = jax.jit(jax.value_and_grad(total))
    value, gradients = evaluate(some(corners), jax.random.key(0))
    assert all(jnp.isfinite(leaf).all() for leaf in (value, *gradients))
    bounds = [pair for pair in corners if 0 not in pair and -5.0 not in pair]
    beyond = [(mu + np.sign(mu), log_sigma + np.sign(log_sigma)) for mu, log_sigma in bounds]
    np.testing.assert_array_equal(kl_log_normal(some(beyond)), kl_log_normal(some(bounds)))


def test_samples_have_the_distribution_and_its_moments(getkey):
    draws, factors = 20_000, some(ORDINARY + IN_TAIL)
    x = jnp.full((draws, len(factors.mu)), 2.0)
    y = np.asarray(jax.jit(log_normal_noise)(getkey(), x, factors), np.float64) / 2
    assert ((y > 0) & (y <= 1)).all()
    for column, (mu, log_sigma) in enumerate(ORDINARY):
        sigma = np.exp(log_sigma)
        reference = stats.truncnorm((-20 - mu) / sigma, -mu / sigma, mu, sigma)
        if log_sigma > -5:  # else rounding makes ties
            assert stats.kstest(np.log(y[:, column]), reference.cdf).pvalue > 1e-6
    for column, (mu, log_sigma) in enumerate(ORDINARY + IN_TAIL):
        mean, deviation = moments(mu, log_sigma)
        if mean < 0.999:  # nearer to 1, float32 has too few numbers
            assert_moments(y[:, column, None], mean, deviation**2)


@pytest.mark.thorough
@pytest.mark.parametrize("pair", [(-1.0, 0.0), (2.0, -0.5), (0.5, -2.0)])
def test_the_gradient_of_a_sample_is_that_at_a_fixed_quantile(pair, getkey):
    key = getkey()
    draw = jax.jit(lambda mu, log_sigma: log_normal_noise(key, jnp.ones(200), LogNormalFactors(mu, log_sigma)))
    point = tuple(jnp.float32(value) for value in pair)
    slopes = jax.jacfwd(draw, (0, 1))(*point)

    def exact(mu, log_sigma, quantiles):
        sigma = np.exp(log_sigma)
        return np.exp(stats.truncnorm.ppf(quantiles, (-20 - mu) / sigma, -mu / sigma, mu, sigma))

    sigma = np.exp(pair[1])
    quantiles = stats.truncnorm.cdf(
        np.log(np.asarray(draw(*point), np.float64)), (-20 - pair[0]) / sigma, -pair[0] / sigma, pair[0], sigma
    )
    for number, slope in enumerate(slopes):
        step = np.eye(2)[number] * 1e-4
        numerical = (exact(*(pair + step), quantiles) - exact(*(pair - step), quantiles)) / 2e-4
        np.testing.assert_allclose(slope, numerical, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [(-1.0, 0.5), (0.0, 2.0), (-20.0, 0.0), (-8.0, -2.9), (-8.0, -3.1), (-20.0, -10.0), (-3.2, -3.1), (-300.0, -100.0)],
)
def test_quantiles_and_their_slopes(alpha, beta):
    ends, uniform = np.float32([alpha, beta]), np.array([2**-24, 0.01, 0.3, 0.9, 0.999], np.float32)

    def exact(ends):
        logarithms = special.log_ndtr(ends)[:, None] + np.log([1 - uniform.astype(float), uniform.astype(float)])
        return ends[1] - special.ndtri_exp(special.logsumexp(logarithms, axis=0))

    np.testing.assert_allclose(jax.jit(below_end)(uniform, *ends), exact(ends.astype(float)), rtol=2e-5, atol=2e-6)
    for number, slope in enumerate(jax.jit(jax.jacfwd(below_end, (1, 2)))(uniform, *ends)):
        step = np.eye(2)[number] * 1e-4
        numerical = (exact(ends + step) - exact(ends - step)) / 2e-4
        np.testing.assert_allclose(slope, numerical, rtol=1e-3, atol=1e-4)


def test_samples_at_the_lower_bound_are_finite():
    """There half of the mass is above, and a uniform number nearly 1 would be rounded to a probability of 1."""
    factors = log_normal_factors((), mu=-20.0, log_sigma=-2.0)
    assert jnp.isfinite(below_end(jnp.float32(1 - 2**-24), *standardized(factors)[2:]))
    assert 90 < log_normal_factors((), log_sigma=-20.0).signal_to_noise < jnp.inf


@pytest.mark.thorough
def test_one_factor_for_a_channel(getkey):
    factors = log_normal_factors(3, mu=-1.0, log_sigma=0.0)
    y = log_normal_noise(getkey(), jnp.ones((50, 4, 4, 3)), factors, broadcast_dims=(1, 2))
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1], y.shape))
    assert len(np.unique(y)) == 150


def test_prediction_zeroes_noisy_units():
    factors = some([(0.0, -5.0), (-4.0, 2.0), (-5.0, 1.0)])
    np.testing.assert_allclose(kept_factors(factors), [factors.mean[0], 0, 0], rtol=1e-6)
    np.testing.assert_allclose(kept_factors(factors, None), factors.mean)
    x = jnp.array([[2.0, 3.0, 4.0]])
    np.testing.assert_allclose(log_normal_expectation(x, factors), x * kept_factors(factors)[None])
    np.testing.assert_allclose(log_normal_expectation(x, factors, 0.41), x * kept_factors(factors, 0.41)[None])
    assert (kept_factors(factors, 0.41) > 0).tolist() == [True, True, False]


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype(dtype, getkey):
    factors = log_normal_factors(3, dtype=dtype)
    assert factors.mu.dtype == dtype
    assert log_normal_noise(getkey(), jnp.ones((2, 3), dtype), factors).dtype == dtype
    assert log_normal_expectation(jnp.ones((2, 3), dtype), factors).dtype == dtype
    assert kl_log_normal(factors).dtype == jnp.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda key: log_normal_noise(key, jnp.ones(3), log_normal_factors(2)), ValueError, "factors must broadcast"),
        (lambda key: log_normal_noise(None, jnp.ones(3), log_normal_factors(3)), TypeError, "key must be"),
        (lambda key: log_normal_expectation(jnp.ones(3, int), log_normal_factors(3)), TypeError, "x must be floating"),
        (lambda key: log_normal_factors(3, mu=np.inf), ValueError, "mu must be finite"),
        (
            lambda key: log_normal_noise(key, jnp.ones((2, 3)), log_normal_factors(3), broadcast_dims=(1,)),
            ValueError,
            "factors must be constant along shared axes",
        ),
    ],
)
def test_refuses(call, error, message, getkey):
    with pytest.raises(error, match=message):
        call(getkey())
