import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone
from jax.sharding import PartitionSpec as P
from scipy import integrate, stats

import jaxdrop
from tests.functional.drop_connect_masks import normals
from tests.statistical import assert_mean, assert_moments

MOMENTS = jaxdrop.DropConnectMoments(
    jnp.asarray([-1.0, -0.5, 0.0, 0.7, 2.0, 40.0]), jnp.asarray([0.5, 2.0, 1.0, 0.1, 9.0, 4.0])
)


def by_quadrature(activation, mean, variance):
    """E activation(u) for u ~ N(mean, variance), entry by entry."""

    def one(mean, variance):
        normal = stats.norm(mean, variance**0.5)
        return integrate.quad(lambda u: activation(u) * normal.pdf(u), *normal.interval(1 - 1e-14), points=[0.0])[0]

    return np.vectorize(one)(np.asarray(mean, np.float64), np.asarray(variance, np.float64))


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("with_bias", [False, True])
def test_are_those_of_the_dense_layer(rate, with_bias, getkey):
    x, kernel, bias = normals(getkey(), (2, 5), (5, 3), (3,))
    bias = bias if with_bias else None
    many = jnp.broadcast_to(x, (4000, 2, 5))
    draws = jaxdrop.drop_connect_dense(getkey(), many, kernel, rate, bias=bias)
    assert_moments(draws, *jaxdrop.drop_connect_dense_moments(x, kernel, rate, bias=bias))


def test_are_those_of_the_convolution(getkey):
    x, kernel, bias = normals(getkey(), (2, 6, 5, 4), (3, 2, 2, 4), (4,))
    options = {"strides": (2, 1), "padding": ((1, 0), (1, 1)), "kernel_dilation": (1, 2), "feature_group_count": 2}
    many = jnp.broadcast_to(x, (2000, *x.shape))
    draws = jaxdrop.drop_connect_conv(getkey(), many, kernel, 0.3, bias=bias, **options)
    assert_moments(draws, *jaxdrop.drop_connect_conv_moments(x, kernel, 0.3, bias=bias, **options))


def test_are_the_formulas(getkey):
    x, kernel, bias = (np.asarray(array, np.float64) for array in normals(getkey(), (4, 5), (5, 3), (3,)))
    rate = np.float64(np.round(0.3 * 2**16) / 2**16)
    with jax.enable_x64(True):
        for given in (float(rate), jnp.asarray(rate, jnp.float32)):
            mean, variance = jaxdrop.drop_connect_dense_moments(x, kernel, given, bias=bias)
            assert mean.dtype == variance.dtype == np.float64
            np.testing.assert_allclose(mean, (1 - rate) * (x @ kernel + bias), rtol=1e-12)
            np.testing.assert_allclose(variance, rate * (1 - rate) * (x**2 @ kernel**2 + bias**2), rtol=1e-12)


def test_use_the_rounded_rate():
    x, kernel = jnp.ones((1, 1)), jnp.ones((1, 1))
    mean, variance = jaxdrop.drop_connect_dense_moments(x, kernel, 0.3, bits=2)
    assert (mean.item(), variance.item()) == (0.75, 0.1875)


def test_no_gradient_flows_into_the_rate():
    moments = jax.jacobian(lambda rate: jaxdrop.drop_connect_dense_moments(jnp.ones((1, 2)), jnp.ones((2, 1)), rate))
    assert jax.tree.all(jax.tree.map(lambda leaf: (leaf == 0).all(), moments(0.3 * jnp.ones(()))))


def test_mean_of_relu_is_that_by_quadrature():
    exact = by_quadrature(lambda u: max(u, 0.0), *MOMENTS)
    closed = jaxdrop.moment_matched_mean(None, MOMENTS, jax.nn.relu, None)
    np.testing.assert_allclose(closed, exact, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(jaxdrop.moment_matched_mean(None, MOMENTS, None, None), MOMENTS.mean)


@pytest.mark.parametrize(
    ("activation", "reference"),
    [(jax.nn.relu, lambda u: max(u, 0.0)), (jnp.tanh, np.tanh), (None, lambda u: u), (jnp.square, np.square)],
)
def test_samples_have_the_mean_by_quadrature(activation, reference, getkey):
    predict = jax.jit(functools.partial(jaxdrop.moment_matched_mean, activation=activation, num_samples=7))
    estimates = jax.vmap(predict, (0, None))(jax.random.split(getkey(), 3000), MOMENTS)
    assert_mean(estimates, by_quadrature(reference, *MOMENTS))


@pytest.mark.parametrize("num_samples", [1, 2, 50])
def test_averages_as_many_independent_samples(num_samples, getkey):
    moments = jaxdrop.DropConnectMoments(jnp.zeros(4000), jnp.full(4000, 2.0))
    mean = jaxdrop.moment_matched_mean(getkey(), moments, None, num_samples)
    assert_moments(mean, 0.0, 2.0 / num_samples)


def test_an_activation_may_change_the_shape(getkey):
    mean = jaxdrop.moment_matched_mean(getkey(), MOMENTS, lambda u: jnp.stack([jnp.max(u), jnp.min(u)]), 100)
    assert mean.shape == (2,)
    assert mean[0] > mean[1]


@pytest.mark.thorough
@pytest.mark.parametrize("num_samples", [None, 20])
def test_no_variance_is_no_obstacle(num_samples, getkey):
    mean = jnp.asarray([-1.0, 0.0, 2.0])

    def predict(mean, variance):
        moments = jaxdrop.DropConnectMoments(mean, variance)
        return jaxdrop.moment_matched_mean(getkey(), moments, jax.nn.relu, num_samples)

    np.testing.assert_allclose(predict(mean, jnp.zeros(3)), [0, 0, 2], rtol=1e-6)
    for tiny in (0.0, 1e-30):
        gradients = jax.grad(lambda *moments: predict(*moments).sum(), (0, 1))(mean, jnp.full(3, tiny))
        assert np.isfinite(gradients).all()
        np.testing.assert_allclose(gradients[0][::2], [0, 1], rtol=1e-6)


def test_gradients_of_the_closed_form():
    # d/dmu is Phi(mu / sigma), and d/dsigma^2 half the density of u at 0.
    moments = jaxdrop.DropConnectMoments(*(moment[:5] for moment in MOMENTS))
    gradient = jax.grad(lambda moments: jaxdrop.moment_matched_mean(None, moments, jax.nn.relu, None).sum())(moments)
    normal = stats.norm(np.asarray(moments.mean), np.sqrt(moments.variance))
    np.testing.assert_allclose(gradient.mean, normal.sf(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient.variance, normal.pdf(0) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_samples(getkey):
    def loss(moments, key, num_samples):
        return jaxdrop.moment_matched_mean(key, moments, jnp.tanh, num_samples).sum()

    moments = jaxdrop.DropConnectMoments(jnp.zeros(10_000), jnp.ones(10_000))
    gradient = jax.jit(jax.grad(loss), static_argnums=2)
    few, many = (gradient.lower(moments, getkey(), n).compile().memory_analysis() for n in (10, 1000))
    assert many.temp_size_in_bytes < few.temp_size_in_bytes + 10_000


@pytest.mark.thorough
def test_keys_are_used_once_and_may_differ_between_shards(getkey):
    def predict(key, moments):
        return jaxdrop.moment_matched_mean(key, moments, jnp.tanh, 3)

    with jax.debug_key_reuse(True):
        jax.jit(jax.grad(lambda moments, key: predict(key, moments).sum()))(MOMENTS, getkey())
        key = getkey()
        predict(key, MOMENTS)
        with pytest.raises(jax.errors.KeyReuseError):
            predict(key, MOMENTS)

    mesh = jax.make_mesh((2,), ("a",), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))
    key = getkey()

    def shard(key, moments):
        return predict(jax.random.fold_in(key, jax.lax.axis_index("a")), moments)[None]

    y = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=P(), out_specs=P("a")))(clone(key), MOMENTS)
    assert not np.array_equal(y[0], y[1])


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"activation": jnp.tanh, "num_samples": None}, ValueError, "jax.nn.relu or None for a closed form, got tanh"),
        ({"num_samples": 0}, ValueError, "num_samples must be at least 1, got 0"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
        (
            {"moments": jaxdrop.DropConnectMoments(jnp.ones(2), jnp.ones(3))},
            ValueError,
            r"moments.mean and moments.variance must have the same shape, got \(2,\) and \(3,\)",
        ),
        (
            {"moments": jaxdrop.DropConnectMoments(jnp.ones(2), jnp.ones(2, int))},
            TypeError,
            "moments.variance must be floating point, got dtype int32",
        ),
    ],
)
def test_refuses(changed, error, message, getkey):
    arguments = {"key": getkey(), "moments": MOMENTS, "activation": jax.nn.relu, "num_samples": 10, **changed}
    with pytest.raises(error, match=message):
        jaxdrop.moment_matched_mean(**arguments)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"x": jnp.ones((2, 4), int)}, TypeError, "x must be floating point, got dtype int32"),
        ({"kernel": jnp.ones((3, 2))}, ValueError, r"got shapes \(3, 2\) and \(2, 4\)"),
        ({"rate": -0.1}, ValueError, r"rate must be in \[0, 1\], got -0.1"),
        ({"rate": jnp.full(2, 0.1)}, ValueError, r"rate must broadcast against the shape \(\), got shape \(2,\)"),
        ({"bits": 3}, ValueError, "bits must be None, 1, 2, 4, 8, 16 or 32, got 3"),
    ],
    ids=str,
)
def test_layers_moments_refuse(changed, error, message):
    with pytest.raises(error, match=message):
        jaxdrop.drop_connect_dense_moments(
            **{"x": jnp.ones((2, 4)), "kernel": jnp.ones((4, 2)), "rate": 0.5, **changed}
        )
