import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.random import clone

import jaxdrop
from jaxdrop import variational
from jaxdrop.linen import VariationalConv, VariationalDense, VariationalEmbed, kl_divergence
from jaxdrop.variational import AdditiveWeights, kl_ard

CONV = {"strides": 2, "padding": "VALID", "feature_group_count": 2}
CASES = {
    "dense": (VariationalDense(3), nn.Dense(3), (5, 4), variational.noisy_dense),
    "conv": (
        VariationalConv(4, (3, 2), **CONV),
        nn.Conv(4, (3, 2), **CONV),
        (2, 7, 6, 4),
        functools.partial(variational.noisy_conv, **CONV),
    ),
    "embed": (VariationalEmbed(9, 3), nn.Embed(9, 3), None, None),
}


def noisy(variables, key):
    """The same variables with other noise, so that some weights are above the threshold."""
    params = variables["params"]
    log_sigma2 = 3 * jax.random.normal(key, params["log_sigma2"].shape)
    return {"params": {**params, "log_sigma2": log_sigma2}}


def inputs(shape, key):
    return jnp.arange(8).reshape(2, 4) if shape is None else jax.random.normal(key, shape)


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_is_the_function_in_training_and_flax_s_layer_on_pruned_weights_in_prediction(name, getkey):
    layer, plain, shape, function = CASES[name]
    x, key = inputs(shape, getkey()), getkey()
    variables = noisy(layer.init(getkey(), x, deterministic=True), getkey())
    table = "embedding" if name == "embed" else "kernel"
    weights = AdditiveWeights(variables["params"][table], variables["params"]["log_sigma2"])
    expected_params = {table: variational.pruned(weights)}
    assert 0 < jnp.mean(expected_params[table] == 0) < 1
    if name == "embed":
        expected = variational.noisy_embed(clone(key), x, weights)
    else:
        expected_params["bias"] = variables["params"]["bias"]
        expected = function(clone(key), x, weights, bias=variables["params"]["bias"])
    assert set(plain.init(getkey(), x)["params"]) | {"log_sigma2"} == set(variables["params"])
    np.testing.assert_allclose(layer.apply(variables, x, deterministic=False, rng=key), expected, rtol=1e-5, atol=1e-6)
    predicted = layer.apply(variables, x, deterministic=True)
    np.testing.assert_allclose(predicted, plain.apply({"params": expected_params}, x), rtol=1e-5, atol=1e-6)
    _, state = layer.apply(variables, x, deterministic=True, mutable=["kl_divergence"])
    np.testing.assert_allclose(kl_divergence(state), variational.kl_divergence(weights), rtol=1e-6)


class Twice(nn.Module):
    """A layer that is called twice, and another with other noise and prior."""

    @nn.compact
    def __call__(self, x, train=False):
        shared = VariationalDense(4, deterministic=not train, name="shared")
        x = nn.tanh(shared(nn.tanh(shared(x))))
        weights = functools.partial(variational.multiplicative_weights, shared="layer")
        return VariationalDense(2, weights, kl_ard, threshold=None, deterministic=not train, name="last")(x)


@pytest.mark.thorough
def test_the_divergence_of_a_model_counts_each_weight_once(getkey):
    model, x = Twice(), jnp.ones((3, 4))
    variables = model.init(getkey(), x)
    assert set(variables) == {"params"}
    assert variables["params"]["last"]["log_rate"].shape == ()
    _, state = model.apply(variables, x, True, rngs={"dropout": getkey()}, mutable=["kl_divergence"])
    shared = variables["params"]["shared"]
    expected = variational.kl_divergence(AdditiveWeights(shared["kernel"], shared["log_sigma2"]))
    np.testing.assert_allclose(kl_divergence(state), expected + 8 * np.log1p(np.exp(3)) / 2, rtol=1e-5)
    with pytest.raises(ValueError, match="state must hold the collection 'kl_divergence'"):
        kl_divergence(variables)


@pytest.mark.thorough
def test_threshold_in_training_only_if_asked(getkey):
    x, key = jnp.ones((1, 4)), getkey()
    variables = noisy(VariationalDense(3).init(getkey(), x, deterministic=True), getkey())
    weights = AdditiveWeights(variables["params"]["kernel"], variables["params"]["log_sigma2"])
    for threshold_means, threshold in ((False, None), (True, 3.0)):
        layer = VariationalDense(3, threshold_means=threshold_means, deterministic=False)
        expected = variational.noisy_dense(clone(key), x, weights, threshold=threshold)
        np.testing.assert_allclose(layer.apply(variables, x, rng=clone(key)), expected, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_trains_from_a_cold_start_and_compiles_once(dtype, getkey):
    """Means of zero: the bound rises, and everything stays finite."""
    layer = VariationalDense(1, dtype=dtype, kernel_init=nn.initializers.zeros_init(), deterministic=False)
    x = jax.random.normal(getkey(), (64, 8))
    y = x[:, :1] - 2 * x[:, 1:2]
    params = layer.init({"params": getkey(), "dropout": getkey()}, x)["params"]
    optimizer, traces = optax.adam(0.05), []

    @jax.jit
    def step(params, state, key, weight):
        traces.append(None)

        def loss(params):
            out, state = layer.apply({"params": params}, x, rngs={"dropout": key}, mutable=["kl_divergence"])
            log_likelihood = -50 * jnp.square(out.astype("float32") - y)
            return -variational.elbo(log_likelihood, kl_divergence(state), 64, weight)

        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state, values = optimizer.init(params), []
    weight = variational.kl_warm_up(50, 100)
    for number, key in enumerate(jax.random.split(getkey(), 300)):
        params, state, value = step(params, state, key, weight(number))
        values.append(value)
    assert len(traces) == 1
    assert np.isfinite(values).all()
    assert np.mean(values[-20:]) < np.mean(values[:20]) / 10
    alive = variational.pruned(AdditiveWeights(params["kernel"], params["log_sigma2"]))[:, 0] != 0
    assert alive[:2].all()
    assert alive[2:].sum() < 6


@pytest.mark.thorough
def test_the_sampler_switches_it_on(getkey):
    model, x = Twice(), jnp.ones((3, 4))
    variables = model.init(getkey(), x)
    p = jaxdrop.monte_carlo(jaxdrop.linen.sampler(model, variables, x, train=False), getkey(), num_samples=20)
    assert (p.variance > 0).all()


def test_divergence_of_a_model_in_float64():
    with jax.enable_x64(True):
        layer, x = jaxdrop.linen.LogNormalNoise(param_dtype=jnp.float64, deterministic=True), jnp.ones((2, 4))
        _, state = layer.apply(layer.init(jax.random.key(0), x), x, mutable=["kl_divergence"])
        assert kl_divergence(state).dtype == jnp.float64
