import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.errors import InvalidRngError
from jax.random import clone
from scipy import stats

import jaxdrop
from tests.statistical import FALSE_FAILURE, assert_mean


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_noise_is_uniform_between_plus_and_minus_beta(beta, getkey):
    """The whole distribution, by Kolmogorov and Smirnov: a largest gap of 0.0027 would be seen."""
    y = np.asarray(jaxdrop.uniform_dropout(getkey(), jnp.ones(1_000_000), beta), np.float64)
    assert stats.kstest(y, "uniform", (1 - beta, 2 * beta)).pvalue > FALSE_FAILURE
    assert np.abs(y - 1).max() <= np.float32(beta) + 1e-6


@pytest.mark.parametrize(("beta", "ratio"), [(0.1, 0.99667774), (1.0, 0.75)])
def test_variance_shift_of_centred_inputs(beta, ratio, getkey):
    """Of prediction to training, as the paper measures dropout's disharmony with batch normalisation."""
    x = jnp.where(jax.random.bernoulli(getkey(), shape=(1_000_000,)), 1.0, -1.0)  # mean 0, variance 1
    assert_mean(np.square(jaxdrop.uniform_dropout(getkey(), x, beta)), 1 / ratio)


def test_zero_reads_no_key_and_one_does():
    x = jnp.ones(3)
    assert jaxdrop.uniform_dropout(None, x, 0) is x
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        jaxdrop.uniform_dropout(None, x, 1)
    np.testing.assert_array_equal(jaxdrop.linen.UniformDropout(0.0).apply({}, x, deterministic=False), x)
    np.testing.assert_array_equal(jaxdrop.nnx.UniformDropout(0.0)(x), x)


def test_modules_ask_for_a_key_at_beta_1():
    """A rate of 1 needs none, so that a layer which takes beta for a rate would not ask."""
    with pytest.raises(InvalidRngError, match="dropout"):
        jaxdrop.linen.UniformDropout(1.0).apply({}, jnp.ones(3), deterministic=False)
    with pytest.raises(ValueError, match="no `rngs` argument was provided to UniformDropout"):
        jaxdrop.nnx.UniformDropout(1.0)(jnp.ones(3))
    assert len(np.unique(jaxdrop.nnx.UniformDropout(1.0, rngs=nnx.Rngs(0))(jnp.ones(30)))) == 30


def test_a_beta_per_channel_clipping_and_nan(getkey):
    y = jaxdrop.uniform_dropout(getkey(), jnp.ones((100_000, 3)), jnp.asarray([0.0, 0.5, 2.0]))
    np.testing.assert_array_equal(y[:, 0], 1)
    assert 0.499 < np.abs(y[:, 1] - 1).max() <= 0.5
    assert 0.999 < np.abs(y[:, 2] - 1).max() <= 1
    assert np.isnan(jax.jit(jaxdrop.uniform_dropout)(getkey(), jnp.ones(3), jnp.nan)).all()


def test_complex_inputs_get_real_noise(getkey):
    key, x = getkey(), jnp.asarray([1 + 2j, -3j, 4])
    noise = jaxdrop.uniform_dropout(clone(key), jnp.ones(3), 0.3)
    np.testing.assert_allclose(jaxdrop.uniform_dropout(key, x, 0.3), x * noise.astype(x.dtype), rtol=1e-6)
