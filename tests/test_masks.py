import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import PartitionSpec as P

import jaxdrop
from jaxdrop import _bits, _masks
from tests.statistical import assert_frequency

IMPLEMENTATIONS = ["threefry2x32", "threefry4x32", "rbg", "unsafe_rbg", "philox2x32", "philox4x32"]
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)


def test_mask_bits_are_pinned():
    """Numbers that users published with a version must come out the same with the next, and with any jax."""
    pinned = {
        8: [6, 84, 167, 113, 40, 230, 49, 117, 143, 235, 157, 5, 128, 233],
        16: [21510, 55600, 29095, 40047, 58920, 5613, 33841, 36725, 56044, 40427, 22597, 32773, 13308, 32489],
        32: [1906791430, 2624575792, 3462370155, 2067269971, 2217862696, 1167857133, 3624816075],
    }
    for bits, expected in pinned.items():
        drawn = _bits.random_uints(jax.random.key(42), (2, 7), bits).ravel()
        assert drawn.tolist()[: len(expected)] == expected
    for rate, expected in ((0.5, "110011000000010101111111"), (0.3, "111111011110101110111111")):
        kept = jaxdrop.dropout(jax.random.key(0), jnp.ones(24), rate) > 0
        assert "".join(str(int(yes)) for yes in kept) == expected


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_mask_that_many_share_is_drawn_once_on_a_cpu(bits):
    """And is the mask that a few share, each of whom draws it."""

    def first_row(rows):
        x = jnp.ones((rows, 45))
        draw = jax.jit(lambda key: jaxdrop.dropout(key, x, 0.5, broadcast_dims=(0,), bits=bits))
        return draw(jax.random.key(0))[0], draw.lower(jax.random.key(0)).compile().as_text()

    (many, loop), (few, fused) = first_row(1000), first_row(2)
    np.testing.assert_array_equal(many, few)
    if jax.default_backend() == "cpu":
        assert " while(" in loop
        assert " while(" not in fused


def test_a_mask_that_many_share_differs_between_shards():
    x = jnp.ones((8 * 400, 45))
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("a")), out_specs=P("a"))
    def shard(key, x):
        key = jax.random.fold_in(key, lax.axis_index("a"))
        return jax.grad(lambda x: jaxdrop.dropout(key, x, 0.5, broadcast_dims=(0,)).sum())(x)

    masks = np.asarray(jax.jit(shard)(jax.random.key(0), x)).reshape(8, 400, 45)
    np.testing.assert_array_equal(masks, np.broadcast_to(masks[:, :1], masks.shape))
    assert len(np.unique(masks[:, 0], axis=0)) == 8


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    rate=st.one_of(st.sampled_from([0.0, 0.25, 1.0, 1e-9, 1 - 1e-6]), st.floats(0, 1)),
    dtype=st.sampled_from(["float32", "bfloat16", "float16", "complex64"]),
    shared=st.sets(st.integers(-4, 3)),
    traced=st.booleans(),
)
def test_any_shape_rate_dtype_and_shared_axes(shape, rate, dtype, shared, traced):
    shared = {axis for axis in shared if -len(shape) <= axis < len(shape)}
    x = jnp.ones(shape, dtype)
    rate_given = jnp.asarray(rate, jnp.float32) if traced else rate
    y = jaxdrop.dropout(jax.random.key(3), x, rate_given, broadcast_dims=tuple(shared))
    assert y.shape == shape
    assert y.dtype == x.dtype
    kept = np.asarray(y != 0)
    for axis in shared:
        assert np.all(kept == np.take(kept, [0], axis)) if kept.size else True
    assert len(np.unique(np.asarray(y))) <= 2


@pytest.mark.thorough
@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_keys_of_any_implementation(impl):
    keys = jax.random.split(jax.random.key(0, impl=impl), 400)
    y = jnp.stack([jaxdrop.dropout(key, jnp.ones(500), 0.3) for key in keys[:4]])
    assert len(np.unique(y, axis=0)) == 4
    assert_frequency(jnp.sum(jax.vmap(lambda key: jaxdrop.dropout(key, jnp.ones(500), 0.3))(keys) == 0), 400 * 500, 0.3)
    # Our noise keeps its promise under vmap even where jax.random's does not.
    np.testing.assert_array_equal(jax.vmap(lambda key: jaxdrop.dropout(key, jnp.ones(500), 0.3))(keys[:4]), y)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_largest_integer_is_dropped_at_rate_1_and_no_other_time(bits):
    largest = jnp.asarray(2**bits - 1, jnp.uint32)
    levels = np.float32(2.0**bits)
    assert not _masks._survives(largest, levels, bits)
    assert _masks._survives(largest, np.nextafter(levels, np.float32(0)), bits)


def test_legacy_keys_draw_what_typed_keys_draw():
    typed = jaxdrop.dropout(jax.random.key(7), jnp.ones(100), 0.5)
    np.testing.assert_array_equal(jaxdrop.dropout(jax.random.PRNGKey(7), jnp.ones(100), 0.5), typed)
    np.testing.assert_array_equal(jaxdrop.dropout(np.asarray(jax.random.PRNGKey(7)), jnp.ones(100), 0.5), typed)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11])
def test_windows_are_those_of_numpy(size):
    x = np.random.default_rng(size).random((40, 11)) < 0.2
    expected = np.lib.stride_tricks.sliding_window_view(x, size, axis=1).any(-1)
    np.testing.assert_array_equal(_masks.any_in_windows(jnp.asarray(x), 1, size), expected)


def test_the_compiled_program_stores_no_mask():
    x = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
    f = jax.jit(lambda key, x: jaxdrop.dropout(key, x, 0.1))
    assert f.lower(jax.random.key(0), x).compile().memory_analysis().temp_size_in_bytes < 10_000
