"""Modules with learned noise on activations are their functions, and have divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from jaxdrop import variational
from jaxdrop.nnx import ConcreteDropout, LogNormalNoise, VariationalDense, VariationalGaussianDropout, kl_divergence
from jaxdrop.variational import LogNormalFactors


@pytest.mark.thorough
def test_concrete_dropout_before_a_grouped_convolution(getkey):
    conv = nnx.Conv(6, 4, (3, 3), feature_group_count=2, rngs=nnx.Rngs(0))
    layer = ConcreteDropout(conv, length_scale=0.5, rate=0.3, temperature=2 / 3, broadcast_dims=(1, 2))
    x, key = jax.random.normal(getkey(), (2, 5, 5, 6)), getkey()
    logit = layer.logit_rate[...]
    np.testing.assert_allclose(logit, variational.logit_rate(0.3))
    dropped = variational.concrete_dropout(clone(key), x, logit, temperature=2 / 3, broadcast_dims=(1, 2))
    np.testing.assert_allclose(layer(x, rngs=key), conv(dropped), rtol=1e-5, atol=1e-6)
    expected = variational.kl_concrete(conv.kernel[...], logit, length_scale=0.5, input_dim=6)
    np.testing.assert_allclose(layer.kl_divergence(), expected, rtol=1e-6)
    layer.eval()
    np.testing.assert_array_equal(layer(x), conv(x))


@pytest.mark.thorough
@pytest.mark.parametrize("shared", ["layer", "neuron"])
def test_variational_gaussian_dropout_counts_every_weight(shared, getkey):
    linear = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    layer = VariationalGaussianDropout(linear, log_alpha=-1.0, shared=shared)
    x, key = jax.random.normal(getkey(), (5, 4)), getkey()
    noisy = variational.gaussian_noise(clone(key), x, layer.log_alpha[...])
    np.testing.assert_allclose(layer(x, rngs=key), linear(noisy), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.kl_divergence(), 12 * variational.kl_kingma(-1.0), rtol=1e-5)


@pytest.mark.thorough
def test_log_normal_noise_zeroes_units_in_prediction(getkey):
    layer, x, key = LogNormalNoise(3), jnp.ones((5, 3)), getkey()
    factors = LogNormalFactors(jnp.array([0.0, -4.0, -1.0]), jnp.array([-5.0, 2.0, -1.0]))
    layer.mu[...], layer.log_sigma[...] = factors
    np.testing.assert_allclose(layer(x, rngs=clone(key)), variational.log_normal_noise(key, x, factors), rtol=1e-6)
    np.testing.assert_allclose(layer.kl_divergence(), variational.kl_log_normal(factors).sum(), rtol=1e-6)
    layer.eval()
    np.testing.assert_allclose(layer(x), variational.log_normal_expectation(x, factors), rtol=1e-6)
    assert (layer(x)[0] == 0).tolist() == [False, True, False]


@pytest.mark.thorough
def test_options(getkey):
    x, key = jax.random.normal(getkey(), (2, 4, 3)), getkey()
    layer = LogNormalNoise(3, broadcast_dims=(1,), threshold=5.0, mu=-1.0, log_sigma=-0.5)
    factors = variational.log_normal_factors(3, -1.0, -0.5)
    jax.tree.map(np.testing.assert_array_equal, layer.factors, factors)
    expected = variational.log_normal_noise(clone(key), x, factors, broadcast_dims=(1,))
    np.testing.assert_allclose(layer(x, rngs=key), expected, rtol=1e-6)
    layer.eval()
    assert not layer(x).any()
    linear = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    gaussian = VariationalGaussianDropout(linear, kl=variational.kl_ard, param_dtype=jnp.float16)
    assert gaussian.log_alpha.dtype == jnp.float16
    np.testing.assert_allclose(gaussian.kl_divergence(), 6 * variational.kl_ard(-3.0), rtol=1e-3)
    gaussian.eval()
    np.testing.assert_array_equal(gaussian(x), linear(x))


@pytest.mark.thorough
def test_a_network_of_all_trains_and_samples(getkey):
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        ConcreteDropout(nnx.Linear(4, 8, rngs=rngs), length_scale=1e-2, rngs=rngs),
        nnx.relu,
        VariationalGaussianDropout(nnx.Linear(8, 8, rngs=rngs), rngs=rngs),
        LogNormalNoise(8, rngs=rngs),
        VariationalDense(8, 1, rngs=rngs),
    )
    x = jax.random.normal(getkey(), (16, 4))
    layers = [model.layers[number] for number in (0, 2, 3, 4)]
    np.testing.assert_allclose(kl_divergence(model), sum(layer.kl_divergence() for layer in layers), rtol=1e-5)

    @nnx.jit
    def gradients(model):
        def loss(model):
            return -variational.elbo(-jnp.square(model(x)[:, 0] - x[:, 0]), kl_divergence(model), 16)

        return nnx.grad(loss)(model)

    assert all((jnp.isfinite(leaf) & (leaf != 0)).any() for leaf in jax.tree.leaves(gradients(model)))
    model.eval()
    p = jaxdrop.monte_carlo(jaxdrop.nnx.sampler(model, x), getkey(), num_samples=20)
    assert (p.variance > 0).all()


def test_a_layer_without_a_kernel_is_refused():
    with pytest.raises(ValueError, match=r"layer must have a parameter 'kernel'.*got LayerNorm"):
        ConcreteDropout(nnx.LayerNorm(3, rngs=nnx.Rngs(0)), length_scale=1.0)
