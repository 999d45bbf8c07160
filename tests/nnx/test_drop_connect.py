import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from tests.statistical import assert_mean

DENSE, CONV = jaxdrop.nnx.DropConnectDense, jaxdrop.nnx.DropConnectConv
WINDOW = {"strides": 2, "padding": "VALID", "kernel_dilation": (1, 2), "feature_group_count": 2}


@pytest.fixture(params=["dense", "dense_no_bias", "conv", "conv_options"])
def layers(request):
    """A layer, the plain one of flax with the same parameters, and the shape of an input."""
    rngs = nnx.Rngs(0)
    layer, plain, shape = {
        "dense": lambda: (DENSE(5, 6, 0.3, rngs=rngs), nnx.Linear(5, 6, rngs=rngs), (4, 5)),
        "dense_no_bias": lambda: (
            DENSE(5, 6, 0.3, use_bias=False, rngs=rngs),
            nnx.Linear(5, 6, use_bias=False, rngs=rngs),
            (2, 3, 5),
        ),
        "conv": lambda: (CONV(5, 6, 3, 0.3, rngs=rngs), nnx.Conv(5, 6, 3, rngs=rngs), (4, 7, 5)),
        "conv_options": lambda: (
            CONV(4, 6, (3, 2), 0.3, **WINDOW, rngs=rngs),
            nnx.Conv(4, 6, (3, 2), **WINDOW, rngs=rngs),
            (4, 7, 5, 4),
        ),
    }[request.param]()
    nnx.update(layer, nnx.state(plain, nnx.Param))
    return layer, plain, shape


def test_takes_the_parameters_of_flax(layers, getkey):
    layer, plain, shape = layers
    assert jax.tree.map(jnp.shape, nnx.state(layer, nnx.Param)) == jax.tree.map(jnp.shape, nnx.state(plain, nnx.Param))
    x = jax.random.normal(getkey(), shape)
    noisy = layer(x)
    layer.eval()
    np.testing.assert_allclose(layer(x), 0.7 * plain(x), rtol=1e-3, atol=1e-6)
    layer.train()
    layer.rate = 0.0
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-5, atol=1e-6)
    assert not np.allclose(noisy, plain(x))


def test_is_the_function(layers, getkey):
    layer, plain, shape = layers
    x, key = jax.random.normal(getkey(), shape), getkey()
    bias = None if plain.bias is None else plain.bias[...]
    layer.activation, layer.bits = jnp.tanh, 8
    for mode in ("example", "batch"):
        layer.mode = mode
        options = {"bias": bias, "mode": mode, "bits": 8}
        if isinstance(layer, DENSE):
            expected = jaxdrop.drop_connect_dense(clone(key), x, plain.kernel[...], 0.3, **options)
        else:
            window = WINDOW if plain.feature_group_count == 2 else {}
            expected = jaxdrop.drop_connect_conv(clone(key), x, plain.kernel[...], 0.3, **options, **window)
        np.testing.assert_array_equal(layer(x, rngs=clone(key)), jnp.tanh(expected))


@pytest.mark.thorough
def test_predicts_in_three_ways(getkey):
    x = jax.random.normal(getkey(), (3, 5))
    layer = DENSE(5, 6, 0.5, nnx.relu, num_samples=2000, rngs=nnx.Rngs(0))
    layer.eval()
    kernel, bias = layer.kernel[...], layer.bias[...]
    moments = jaxdrop.drop_connect_dense_moments(x, kernel, 0.5, bias=bias)
    np.testing.assert_array_equal(layer(x), nnx.relu(moments.mean))
    layer.inference = "gaussian"
    gaussian = layer(x)
    np.testing.assert_array_equal(gaussian, jaxdrop.moment_matched_mean(None, moments, jax.nn.relu, None))
    layer.inference = "sampled"
    first, second = layer(x), layer(x)
    assert (first != second).any()
    for sampled in (first, second):
        # A ReLU varies no more than its input.
        assert_mean(sampled[None], gaussian, standard_deviation=np.sqrt(moments.variance / 2000))


def test_prediction_by_samples_needs_a_stream():
    layer = DENSE(3, 2, 0.5, jnp.tanh, inference="sampled", deterministic=True, rngs=nnx.Rngs(0))
    layer.rngs = nnx.data(None)
    with pytest.raises(ValueError, match="`rngs` must be given to the constructor or the call to predict"):
        layer(jnp.ones((1, 3)))
    layer.inference = "gaussian"
    with pytest.raises(ValueError, match="for a closed form, got tanh"):
        layer(jnp.ones((1, 3)))


@pytest.mark.thorough
def test_computes_in_the_given_dtype():
    layer = CONV(3, 2, 3, 0.5, dtype=jnp.bfloat16, param_dtype=jnp.float16, rngs=nnx.Rngs(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(layer, nnx.Param))} == {jnp.dtype(jnp.float16)}
    x = jnp.ones((1, 4, 3))
    assert layer(x).dtype == layer(x, deterministic=True).dtype == jnp.bfloat16


def test_the_sampler_forces_masks_and_not_samples_of_moments(getkey):
    layer = DENSE(5, 6, 0.5, nnx.relu, inference="sampled", rngs=nnx.Rngs(0))
    layer.eval()
    y = jaxdrop.nnx.sampler(layer, jnp.ones((40, 5)))(getkey())
    assert len(np.unique(y, axis=0)) > 30  # prediction would give about the same to all
    assert np.isin(0, y)


def test_refuses():
    with pytest.raises(ValueError, match="inference must be one of 'mean', 'gaussian', 'sampled', got 'median'"):
        DENSE(3, 2, 0.5, inference="median", rngs=nnx.Rngs(0))


@pytest.mark.parametrize("rngs", [None, 0], ids=["no stream", "a stream"])
def test_predicts_by_samples_of_the_key_in_the_call(rngs, getkey):
    options = {"inference": "sampled", "num_samples": 2, "rngs": nnx.Rngs(0)}
    layers = [
        jaxdrop.nnx.DropConnectDense(4, 3, 0.5, jnp.tanh, **options),
        jaxdrop.nnx.DropConnectConv(4, 3, (2,), 0.5, jnp.tanh, **options),
    ]
    x, keys = jnp.ones((2, 5, 4)), jax.random.split(getkey(), 2)
    for layer in layers:
        if rngs is None:
            layer.rngs = nnx.data(None)
            with pytest.raises(ValueError, match="`rngs` must be given to the constructor or the call"):
                layer(x, deterministic=True)
        first, again, other = (layer(x, deterministic=True, rngs=key) for key in (keys[0], keys[0], keys[1]))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
