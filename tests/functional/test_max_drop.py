import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from tests.statistical import assert_frequency, assert_independent


def without_maxima(x, mode):
    """The rule written out: the first maximum of each map, or of each position's channels, set to zero."""
    x = np.array(x)
    if mode == "channel":
        for place in np.ndindex(*x.shape[:-1]):
            x[place][np.argmax(x[place])] = 0
        return x
    for example in x:
        for channel in range(x.shape[-1]):
            example[..., channel].flat[np.argmax(example[..., channel])] = 0  # in row-major order
    return x


@pytest.mark.parametrize("mode", ["feature", "channel"])
@pytest.mark.parametrize("shape", [(3, 7, 4), (2, 3, 4, 5), (2, 2, 3, 2, 4), (2, 1, 3), (2, 3, 1)])
def test_rate_1_drops_the_first_maximum_and_nothing_else(mode, shape, getkey):
    distinct, ties = np.random.default_rng(0).normal(size=shape), np.random.default_rng(1).integers(0, 3, shape)
    for x in (distinct, ties):
        y = jaxdrop.max_drop(getkey(), jnp.asarray(x, jnp.float32), 1.0, mode=mode)
        np.testing.assert_array_equal(y, without_maxima(x.astype(np.float32), mode))


@pytest.mark.parametrize("mode", ["feature", "channel"])
def test_every_maximum_stays_or_goes_by_a_decision_of_its_own(mode, getkey):
    x = np.asarray(jax.random.normal(getkey(), (500, 6, 5, 7)))
    y = np.asarray(jaxdrop.max_drop(getkey(), x, 0.3, mode=mode))
    assert np.all((y == x) | (y == without_maxima(x, mode)))
    dropped = (y != x).any((1, 2) if mode == "feature" else 3)
    assert_frequency(dropped.sum(), dropped.size, 0.3)
    assert_independent(dropped[1:], dropped[:-1])
    assert_independent(dropped[:, 1:], dropped[:, :-1])
    assert_independent(dropped[..., 1:], dropped[..., :-1])


def test_any_axes_before_the_spatial_ones_are_batch(getkey):
    x = jax.random.normal(getkey(), (2, 3, 4, 5, 6))
    y = jaxdrop.max_drop(getkey(), x, 1.0, num_spatial_dims=2)
    np.testing.assert_array_equal(y.reshape(6, 4, 5, 6), without_maxima(x.reshape(6, 4, 5, 6), "feature"))
    one = jaxdrop.max_drop(getkey(), x[0, 0, 0], 1.0, num_spatial_dims=1)
    np.testing.assert_array_equal(one, without_maxima(x[0, 0, 0][None], "feature")[0])


@pytest.mark.parametrize("mode", ["feature", "channel"])
def test_the_gradient_is_that_of_the_mask(mode, getkey):
    x = jax.random.randint(getkey(), (3, 4, 5, 6), 0, 3).astype(jnp.float32)  # with ties
    weights = jax.random.normal(getkey(), x.shape)
    gradient = jax.jit(jax.grad(lambda x: (weights * jaxdrop.max_drop(getkey(), x, 1.0, mode=mode)).sum()))(x)
    kept = without_maxima(x + 1, mode) != 0
    np.testing.assert_array_equal(gradient, np.where(kept, weights, 0))


@pytest.mark.parametrize(("mode", "entries"), [("feature", 12), ("channel", 3)])
def test_rescaling_divides_by_the_expected_part_that_is_kept(mode, entries, getkey):
    key, x = getkey(), jax.random.normal(getkey(), (50, 4, 3, 3))
    for rate in (0.25, jnp.asarray(0.25), 1.0):
        plain = jaxdrop.max_drop(key, x, rate, mode=mode)
        rescaled = jaxdrop.max_drop(key, x, rate, mode=mode, rescale=True)
        np.testing.assert_allclose(rescaled, plain / (1 - float(rate) / entries), rtol=1e-6)


def test_rescaling_maps_of_one_position_is_finite_at_rate_1(getkey):
    x = jnp.ones((2, 1, 3))
    y, pullback = jax.vjp(lambda x: jaxdrop.max_drop(getkey(), x, jnp.asarray(1.0), rescale=True), x)
    assert (y == 0).all()
    assert (pullback(x)[0] == 0).all()


def test_a_map_with_nan_is_left_alone_and_infinity_is_a_maximum(getkey):
    x = jnp.asarray([[1.0, jnp.nan, 2.0], [1.0, jnp.inf, 2.0], [-jnp.inf, -jnp.inf, -jnp.inf]])[..., None]
    y = jaxdrop.max_drop(getkey(), x, 1.0)[..., 0]
    np.testing.assert_array_equal(y, [[1, np.nan, 2], [1, 0, 2], [0, -np.inf, -np.inf]])


def test_a_rate_per_channel_or_example_and_nan(getkey):
    x = jax.random.normal(getkey(), (40, 5, 3))
    y = np.asarray(jaxdrop.max_drop(getkey(), x, jnp.asarray([0.0, 1.0, jnp.nan])))
    np.testing.assert_array_equal(y[..., 0], x[..., 0])
    np.testing.assert_array_equal(y[..., 1], without_maxima(x, "feature")[..., 1])
    assert np.isnan(y[..., 2]).all()
    rates = jnp.concatenate([jnp.zeros((20, 1, 1)), jnp.ones((20, 1, 1))])
    y = jaxdrop.max_drop(getkey(), x, rates, mode="channel")
    np.testing.assert_array_equal(y, np.concatenate([x[:20], without_maxima(x[20:], "channel")]))
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(1,\), got shape \(5, 1\)"):
        jaxdrop.max_drop(getkey(), x, jnp.full((5, 1), 0.5))
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(2,\), got shape \(3,\)"):
        jaxdrop.max_drop(getkey(), x, jnp.full(3, 0.5), mode="channel")


def test_maxima_over_devices_are_found_without_gathering_the_map(getkey):
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    x = jax.random.randint(getkey(), (2, 16, 3), 0, 5).astype(jnp.float32)
    f = jax.jit(lambda key, x: jaxdrop.max_drop(key, x, 1.0))
    sharded = jax.device_put(x, NamedSharding(mesh, P(None, "a")))
    key = getkey()
    np.testing.assert_array_equal(f(key, sharded), without_maxima(x, "feature"))
    assert "all-gather" not in f.lower(key, sharded).compile().as_text()


def test_an_empty_batch(getkey):
    assert jaxdrop.max_drop(getkey(), jnp.ones((0, 4, 2)), 0.5).shape == (0, 4, 2)


def test_modules_pass_their_options_on(getkey):
    x = jax.random.normal(getkey(), (3, 4, 5, 6))
    for options in ({"mode": "channel"}, {"num_spatial_dims": 1}, {"rescale": True}):
        expected = jaxdrop.max_drop(getkey(), x, 1.0, **options)
        linen = jaxdrop.linen.MaxDrop(1.0, deterministic=False, **options).apply({}, x, rngs={"dropout": getkey()})
        np.testing.assert_array_equal(linen, expected)
        np.testing.assert_array_equal(jaxdrop.nnx.MaxDrop(1.0, **options, rngs=nnx.Rngs(0))(x), expected)
    assert jaxdrop.nnx.MaxDrop(0.0)(x) is x


def test_refuses_bad_arguments(getkey):
    x = jnp.ones((2, 4, 3))
    with pytest.raises(ValueError, match="mode must be one of 'feature', 'channel', got 'row'"):
        jaxdrop.max_drop(getkey(), x, 0.1, mode="row")
    with pytest.raises(ValueError, match="num_spatial_dims must be None with mode 'channel', got 1"):
        jaxdrop.max_drop(getkey(), x, 0.1, mode="channel", num_spatial_dims=1)
    with pytest.raises(ValueError, match=r"num_spatial_dims must leave 1 or more .*, got None"):
        jaxdrop.max_drop(getkey(), x[0], 0.1)
    with pytest.raises(ValueError, match=r"x\.ndim must be at least 1, got 0"):
        jaxdrop.max_drop(getkey(), jnp.ones(()), 0.1, mode="channel")
    with pytest.raises(TypeError, match="x must be real, got dtype complex64"):
        jaxdrop.max_drop(getkey(), x.astype(jnp.complex64), 0.1)
