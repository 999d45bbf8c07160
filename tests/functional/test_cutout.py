import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from tests.statistical import assert_frequency, assert_mean, assert_uniform


def reference_hole(centre, lengths, sizes):
    """`Cutout` of the authors' code for one hole: `clip(centre - size // 2)` up to `clip(centre + size // 2)`.

    An odd size, which that code makes smaller by one, reaches as far to both sides.
    """
    hole = np.zeros(lengths, bool)
    hole[
        tuple(
            slice(np.clip(c - size // 2, 0, length), np.clip(c + (size + 1) // 2, 0, length))
            for c, length, size in zip(centre, lengths, sizes, strict=True)
        )
    ] = True
    return hole


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [((6,), (3,)), ((4, 5), (2, 2)), ((4, 5), (3, 2)), ((3, 4), (20, 20)), ((5, 3), (1, 1)), ((3, 2, 4), (2, 1, 3))],
)
def test_is_one_of_the_reference_holes_with_equal_chances(lengths, sizes, getkey):
    x = jnp.ones((20_000, *lengths, 2))
    y = np.asarray(jaxdrop.cutout(getkey(), x, sizes))
    np.testing.assert_array_equal(y[..., 0], y[..., 1])
    holes = [reference_hole(centre, lengths, sizes).tobytes() for centre in np.ndindex(*lengths)]
    drawn = [hole.tobytes() for hole in y[..., 0] == 0]
    assert set(drawn) == set(holes)
    # Holes at different centres may clip to the same.
    for hole, number in collections.Counter(holes).items():
        assert_frequency(drawn.count(hole), len(drawn), number / len(holes))


def test_centres_along_different_axes_and_examples_are_independent(getkey):
    y = np.asarray(jaxdrop.cutout(getkey(), jnp.ones((20_000, 3, 4, 1)), 1))[..., 0]
    place = np.argmin(y.reshape(len(y), -1), axis=1)
    assert_uniform(np.bincount(place, minlength=12))
    assert_uniform(np.bincount(12 * place[1:] + place[:-1], minlength=144))


def test_nothing_else_changes(getkey):
    x = jax.random.normal(getkey(), (50, 9, 9, 3))
    y = np.asarray(jaxdrop.cutout(getkey(), x, 4))
    np.testing.assert_array_equal(y, np.where(y == 0, 0, x))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_cuts_a_fraction_of_the_images_wherever_the_centre_is(rate, getkey):
    cut = np.asarray(
        jax.jit(jaxdrop.cutout, static_argnums=2)(getkey(), jnp.ones((10_000, 4, 4, 1)), 1, rate=rate) == 0
    )
    assert_frequency(cut.any((1, 2, 3)).sum(), len(cut), rate)
    if rate > 0:
        assert_uniform(cut.sum((0, 3)).ravel())


def test_a_rate_per_example_and_nan(getkey):
    rates = jnp.asarray([0.0, 1.0, jnp.nan]).reshape(3, 1, 1, 1)
    y = np.asarray(jaxdrop.cutout(getkey(), jnp.ones((3, 4, 4, 1)), 2, rate=rates))
    assert (y[0] == 1).all()
    assert (y[1] == 0).any()
    assert np.isnan(y[2]).all()
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(1, 2, 3\), got shape \(2,\)"):
        jaxdrop.cutout(getkey(), jnp.ones((3, 4, 4, 2)), 2, rate=jnp.full(2, 0.5))


def test_modules_cut_every_image_by_default_and_need_a_key_to(getkey):
    x = jnp.ones((500, 8, 8, 1))
    linen = jaxdrop.linen.Cutout(size=3, deterministic=False).apply({}, x, rngs={"dropout": getkey()})
    for y in (linen, jaxdrop.nnx.Cutout(3, rngs=nnx.Rngs(0))(x)):
        cut = np.asarray(y == 0)
        assert cut.any((1, 2, 3)).all()
        assert_mean(cut.sum((1, 2, 3)), (3 - 2 / 8) ** 2)
    assert jaxdrop.nnx.Cutout(3, rate=0.0)(x) is x


@pytest.mark.parametrize("size", [0, (2, -1)])
def test_refuses_sizes_below_one(size, getkey):
    with pytest.raises(ValueError, match=r"size must be at least 1, got (0|-1)"):
        jaxdrop.cutout(getkey(), jnp.ones((2, 4, 4, 1)), size)


def test_modules_need_a_size():
    for module in (jaxdrop.linen.Cutout, jaxdrop.nnx.Cutout):
        with pytest.raises(TypeError, match="size"):
            module()
