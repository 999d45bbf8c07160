"""Modules with learned noise on activations are their functions, and leave their divergences."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from jaxdrop import variational
from jaxdrop.linen import ConcreteDropout, LogNormalNoise, VariationalGaussianDropout, kl_divergence
from jaxdrop.variational import LogNormalFactors


def left_by(layer, variables, x, **kwargs):
    return layer.apply(variables, x, mutable=["kl_divergence"], **kwargs)


@pytest.mark.thorough
def test_concrete_dropout_before_a_grouped_convolution(getkey):
    layer = ConcreteDropout(
        nn.Conv(4, (3, 3), feature_group_count=2), 0.5, rate=0.3, temperature=2 / 3, broadcast_dims=(1, 2)
    )
    x, key = jax.random.normal(getkey(), (2, 5, 5, 6)), getkey()
    variables = layer.init(getkey(), x, deterministic=True)
    assert set(variables) == {"params"}
    logit, plain = variables["params"]["logit_rate"], {"params": variables["params"]["layer"]}
    np.testing.assert_allclose(logit, variational.logit_rate(0.3))
    dropped = variational.concrete_dropout(clone(key), x, logit, temperature=2 / 3, broadcast_dims=(1, 2))
    y, state = left_by(layer, variables, x, deterministic=False, rng=key)
    np.testing.assert_allclose(y, layer.layer.apply(plain, dropped), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.apply(variables, x, deterministic=True), layer.layer.apply(plain, x))
    kernel = plain["params"]["kernel"]
    expected = variational.kl_concrete(kernel, logit, length_scale=0.5, input_dim=6)
    np.testing.assert_allclose(kl_divergence(state), expected, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("shared", ["layer", "neuron"])
def test_variational_gaussian_dropout_counts_every_weight(shared, getkey):
    layer = VariationalGaussianDropout(nn.Dense(3), log_alpha=-1.0, shared=shared)
    x, key = jax.random.normal(getkey(), (5, 4)), getkey()
    variables = layer.init(getkey(), x, deterministic=True)
    rates, plain = variables["params"]["log_alpha"], {"params": variables["params"]["layer"]}
    assert rates.shape == (() if shared == "layer" else (4,))
    y, state = left_by(layer, variables, x, deterministic=False, rng=clone(key))
    noisy = variational.gaussian_noise(key, x, rates)
    np.testing.assert_allclose(y, layer.layer.apply(plain, noisy), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.apply(variables, x, deterministic=True), layer.layer.apply(plain, x))
    np.testing.assert_allclose(kl_divergence(state), 12 * variational.kl_kingma(-1.0), rtol=1e-5)


@pytest.mark.thorough
def test_log_normal_noise_zeroes_units_in_prediction(getkey):
    layer, x, key = LogNormalNoise(), jnp.ones((5, 3)), getkey()
    factors = LogNormalFactors(jnp.array([0.0, -4.0, -1.0]), jnp.array([-5.0, 2.0, -1.0]))
    assert jax.tree.map(jnp.shape, layer.init(getkey(), x, deterministic=True)["params"]) == {
        "mu": (3,),
        "log_sigma": (3,),
    }
    variables = {"params": factors._asdict()}
    y, state = left_by(layer, variables, x, deterministic=False, rng=clone(key))
    np.testing.assert_allclose(y, variational.log_normal_noise(key, x, factors), rtol=1e-6)
    np.testing.assert_allclose(kl_divergence(state), variational.kl_log_normal(factors).sum(), rtol=1e-6)
    predicted = layer.apply(variables, x, deterministic=True)
    np.testing.assert_allclose(predicted, variational.log_normal_expectation(x, factors), rtol=1e-6)
    assert (predicted[0] == 0).tolist() == [False, True, False]


@pytest.mark.thorough
def test_options(getkey):
    x, key = jax.random.normal(getkey(), (2, 4, 3)), getkey()
    layer = LogNormalNoise(broadcast_dims=(1,), threshold=5.0, mu=-1.0, log_sigma=-0.5)
    variables = layer.init(getkey(), x, deterministic=True)
    factors = variational.log_normal_factors(3, -1.0, -0.5)
    jax.tree.map(np.testing.assert_array_equal, dict(variables["params"]), factors._asdict())
    expected = variational.log_normal_noise(clone(key), x, factors, broadcast_dims=(1,))
    np.testing.assert_allclose(layer.apply(variables, x, deterministic=False, rng=key), expected, rtol=1e-6)
    assert not layer.apply(variables, x, deterministic=True).any()
    gaussian = VariationalGaussianDropout(nn.Dense(2), kl=variational.kl_ard, param_dtype=jnp.float16)
    variables = gaussian.init(getkey(), x, deterministic=True)
    assert variables["params"]["log_alpha"].dtype == jnp.float16
    _, state = left_by(gaussian, variables, x, deterministic=True)
    np.testing.assert_allclose(kl_divergence(state), 6 * variational.kl_ard(-3.0), rtol=1e-3)


class AllThree(nn.Module):
    """A network with every learned noise on activations, and one on weights."""

    @nn.compact
    def __call__(self, x, train=False):
        quiet = not train
        x = nn.relu(ConcreteDropout(nn.Dense(8), 1e-2, deterministic=quiet)(x))
        x = nn.relu(VariationalGaussianDropout(nn.Dense(8), deterministic=quiet)(x))
        x = LogNormalNoise(deterministic=quiet)(x)
        return jaxdrop.linen.VariationalDense(1, deterministic=quiet)(x)


@pytest.mark.thorough
def test_a_network_of_all_trains_and_samples(getkey):
    model, x = AllThree(), jax.random.normal(getkey(), (16, 4))
    variables = model.init(getkey(), x)

    def loss(params, key):
        y, state = left_by(model, {"params": params}, x, train=True, rngs={"dropout": key})
        return -variational.elbo(-jnp.square(y[:, 0] - x[:, 0]), kl_divergence(state), 16)

    gradients = jax.jit(jax.grad(loss))(variables["params"], getkey())
    assert all((jnp.isfinite(leaf) & (leaf != 0)).any() for leaf in jax.tree.leaves(gradients))
    _, state = left_by(model, variables, x)
    parts = jax.tree.leaves(state["kl_divergence"])
    assert len(parts) == 4
    np.testing.assert_allclose(kl_divergence(state), sum(parts), rtol=1e-5)
    p = jaxdrop.monte_carlo(jaxdrop.linen.sampler(model, variables, x), getkey(), num_samples=20)
    assert (p.variance > 0).all()


def test_a_layer_without_a_kernel_is_refused(getkey):
    with pytest.raises(ValueError, match=r"layer must have a parameter 'kernel'.*got LayerNorm"):
        ConcreteDropout(nn.LayerNorm(), 1.0).init(getkey(), jnp.ones((2, 3)), deterministic=True)
