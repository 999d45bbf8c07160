import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.variational import (
    AdditiveWeights,
    additive_weights,
    gaussian_noise,
    multiplicative_weights,
    noisy_conv,
    noisy_dense,
    noisy_embed,
)
from tests.statistical import assert_independent, assert_moments

SAMPLES = 4000


def some_weights(key, shape):
    first, second = jax.random.split(key)
    return AdditiveWeights(jax.random.normal(first, shape), jax.random.normal(second, shape) - 1)


CONVOLUTIONS = {
    "plain": ((5, 5), (3, 3, 2, 4), {}),
    "strided": ((6, 5), (3, 2, 2, 4), {"strides": (2, 1), "padding": "VALID"}),
    "grouped": ((5, 5), (3, 3, 1, 4), {"feature_group_count": 2}),
    "one axis, dilated": ((7,), (3, 2, 4), {"kernel_dilation": 2, "padding": 1}),
}


def sampled(function, weights, key):
    """Outputs of a layer whose weights are drawn explicitly."""

    def one(key):
        kernel = weights.mean + jnp.sqrt(weights.variance) * jax.random.normal(key, weights.mean.shape)
        return function(kernel)

    return jax.jit(jax.vmap(one))(jax.random.split(key, SAMPLES))


def assert_same_moments(ours, theirs):
    """Means within five standard errors of each other, and so for squares, which the outputs are centred for."""
    for a, b in ((ours, theirs), (np.square(ours - theirs.mean(0)), np.square(theirs - theirs.mean(0)))):
        error = np.sqrt((a.var(0) + b.var(0)) / SAMPLES)
        assert (np.abs(a.mean(0) - b.mean(0)) < 6 * error + 1e-6).all()


@pytest.mark.thorough
def test_dense_has_the_moments_of_sampled_weights(getkey):
    x, weights = jax.random.normal(getkey(), (3, 6)), some_weights(getkey(), (6, 4))
    ours = jax.jit(jax.vmap(lambda key: noisy_dense(key, x, weights)))(jax.random.split(getkey(), SAMPLES))
    assert_same_moments(np.asarray(ours), np.asarray(sampled(lambda kernel: x @ kernel, weights, getkey())))
    assert_moments(ours, x @ weights.mean, np.square(x) @ weights.variance)
    assert_independent(ours[:, 0, 0] > ours[:, 0, 0].mean(), ours[:, 1, 0] > ours[:, 1, 0].mean())


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_have_the_moments_of_sampled_weights(case, getkey):
    spatial, shape, options = CONVOLUTIONS[case]
    x, weights = jax.random.normal(getkey(), (1, *spatial, 2)), some_weights(getkey(), shape)
    ours = jax.jit(jax.vmap(lambda key: noisy_conv(key, x, weights, **options)))(jax.random.split(getkey(), SAMPLES))

    def explicit(kernel):
        padding = options.get("padding", "SAME")
        letters = "HW"[: len(spatial)]
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            options.get("strides", (1,) * len(spatial)),
            [(padding, padding)] * len(spatial) if isinstance(padding, int) else padding,
            rhs_dilation=(options.get("kernel_dilation", 1),) * len(spatial),
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
            feature_group_count=options.get("feature_group_count", 1),
        )

    assert_same_moments(np.asarray(ours), np.asarray(sampled(explicit, weights, getkey())))


def test_embedding_is_dense_on_one_hot_vectors(getkey):
    weights, tokens = some_weights(getkey(), (5, 3)), jnp.array([[3, 1], [3, 3]])
    key = getkey()
    looked_up = noisy_embed(jax.random.clone(key), tokens, weights)
    np.testing.assert_allclose(looked_up, noisy_dense(key, jax.nn.one_hot(tokens, 5), weights), rtol=1e-5)
    assert not np.allclose(looked_up[1, 0], looked_up[1, 1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype_bias_and_cold_start(dtype, getkey):
    """Means of zero and inputs of zero: finite values and gradients, and the dtype of the inputs."""
    x = jnp.ones((2, 4), dtype).at[0].set(0)
    weights = additive_weights(jnp.zeros((4, 3), dtype))

    def loss(weights, bias, key):
        y = noisy_dense(key, x, weights, bias=bias)
        assert y.dtype == dtype
        return jnp.square(y.astype("float32")).sum(), y

    gradients, y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(weights, jnp.ones(3, dtype), getkey())
    np.testing.assert_array_equal(y[0], np.ones(3))
    assert not np.allclose(y[1].astype("float32"), 1)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.thorough
def test_gradients_are_those_of_the_formula_and_the_noise_is_drawn_again(getkey):
    x, weights, key = jax.random.normal(getkey(), (3, 6)), some_weights(getkey(), (6, 4)), getkey()
    noise = (noisy_dense(jax.random.clone(key), x, weights) - x @ weights.mean) / jnp.sqrt(
        jnp.square(x) @ weights.variance
    )

    def ours(x, weights):
        return jnp.sin(noisy_dense(jax.random.clone(key), x, weights)).sum()

    def formula(x, weights):
        return jnp.sin(x @ weights.theta + jnp.sqrt(jnp.square(x) @ jnp.exp(weights.log_sigma2)) * noise).sum()

    for a, b in zip(
        jax.tree.leaves(jax.jit(jax.grad(ours, (0, 1)))(x, weights)),
        jax.tree.leaves(jax.grad(formula, (0, 1))(x, weights)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_threshold_removes_means_and_leaves_the_noise(getkey):
    weights = AdditiveWeights(jnp.ones((2, 1)), jnp.array([[-4.0], [4.0]]))
    draw = jax.jit(jax.vmap(lambda key: noisy_dense(key, jnp.ones((1, 2)), weights, threshold=3.0)))
    y = draw(jax.random.split(getkey(), 100_000))[:, 0, 0]
    assert_moments(y[:, None], 1.0, np.exp(-4) + np.exp(4))


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(), (8,), (5, 1)])
def test_gaussian_noise_is_multiplicative_of_the_stated_variance_and_learns_it(shape, getkey):
    x = jnp.full((5, 8), 3.0)
    log_alpha = jnp.full(shape, -1.0)
    y = jax.jit(jax.vmap(lambda key: gaussian_noise(key, x, log_alpha)))(jax.random.split(getkey(), SAMPLES))
    assert_moments(y, 3.0, 9 * np.exp(-1))
    key = getkey()
    slope = jax.grad(lambda value: gaussian_noise(jax.random.clone(key), x, value).sum())(log_alpha)
    noise = (gaussian_noise(jax.random.clone(key), x, log_alpha) - x) / 2
    reduced = [axis for axis in range(2) if len(shape) < 2 - axis or shape[axis - 2] == 1]
    np.testing.assert_allclose(slope, noise.sum(tuple(reduced), keepdims=len(shape) == 2), rtol=1e-4, atol=1e-4)
    above = [gaussian_noise(jax.random.clone(key), x, log_alpha + step) for step in (1.0, 3.0)]
    np.testing.assert_array_equal(*above)


@pytest.mark.thorough
def test_the_same_eagerly_under_jit_and_in_any_chunk(getkey):
    x, weights, key = jnp.ones((4, 6)), multiplicative_weights(jnp.ones((6, 3))), getkey()
    draw = functools.partial(noisy_dense, x=x, weights=weights)
    np.testing.assert_allclose(draw(jax.random.clone(key)), jax.jit(draw)(jax.random.clone(key)), rtol=1e-6)
    keys = jax.random.split(key, 6)
    whole = jax.vmap(draw)(keys)
    # The products are rounded differently, the noise is the same.
    np.testing.assert_allclose(jax.lax.map(draw, jax.random.clone(keys), batch_size=2), whole, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda key, w: noisy_dense(key, jnp.ones((2, 5)), w), ValueError, r"kernel must be \(..., in / groups, out\)"),
        (lambda key, w: noisy_dense(key, jnp.ones((2, 4), int), w), TypeError, "x must be floating point"),
        (lambda key, w: noisy_dense(None, jnp.ones((2, 4)), w), TypeError, "key must be"),
        (lambda key, w: noisy_dense(key, jnp.ones((2, 4)), w, bias=jnp.ones(2)), ValueError, "bias must have shape"),
        (lambda key, w: noisy_embed(key, jnp.ones(2), w), TypeError, "tokens must be"),
        (lambda key, w: noisy_conv(key, jnp.ones((2, 5, 4)), w), ValueError, "kernel must have 3 or 4 or 5 axes"),
        (lambda key, w: gaussian_noise(key, jnp.ones(2), jnp.ones(3)), ValueError, "log_alpha must broadcast"),
    ],
)
def test_refuses(call, error, message, getkey):
    with pytest.raises(error, match=message):
        call(getkey(), additive_weights(jnp.ones((4, 3))))


def test_variances_leave_neither_end_of_float16(getkey):
    x, theta = jnp.full((2, 4), 300, jnp.float16), jnp.ones((4, 3), jnp.float16)
    draw = jax.jit(jax.vmap(lambda key: noisy_dense(key, x, additive_weights(theta, -2.0))))
    draws = np.asarray(draw(jax.random.split(getkey(), 2000)), np.float64)
    assert_moments(draws, np.full((2, 3), 1200.0), np.full((2, 3), 4 * 300**2 * np.exp(-2)))
    small = noisy_dense(getkey(), jnp.full((2, 4), 300, jnp.float32), additive_weights(theta, -19.0))
    assert len(np.unique(small)) > 1


def test_noise_that_is_nan_shows(getkey):
    nan = jnp.full((4, 3), jnp.nan)
    assert np.isnan(noisy_dense(getkey(), jnp.ones((1, 4)), AdditiveWeights(jnp.ones((4, 3)), nan))).all()
    assert np.isnan(gaussian_noise(getkey(), jnp.ones(3), jnp.nan)).all()
