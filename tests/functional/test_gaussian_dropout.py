import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone
from scipy import stats

import jaxdrop
from jaxdrop import _bits
from tests.statistical import FALSE_FAILURE


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_noise_is_normal_with_the_variance_of_dropout(rate, getkey):
    """The whole distribution, by Kolmogorov and Smirnov: a largest gap of 0.0027 would be seen."""
    y = np.asarray(jaxdrop.gaussian_dropout(getkey(), jnp.ones(1_000_000), rate), np.float64)
    assert stats.kstest(y, stats.norm(1, np.sqrt(rate / (1 - rate))).cdf).pvalue > FALSE_FAILURE


def test_normal_and_uniform_draws_follow_their_distributions(getkey):
    assert stats.kstest(np.asarray(_bits.normal(getkey(), (1_000_000,)), np.float64), "norm").pvalue > FALSE_FAILURE
    draws = np.asarray(_bits.uniform(getkey(), (1_000_000,)), np.float64)
    assert stats.kstest(draws, "uniform").pvalue > FALSE_FAILURE
    assert draws.min() > 0
    assert draws.max() < 1


def test_extreme_cells_give_finite_normals(monkeypatch, getkey):
    for word in (0, 2**32 - 1):
        monkeypatch.setattr(_bits, "random_uints", lambda *_, word=word: jnp.asarray([word], jnp.uint32))
        assert np.isfinite(_bits.normal(getkey(), (1,))).all()
        assert abs(_bits.normal(getkey(), (1,))[0]) > 5


def test_the_same_distribution_as_keras(getkey):
    """keras draws normal noise of variance rate / (1 - rate) too: the two-sample statistic is within chance."""
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("keras runs on another backend here")
    theirs = keras.layers.GaussianDropout(0.3, seed=0)(jnp.ones(200_000), training=True)
    ours = jaxdrop.gaussian_dropout(getkey(), jnp.ones(200_000), 0.3)
    assert stats.ks_2samp(np.asarray(ours), np.asarray(theirs)).pvalue > FALSE_FAILURE


def test_a_rate_per_channel_and_nan(getkey):
    y = jaxdrop.gaussian_dropout(getkey(), jnp.ones((100_000, 3)), jnp.asarray([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal(y[:, 0], 1)
    np.testing.assert_allclose(y[:, 1].var(), 1, atol=0.05)
    np.testing.assert_array_equal(y[:, 2], 0)
    assert np.isnan(jax.jit(jaxdrop.gaussian_dropout)(getkey(), jnp.ones(3), jnp.nan)).all()


def test_complex_inputs_get_real_noise(getkey):
    key, x = getkey(), jnp.asarray([1 + 2j, -3j, 4])
    noise = jaxdrop.gaussian_dropout(clone(key), jnp.ones(3), 0.3)
    np.testing.assert_allclose(jaxdrop.gaussian_dropout(key, x, 0.3), x * noise.astype(x.dtype), rtol=1e-6)


def test_at_rate_1_nothing_is_left_of_infinity(getkey):
    y = jaxdrop.gaussian_dropout(getkey(), jnp.array([jnp.inf, 1.0]), jnp.array([1.0, 0.0]))
    np.testing.assert_array_equal(y, [0, 1])
