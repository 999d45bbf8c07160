import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop.functional.masksembles import _covered
from tests.statistical import assert_mean


@pytest.mark.parametrize(("kept", "num_masks", "scale", "width"), [(10, 4, 2, 18), (64, 4, 2, 120), (64, 4, 3, 154)])
def test_the_expected_width_is_the_authors(kept, num_masks, scale, width):
    assert int(kept * scale * _covered(num_masks, scale)) == width
    masks = jaxdrop.masksembles_masks(width, num_masks, scale)
    np.testing.assert_array_equal(masks.sum(1), kept)


@pytest.mark.parametrize("features", [10, 37, 128, 512])
@pytest.mark.parametrize(("num_masks", "scale"), [(4, 1.5), (4, 2.0), (8, 4.0), (3, 6.0)])
def test_masks_are_of_the_asked_width_keep_alike_and_use_every_feature(features, num_masks, scale):
    masks = jaxdrop.masksembles_masks(features, num_masks, scale, seed=3)
    assert masks.shape == (num_masks, features)
    assert len(set(masks.sum(1).tolist())) == 1
    assert masks.any(0).all()
    np.testing.assert_array_equal(masks, jaxdrop.masksembles_masks(features, num_masks, scale, seed=3))


@pytest.mark.thorough
@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_masks_overlap_as_the_scale_says(scale):
    """Intersection over union 1 / (2 s - 1), before positions that none uses are left out: those are in no union."""
    width = {2.0: 120, 3.0: 154}[scale]

    def overlap(seed):
        first, second = jaxdrop.masksembles_masks(width, 4, scale, seed=seed)[:2]
        return (first & second).sum() / (first | second).sum()

    assert_mean(np.array([overlap(seed) for seed in range(300)]), 1 / (2 * scale - 1))


def test_scale_one_is_a_single_network():
    assert jaxdrop.masksembles_masks(20, 4, 1.0).all()
    assert jaxdrop.masksembles_masks(20, 1, 2.0).all()


def test_each_part_of_the_batch_has_its_mask(getkey):
    masks = jaxdrop.masksembles_masks(24, 3, 2.0)
    x = jax.random.normal(getkey(), (6, 5, 24))
    expected = np.concatenate([np.asarray(x[2 * i : 2 * i + 2]) * masks[i] for i in range(3)])
    np.testing.assert_array_equal(jaxdrop.masksembles(x, masks), expected)
    low = jaxdrop.masksembles(x.astype(jnp.bfloat16), masks)
    assert low.dtype == jnp.bfloat16


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = jaxdrop.linen.Masksembles(4, 2.0)(nn.relu(nn.Dense(32)(x)))
        return nn.Dense(3)(x)


@pytest.mark.thorough
def test_the_ensemble_is_of_the_networks_behind_each_mask(getkey):
    x = jax.random.normal(getkey(), (5, 6))
    variables = Network().init(getkey(), jnp.ones((4, 6)))
    y = jaxdrop.mask_ensemble(lambda x: Network().apply(variables, x), x, 4)
    assert y.shape == (4, 5, 3)
    params, masks = variables["params"], variables["masks"]
    for number in range(4):
        h = x
        for layer in range(2):
            dense = params[f"Dense_{layer}"]
            h = jax.nn.relu(h @ dense["kernel"] + dense["bias"][None])
            h = h * masks[f"Masksembles_{layer}"]["masks"][number][None].astype(h.dtype)
        np.testing.assert_allclose(y[number], h @ params["Dense_2"]["kernel"], rtol=1e-4, atol=1e-5)


def test_the_nnx_module_has_the_same_masks_and_trains_none():
    layer = jaxdrop.nnx.Masksembles(32, 4, 2.0)
    x = jnp.ones((8, 32))
    linen = jaxdrop.linen.Masksembles(4, 2.0)
    np.testing.assert_array_equal(layer(x), linen.apply(linen.init(jax.random.key(0), x), x))
    assert not jax.tree.leaves(nnx.state(layer, nnx.Param))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((9, 4, 2.0), ValueError, "features must be from 10 to 2147483647, got 9"),
        ((20, 0, 2.0), ValueError, "num_masks must be from 1 to 2147483647, got 0"),
        ((20.0, 4, 2.0), TypeError, "features must be an integer, got 20.0"),
        ((20, 4, 0.5), ValueError, "scale must be from 1 to 6, got 0.5"),
        ((20, 4, float("nan")), ValueError, "scale must be from 1 to 6, got nan"),
    ],
)
def test_refuses_masks(arguments, error, message):
    with pytest.raises(error, match=message):
        jaxdrop.masksembles_masks(*arguments)


def test_refuses_batches_that_do_not_split():
    masks = jaxdrop.masksembles_masks(20, 4, 2.0)
    with pytest.raises(ValueError, match=r"multiple of the number of masks, got shapes \(6, 20\) and \(4, 20\)"):
        jaxdrop.masksembles(jnp.ones((6, 20)), masks)
    with pytest.raises(ValueError, match=r"got shapes \(4, 21\) and \(4, 20\)"):
        jaxdrop.masksembles(jnp.ones((4, 21)), masks)
    with pytest.raises(TypeError, match="x must be floating point"):
        jaxdrop.masksembles(jnp.ones((4, 20), int), masks)
    with pytest.raises(ValueError, match="num_masks must be at least 1, got 0"):
        jaxdrop.mask_ensemble(lambda x: x, jnp.ones((2, 3)), 0)


def test_empty_arrays_and_no_masks():
    assert jaxdrop.masksembles(jnp.ones((8, 0, 4)), jnp.ones((2, 4), bool)).shape == (8, 0, 4)
    assert jaxdrop.masksembles(jnp.ones((0, 4)), jnp.ones((2, 4), bool)).shape == (0, 4)
    with pytest.raises(ValueError, match="num_masks"):
        jaxdrop.masksembles(jnp.ones((8, 4)), jnp.ones((0, 4), bool))
