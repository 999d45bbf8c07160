import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from jaxdrop import variational
from jaxdrop.nnx import VariationalConv, VariationalDense, VariationalEmbed, kl_divergence
from jaxdrop.variational import AdditiveWeights, kl_ard

CONV = {"strides": 2, "padding": "VALID", "feature_group_count": 2}
CASES = {
    "dense": (VariationalDense, nnx.Linear, (4, 3), {}, (5, 4)),
    "conv": (VariationalConv, nnx.Conv, (4, 4, (3, 2)), CONV, (2, 7, 6, 4)),
    "embed": (VariationalEmbed, nnx.Embed, (9, 3), {}, None),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_is_the_function_in_training_and_flax_s_layer_on_pruned_weights_in_prediction(name, getkey):
    kind, plain_kind, args, options, shape = CASES[name]
    layer, plain = kind(*args, **options, rngs=nnx.Rngs(0)), plain_kind(*args, **options, rngs=nnx.Rngs(0))
    x, key = jnp.arange(8).reshape(2, 4) if shape is None else jax.random.normal(getkey(), shape), getkey()
    layer.log_sigma2[...] = 3 * jax.random.normal(getkey(), layer.log_sigma2.shape)
    weights = layer.noisy_weights
    if name == "embed":
        expected = variational.noisy_embed(clone(key), x, weights)
        plain.embedding[...] = variational.pruned(weights)
    else:
        function = variational.noisy_dense if name == "dense" else functools.partial(variational.noisy_conv, **CONV)
        expected = function(clone(key), x, weights, bias=layer.bias[...])
        plain.kernel[...] = variational.pruned(weights)
    np.testing.assert_allclose(layer(x, rngs=key), expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(layer(x), layer(x))
    layer.eval()
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kl_divergence(layer), variational.kl_divergence(weights), rtol=1e-6)


@pytest.mark.thorough
def test_trained_by_the_bound_of_the_whole_model(getkey):
    rngs = nnx.Rngs(0)
    multiplicative = functools.partial(variational.multiplicative_weights, shared="layer")
    model = nnx.Sequential(
        VariationalDense(4, 8, rngs=rngs),
        nnx.tanh,
        nnx.Dropout(0.1, rngs=rngs),
        VariationalDense(8, 1, weights=multiplicative, kl=kl_ard, rngs=rngs),
    )
    first = model.layers[0]
    expected = variational.kl_divergence(AdditiveWeights(first.kernel[...], first.log_sigma2[...]))
    np.testing.assert_allclose(kl_divergence(model), expected + 8 * np.log1p(np.exp(3)) / 2, rtol=1e-5)
    x = jax.random.normal(getkey(), (16, 4))

    @nnx.jit
    def gradients(model):
        return nnx.grad(lambda model: -variational.elbo(-jnp.square(model(x)), kl_divergence(model), 16))(model)

    leaves = jax.tree.leaves(gradients(model))
    assert len(leaves) == 6
    assert all(jnp.isfinite(leaf).all() and jnp.any(leaf != 0) for leaf in leaves)


def test_the_sampler_switches_it_on(getkey):
    model = VariationalDense(4, 3, rngs=nnx.Rngs(0))
    model.eval()
    p = jaxdrop.monte_carlo(jaxdrop.nnx.sampler(model, jnp.ones((2, 4))), getkey(), num_samples=20)
    assert (p.variance > 0).all()


def test_refuses_a_model_without_such_layers():
    with pytest.raises(ValueError, match="model must have a layer with learned noise"):
        kl_divergence(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
