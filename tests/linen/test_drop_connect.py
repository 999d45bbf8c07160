import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_mean

LAYERS = [
    (jaxdrop.linen.DropConnectDense(6, 0.3), nn.Dense(6), (4, 5)),
    (jaxdrop.linen.DropConnectDense(6, 0.3, use_bias=False), nn.Dense(6, use_bias=False), (2, 3, 5)),
    (jaxdrop.linen.DropConnectConv(6, 3, 0.3), nn.Conv(6, 3), (4, 7, 5)),
    (
        jaxdrop.linen.DropConnectConv(
            6, (3, 2), 0.3, strides=2, padding="VALID", kernel_dilation=(1, 2), feature_group_count=2, use_bias=False
        ),
        nn.Conv(6, (3, 2), strides=2, padding="VALID", kernel_dilation=(1, 2), feature_group_count=2, use_bias=False),
        (4, 7, 5, 4),
    ),
]


@pytest.fixture(params=LAYERS, ids=lambda layer: f"{type(layer[0]).__name__}{layer[2]}")
def layer_and_plain(request, getkey):
    layer, plain, shape = request.param
    x = jax.random.normal(getkey(), shape)
    variables = plain.init(getkey(), x)
    return layer, plain, variables, x


def test_takes_the_parameters_of_flax(layer_and_plain, getkey):
    layer, plain, variables, x = layer_and_plain
    ours = layer.init(getkey(), x, deterministic=True)
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, variables)
    np.testing.assert_allclose(
        layer.apply(variables, x, deterministic=True), 0.7 * plain.apply(variables, x), rtol=1e-3, atol=1e-6
    )
    kept = layer.copy(rate=0.0).apply(variables, x, deterministic=False)
    np.testing.assert_allclose(kept, plain.apply(variables, x), rtol=1e-5, atol=1e-6)
    assert not np.allclose(layer.apply(variables, x, deterministic=False, rng=getkey()), kept)


def function_and_moments(layer, variables):
    """The functions that the layer wraps, of a key and inputs, and of inputs."""
    kernel, options = variables["params"]["kernel"], {"bias": variables["params"].get("bias")}
    if isinstance(layer, jaxdrop.linen.DropConnectDense):
        function, moments = jaxdrop.drop_connect_dense, jaxdrop.drop_connect_dense_moments
    else:
        function, moments = jaxdrop.drop_connect_conv, jaxdrop.drop_connect_conv_moments
        for name in ("strides", "padding", "kernel_dilation", "feature_group_count"):
            options[name] = getattr(layer, name)
    return (
        lambda key, x, **more: function(key, x, kernel, layer.rate, **options, **more),
        lambda x: moments(x, kernel, layer.rate, **options),
    )


def test_is_the_function(layer_and_plain, getkey):
    layer, _, variables, x = layer_and_plain
    key = getkey()
    function, _ = function_and_moments(layer, variables)
    for mode in ("example", "batch"):
        y = layer.copy(mode=mode, bits=8, activation=jnp.tanh).apply(variables, x, deterministic=False, rng=clone(key))
        np.testing.assert_array_equal(y, jnp.tanh(function(clone(key), x, mode=mode, bits=8)))


@pytest.mark.thorough
def test_predicts_in_three_ways(layer_and_plain, getkey):
    layer, _, variables, x = layer_and_plain
    moments = function_and_moments(layer, variables)[1](x)

    def predict(rngs=None, **fields):
        return layer.copy(activation=nn.relu, **fields).apply(variables, x, deterministic=True, rngs=rngs)

    np.testing.assert_array_equal(predict(), nn.relu(moments.mean))
    gaussian = predict(inference="gaussian")
    np.testing.assert_array_equal(gaussian, jaxdrop.moment_matched_mean(None, moments, jax.nn.relu, None))
    sampled = predict({"dropout": getkey()}, inference="sampled", num_samples=2000)
    assert (sampled != gaussian).any()
    # A ReLU varies no more than its input.
    assert_mean(sampled[None], gaussian, standard_deviation=np.sqrt(moments.variance / 2000))


def test_prediction_by_samples_needs_a_stream():
    layer = jaxdrop.linen.DropConnectDense(2, 0.5, jnp.tanh, inference="sampled", deterministic=True)
    variables = {"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
    with pytest.raises(Exception, match="dropout"):
        layer.apply(variables, jnp.ones((1, 3)))
    with pytest.raises(ValueError, match="for a closed form, got tanh"):
        layer.copy(inference="gaussian").apply(variables, jnp.ones((1, 3)))


@pytest.mark.thorough
def test_computes_in_the_given_dtype(getkey):
    layer = jaxdrop.linen.DropConnectDense(2, 0.5, dtype=jnp.bfloat16, param_dtype=jnp.float16)
    x = jnp.ones((1, 3))
    variables = layer.init(getkey(), x, deterministic=True)
    assert jax.tree.leaves(jax.tree.map(lambda leaf: leaf.dtype, variables)) == [jnp.float16, jnp.float16]
    for deterministic in (True, False):
        y = layer.apply(variables, x, deterministic=deterministic, rngs={"dropout": getkey()})
        assert y.dtype == jnp.bfloat16


@pytest.mark.thorough
def test_the_sampler_forces_masks_and_not_samples_of_moments(getkey):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = jaxdrop.linen.DropConnectConv(4, 3, 0.5, nn.relu, inference="gaussian")(x, deterministic=not train)
            return jaxdrop.linen.DropConnectDense(2, 0.5, nn.relu, inference="sampled")(x.mean(1), not train)

    model, x = Model(), jax.random.normal(getkey(), (3, 6, 2))
    variables = model.init(getkey(), x, train=True)
    key = getkey()
    y = jaxdrop.linen.sampler(model, variables, x)(clone(key))
    np.testing.assert_allclose(y, model.apply(variables, x, train=True, rngs={"dropout": key}), rtol=1e-6)


@pytest.mark.parametrize("layer", [jaxdrop.linen.DropConnectDense(2, 0.5), jaxdrop.linen.DropConnectConv(2, 3, 0.5)])
def test_refuses(layer, getkey):
    x = jnp.ones((1, 3, 3))
    for deterministic in (True, False):
        with pytest.raises(ValueError, match="inference must be one of 'mean', 'gaussian', 'sampled', got 'median'"):
            layer.copy(inference="median").init(getkey(), x, deterministic)
    with pytest.raises(ValueError, match="deterministic"):
        layer.init(getkey(), x)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "layer",
    [
        jaxdrop.linen.DropConnectDense(3, 0.5, jnp.tanh, inference="sampled", num_samples=2),
        jaxdrop.linen.DropConnectConv(3, 2, 0.5, jnp.tanh, inference="sampled", num_samples=2),
    ],
    ids=["dense", "conv"],
)
def test_predicts_by_samples_of_the_key_in_the_call(layer, getkey):
    x, keys = jnp.ones((2, 5, 4)), jax.random.split(getkey(), 2)
    variables = layer.init({"params": getkey(), "dropout": getkey()}, x, deterministic=True)
    predict = functools.partial(layer.apply, variables, x, deterministic=True)
    first, again, other = (predict(rng=key) for key in (clone(keys[0]), clone(keys[0]), keys[1]))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(predict(rngs={"dropout": getkey()}), first)
