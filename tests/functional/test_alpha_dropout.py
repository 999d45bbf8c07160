import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from tests.statistical import assert_frequency, assert_independent, assert_moments

SATURATED = -1.7580993408473773


def affine(y_of_zero, y_of_one):
    """Reads a and b off the kept entries of a draw of 0 and of 1, and what the dropped ones were set to."""
    dropped = np.min(y_of_one)
    b, a_plus_b = np.max(y_of_zero), np.max(y_of_one)
    return a_plus_b - b, b, dropped


@pytest.mark.parametrize(
    ("rate", "a", "b"),
    [
        (0.05, 0.9548444760, 0.0839355722),
        (0.1, 0.9212845161, 0.1619709701),
        (0.2, 0.8789035834, 0.3090399621),
        (0.5, 0.8864048947, 0.7791939305),
    ],
)
def test_affine_map_is_the_papers(rate, a, b, getkey):
    draw = [jaxdrop.alpha_dropout(getkey(), jnp.full(1000, value), rate, bits=32) for value in (0.0, 1.0)]
    np.testing.assert_allclose(affine(*draw), [a, b, a * SATURATED + b], rtol=2e-6)


def test_affine_map_follows_from_the_rate_after_rounding(getkey):
    """0.1 is 26/256 in 8 bits; the constants of 0.1 itself would be off by 0.001."""
    draw = [jaxdrop.alpha_dropout(getkey(), jnp.full(1000, value), 0.1, bits=8) for value in (0.0, 1.0)]
    keep = 230 / 256
    a = 1 / np.sqrt(keep * (1 + (1 - keep) * SATURATED**2))
    np.testing.assert_allclose(affine(*draw)[:2], [a, -a * (1 - keep) * SATURATED], rtol=2e-6)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_keeps_mean_and_variance_of_standard_normal_inputs(rate, getkey):
    x = jax.random.normal(getkey(), (1_000_000,))
    assert_moments(jaxdrop.alpha_dropout(getkey(), x, rate), 0.0, 1.0)


@pytest.mark.parametrize("rate", [0.1, 0.7])
def test_keeps_another_mean_and_variance(rate, getkey):
    x = 0.5 + np.float32(np.sqrt(2)) * jax.random.normal(getkey(), (1_000_000,))
    assert_moments(jaxdrop.alpha_dropout(getkey(), x, rate, mean=0.5, variance=2.0), 0.5, 2.0)


@pytest.mark.thorough
def test_a_deep_selu_network_keeps_its_activations_normalised(getkey):
    """With dropout instead, the variance of layer after layer grows."""

    def variance_after_10_layers(drop):
        x = jax.random.normal(jax.random.key(7), (256, 512))
        for layer in range(10):
            kernel = jax.random.normal(jax.random.key(layer), (512, 512)) / np.float32(np.sqrt(512))
            x = drop(jax.random.key(100 + layer), jax.nn.selu(x @ kernel), 0.2)
        return float(x.var())

    assert abs(variance_after_10_layers(jaxdrop.alpha_dropout) - 1) < 0.2
    assert abs(variance_after_10_layers(jaxdrop.dropout) - 1) > 0.2


@pytest.mark.thorough
def test_towards_rate_1_everything_tends_to_the_mean(getkey):
    x = jax.random.normal(getkey(), (1000,))
    for rate in (0.99999, 0.9999999):
        y = jaxdrop.alpha_dropout(getkey(), x, rate, bits=32, mean=0.5)
        limit = 0.5 - np.sqrt((1 - rate) / (1 + (SATURATED - 0.5) ** 2)) * (0.5 - SATURATED)
        np.testing.assert_allclose(np.median(y), limit, rtol=1e-4)
    for rate in (1.0, jnp.asarray(1.0)):
        np.testing.assert_array_equal(jaxdrop.alpha_dropout(getkey(), x, rate, mean=0.5), 0.5)
        np.testing.assert_array_equal(jaxdrop.alpha_dropout(getkey(), x, rate), 0)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_all_gradients_are_finite(rate, dtype, getkey):
    def loss(x, rate):
        return jaxdrop.alpha_dropout(getkey(), x, rate).sum()

    for gradient in jax.grad(loss, (0, 1))(jnp.ones(100, dtype), jnp.asarray(rate)):
        assert np.isfinite(gradient).all()


def test_a_traced_0_is_the_identity_whatever_the_mean(getkey):
    x = jax.random.normal(getkey(), (1000,))
    np.testing.assert_array_equal(jaxdrop.alpha_dropout(getkey(), x, jnp.asarray(0.0), mean=0.3, variance=3.0), x)


def test_a_rate_per_channel_and_nan(getkey):
    y = jaxdrop.alpha_dropout(getkey(), jnp.ones((100_000, 3)), jnp.asarray([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal(y[:, 0], 1)
    assert_frequency((y[:, 1] < 0).sum(), len(y), 0.5)
    np.testing.assert_array_equal(y[:, 2], 0)
    assert np.isnan(jax.jit(jaxdrop.alpha_dropout)(getkey(), jnp.ones(3), jnp.nan)).all()


def test_features_are_dropped_whole_and_independently(getkey):
    y = jaxdrop.feature_alpha_dropout(getkey(), jnp.ones((400, 4, 5, 50)), 0.3)
    dropped = y < 0
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1, :1], y.shape))
    assert_frequency(dropped[:, 0, 0].sum(), 400 * 50, 0.3)
    assert_independent(dropped[:, 0, 0, :-1], dropped[:, 0, 0, 1:])
    assert_independent(dropped[:-1, 0, 0], dropped[1:, 0, 0])


def test_features_of_one_example_without_a_batch_axis(getkey):
    y = jaxdrop.feature_alpha_dropout(getkey(), jnp.ones((4, 5, 50)), 0.3, num_spatial_dims=2)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:1, :1], y.shape))
    assert len(np.unique(y)) == 2


def test_options_reach_the_function_from_the_modules(getkey):
    key, x = getkey(), jnp.ones((6, 6, 8))
    options = {"bits": 8, "mean": 0.5, "variance": 2.0}
    for name, function, extra in (
        ("AlphaDropout", jaxdrop.alpha_dropout, {"broadcast_dims": (0,)}),
        ("FeatureAlphaDropout", jaxdrop.feature_alpha_dropout, {"num_spatial_dims": 2}),
    ):
        expected = function(key, x, 0.3, **options, **extra)
        linen = getattr(jaxdrop.linen, name)(0.3, **options, **extra)
        np.testing.assert_array_equal(linen.apply({}, x, deterministic=False, rng=key), expected)
        nnx = getattr(jaxdrop.nnx, name)(0.3, **options, **extra)
        np.testing.assert_array_equal(nnx(x, rngs=key), expected)


def test_refuses_a_variance_that_is_not_positive(getkey):
    with pytest.raises(ValueError, match="variance must be above 0 and finite, got -1"):
        jaxdrop.alpha_dropout(getkey(), jnp.ones(3), 0.5, variance=-1)


def test_refuses_features_without_spatial_axes(getkey):
    with pytest.raises(ValueError, match="num_spatial_dims must leave 1 or more spatial axes"):
        jaxdrop.feature_alpha_dropout(getkey(), jnp.ones(3), 0.5)


def two_values(y):
    """The kept and the dropped value of outputs for constant inputs."""
    return np.unique(np.round(np.asarray(y, np.float64), 5))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_same_as_torch(rate, getkey):
    """For constant inputs two values, equal to torch's, and as frequent; the map is affine, so 0 and 1 determine it."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for value in (0.0, 1.0):
        theirs = torch.nn.AlphaDropout(rate)(torch.full((100_000,), value)).numpy()
        ours = jaxdrop.alpha_dropout(getkey(), jnp.full(100_000, value), rate, bits=32)
        np.testing.assert_allclose(two_values(ours), two_values(theirs), atol=2e-5)
        assert_frequency((theirs < 0).sum(), theirs.size, rate)
        assert_frequency((ours < 0).sum(), ours.size, rate)


def test_whole_features_the_same_as_torch(getkey):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.FeatureAlphaDropout(0.3)(torch.ones((200, 50, 4, 4))).numpy().transpose(0, 2, 3, 1)
    ours = jaxdrop.feature_alpha_dropout(getkey(), jnp.ones((200, 4, 4, 50)), 0.3, bits=32)
    np.testing.assert_allclose(two_values(ours), two_values(theirs), atol=2e-5)
    for y in (np.asarray(ours), theirs):
        np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
        assert_frequency((y[:, 0, 0] < 0).sum(), 200 * 50, 0.3)


def test_the_same_as_keras(getkey):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("keras runs on another backend here")
    theirs = keras.layers.AlphaDropout(0.3, seed=0)(jnp.ones(100_000), training=True)
    ours = jaxdrop.alpha_dropout(getkey(), jnp.ones(100_000), 0.3, bits=32)
    np.testing.assert_allclose(two_values(ours), two_values(theirs), atol=2e-5)
    assert_frequency((np.asarray(theirs) < 0).sum(), 100_000, 0.3)


def test_refuses_complex_inputs(getkey):
    for function in (jaxdrop.alpha_dropout, jaxdrop.feature_alpha_dropout):
        with pytest.raises(TypeError, match="x must be real, got dtype complex64"):
            function(getkey(), jnp.ones((2, 3, 4), jnp.complex64), 0.1)
