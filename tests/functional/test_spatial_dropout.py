import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxdrop
from tests.statistical import FALSE_FAILURE, assert_frequency

SHAPES = [(2000, 5, 8), (2000, 3, 2, 8), (2000, 3, 2, 2, 8)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_dropout_with_shared_spatial_axes(shape, getkey):
    key, x = getkey(), jax.random.normal(getkey(), shape)
    expected = jaxdrop.dropout(key, x, 0.3, broadcast_dims=tuple(range(1, len(shape) - 1)))
    np.testing.assert_array_equal(jaxdrop.spatial_dropout(key, x, 0.3), expected)


def kept_channels(y):
    """How many channels of each example survive, once it is sure that they do as a whole and are scaled alike."""
    y = np.asarray(y).reshape(len(y), -1, y.shape[-1])
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=2e-5)
    return (y[:, 0] > 0).sum(1)


def assert_same_distribution(ours, theirs):
    table = np.array([np.bincount(kept_channels(y), minlength=9) for y in (ours, theirs)])
    table = np.stack([table[:, :4].sum(1), *table[:, 4:].T], axis=1)  # few examples keep less than four of eight
    assert stats.chi2_contingency(table).pvalue > FALSE_FAILURE
    for y in (ours, theirs):
        assert_frequency(8 * len(y) - kept_channels(y).sum(), 8 * len(y), 0.3)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_distribution_as_torch(shape, getkey):
    torch = pytest.importorskip("torch")
    function = getattr(torch.nn.functional, f"dropout{len(shape) - 2}d")
    torch.manual_seed(0)
    theirs = np.moveaxis(function(torch.ones(shape[0], shape[-1], *shape[1:-1]), 0.3, training=True).numpy(), 1, -1)
    assert_same_distribution(jaxdrop.spatial_dropout(getkey(), jnp.ones(shape), 0.3), theirs)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_distribution_as_keras(shape, getkey):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("keras runs on another backend here")
    layer = getattr(keras.layers, f"SpatialDropout{len(shape) - 2}D")(0.3, seed=0)
    theirs = layer(jnp.ones(shape), training=True)
    assert_same_distribution(jaxdrop.spatial_dropout(getkey(), jnp.ones(shape), 0.3), theirs)


@pytest.mark.thorough
def test_axes_before_the_spatial_ones_are_batch_axes(getkey):
    y = jaxdrop.spatial_dropout(getkey(), jnp.ones((30, 40, 5, 6)), 0.5, num_spatial_dims=1)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :, :1], y.shape))
    assert_frequency((y[:, :, 0] == 0).sum(), 30 * 40 * 6, 0.5)
    unbatched = jaxdrop.spatial_dropout(getkey(), jnp.ones((5, 6)), 0.5, num_spatial_dims=1)
    np.testing.assert_array_equal(unbatched, jnp.broadcast_to(unbatched[:1], (5, 6)))


def test_a_rate_per_channel_but_not_per_position(getkey):
    y = jaxdrop.spatial_dropout(getkey(), jnp.ones((50, 4, 4, 2)), jnp.asarray([0.0, 1.0]))
    np.testing.assert_array_equal(y[..., 0], 1)
    np.testing.assert_array_equal(y[..., 1], 0)
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(1, 2\), got shape \(4, 1\)"):
        jaxdrop.spatial_dropout(getkey(), jnp.ones((50, 4, 4, 2)), jnp.full((4, 1), 0.5))


@pytest.mark.parametrize(("shape", "number"), [((5, 6), None), ((5, 6), 2), ((2, 5, 6), 0), ((2, 5, 6), -1)])
def test_refuses_to_find_spatial_axes_where_there_are_none(shape, number, getkey):
    with pytest.raises(ValueError, match=f"num_spatial_dims must .*, got {number} for an array with {len(shape)} axes"):
        jaxdrop.spatial_dropout(getkey(), jnp.ones(shape), 0.5, num_spatial_dims=number)
