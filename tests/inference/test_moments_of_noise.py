import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop import _masks
from tests.inference.sampled_moments import KERNEL, X, assert_agrees, linear, samples
from tests.methods import METHODS, SHAPE

CLOSED_FORM = [method for method in METHODS if method.variance is not None]


@pytest.mark.parametrize("method", CLOSED_FORM, ids=lambda m: m.name)
def test_noise_has_its_exact_moments(method):
    x = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    p = jaxdrop.moments(lambda key: method.function(key, jnp.asarray(x), 0.25))
    x = x.astype(np.float64)
    np.testing.assert_allclose(p.mean, np.broadcast_to(method.mean(x, 0.25), x.shape), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p.variance, np.broadcast_to(method.variance(x, 0.25), x.shape), rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "method", [m for m in METHODS if m.name in ("drop_connect_dense", "drop_block")], ids=lambda m: m.name
)
def test_noise_without_a_closed_form_agrees_with_samples(method):
    """DropBlock's rescaling depends on the mask, which is neglected: on a large map there is little of it."""
    x = jnp.ones((1, 40, 40, 1) if method.name == "drop_block" else (4, 8))

    def sample(key):
        return method.function(key, x, 0.1)

    p, drawn = jaxdrop.moments(sample), samples(sample, 4000)
    np.testing.assert_allclose(jnp.mean(p.mean), jnp.mean(drawn), rtol=0.01)
    np.testing.assert_allclose(jnp.mean(p.variance), jnp.mean(drawn.var(0)), rtol=0.05)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.3, deterministic=True),
        nn.Dropout(0.3, broadcast_dims=(1,), deterministic=True),
        jaxdrop.linen.Dropout(0.3, deterministic=True),
    ],
    ids=["flax", "flax_broadcast", "jaxdrop"],
)
def test_linen_dropout_is_exact(layer):
    p = jaxdrop.moments(jaxdrop.linen.sampler(layer, {}, X))
    np.testing.assert_allclose(p.mean, X, rtol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 * 0.3 / 0.7, rtol=1e-4)


@pytest.mark.parametrize("layer", [nnx.Dropout, jaxdrop.nnx.Dropout])
def test_nnx_dropout_is_exact(layer):
    p = jaxdrop.moments(jaxdrop.nnx.sampler(layer(0.3, rngs=nnx.Rngs(0)), jnp.asarray(X)))
    np.testing.assert_allclose(p.mean, X, rtol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 * 0.3 / 0.7, rtol=1e-4)


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (jax.random.uniform, 1 / 2, 1 / 12),
        (jax.random.normal, 0, 1),
        (lambda key, shape: 3 - 2 * jax.random.normal(key, shape), 3, 4),
        (lambda key, shape: jax.random.bernoulli(key, 0.3, shape), 0.3, 0.21),
        (jax.random.exponential, 1, 1),
        (jax.random.gumbel, 0.5772157, math.pi**2 / 6),
        (jax.random.laplace, 0, 2),
        (lambda key, shape: jax.random.uniform(key, shape, jnp.bfloat16, -1, 1), 0, 1 / 3),
    ],
    ids=["uniform", "normal", "affine", "bernoulli", "exponential", "gumbel", "laplace", "bfloat16"],
)
def test_distributions_of_jax_random(draw, mean, variance):
    p = jaxdrop.moments(lambda key: draw(key, (3,)))
    np.testing.assert_allclose(p.mean, mean, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(p.variance, variance, rtol=5e-3)


def test_limits_of_uniform_numbers_may_differ():
    p = jaxdrop.moments(lambda key: jax.random.uniform(key, (2,), minval=jnp.array([-1.0, 0.0])))
    np.testing.assert_allclose(p.mean, [0, 0.5], atol=1e-6)
    np.testing.assert_allclose(p.variance, [1 / 3, 1 / 12], rtol=1e-5)


@pytest.mark.parametrize("noise", [jaxdrop.dropout, jaxdrop.gaussian_dropout])
def test_knows_the_noise_in_64_bits(noise):
    with jax.enable_x64(True):
        p = jaxdrop.moments(lambda key: noise(key, jnp.asarray(X), 0.25))
    np.testing.assert_allclose(p.mean, X, rtol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 / 3, rtol=1e-4)


def test_half_precision_is_computed_in_single():
    x = jnp.asarray(X, jnp.bfloat16)
    p = jaxdrop.moments(lambda key: jaxdrop.dropout(key, x, 0.1) @ jnp.asarray(KERNEL, jnp.bfloat16))
    wide = np.asarray(x, np.float32), np.asarray(jnp.asarray(KERNEL, jnp.bfloat16), np.float32)
    assert p.mean.dtype == jnp.float32
    np.testing.assert_allclose(p.mean, wide[0] @ wide[1], rtol=1e-3, atol=1e-4)
    rate = 1 - float(_masks.keep_probability(0.1, bits=16))
    np.testing.assert_allclose(p.variance, wide[0] ** 2 * rate / (1 - rate) @ wide[1] ** 2, rtol=1e-3)


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: (jax.random.bits(key, (3,), jnp.uint8) & 1).astype(jnp.float32),
        lambda key: jax.nn.relu((jax.random.bits(key, (3,)) >> 30).astype(jnp.float32) - 1),
        lambda key: jnp.square((jax.random.bits(key, (3,), jnp.uint8) & 7).astype(jnp.float32)),
    ],
    ids=["one bit", "rectified", "squared"],
)
def test_a_few_bits_are_exact(draw):
    assert_agrees(draw)


def test_knows_of_no_other_mask_of_bits():
    with pytest.raises(NotImplementedError, match="no rule for the primitive 'and'"):
        jaxdrop.moments(lambda key: (jax.random.bits(key, (3,), jnp.uint8) & 4).astype(jnp.float32))


BITS = {
    "narrower": (lambda key: jax.random.bits(key, (3,)).astype(jnp.uint8) < 128, 0.5, 0.25),
    "signed": (lambda key: jax.random.bits(key, (3,)).astype(jnp.int32) < 0, 0.5, 0.25),
    "signed and narrower": (lambda key: jax.random.bits(key, (3,)).astype(jnp.int8), -0.5, (2**16 - 1) / 12),
    "a mask above them": (lambda key: (jax.random.bits(key, (3,)) >> 28) & 255, 7.5, 255 / 12),
    "cut": (lambda key: (10 * jax.random.uniform(key, (3,))).astype(jnp.int32), 4.5, 99 / 12),
    "bernoulli of mode high": (lambda key: jax.random.bernoulli(key, 0.01, (3,), mode="high"), 0.01, 0.0099),
    "one against another": (
        lambda key: jax.random.uniform(key, (3,)) < 0.5 * jax.random.uniform(jax.random.fold_in(key, 1), (3,)),
        0.25,
        0.1875,
    ),
}


@pytest.mark.parametrize("name", BITS)
def test_integers_and_comparisons_of_bits_are_exact(name):
    sample, mean, variance = BITS[name]
    p = jaxdrop.moments(sample)
    np.testing.assert_allclose(p.mean, np.full(3, mean), rtol=1e-3)
    np.testing.assert_allclose(p.variance, np.full(3, variance), rtol=1e-3)


@pytest.mark.parametrize(
    "sample",
    [
        lambda key: jax.random.uniform(key, (3,), minval=-3, maxval=3).astype(jnp.int32),
        lambda key: (2.5 * jax.random.uniform(key, (3,))).astype(jnp.int32),
        lambda key: jax.random.bernoulli(key, 0.5, (3, 4)).astype(jnp.uint8).sum(-1) // 2,
    ],
    ids=["towards zero", "cells of other sizes", "integers divided"],
)
def test_refuses_integers_that_are_not_uniform(sample):
    with pytest.raises(NotImplementedError, match="no rule"):
        jaxdrop.moments(sample)


@pytest.mark.thorough
def test_covariances_count_the_noise_of_decisions_once():
    def above(key):
        first, second = jax.random.split(key)
        return (linear(first, X) > linear(second, X)).astype(jnp.float32)

    def below(key):
        first, second = jax.random.split(key)
        return (jax.random.uniform(first, X.shape) < jax.nn.sigmoid(linear(second, X))).astype(jnp.float32)

    def chosen(key):
        keys = jax.random.split(key, 4)
        return jnp.where(below(keys[0]) > 0.5, 3 + linear(keys[1], X), linear(keys[2], X))

    for sample in (above, below, chosen):
        plain, followed = jaxdrop.moments(sample), jaxdrop.moments(sample, covariance=True)
        np.testing.assert_allclose(followed.variance, plain.variance, rtol=1e-4)
