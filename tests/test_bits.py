import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32

from jaxdrop import _bits
from tests.statistical import assert_frequency, assert_independent, assert_uniform

SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_known_answers(key, counter, expected):
    words = jnp.asarray([*key, *counter], jnp.uint32)
    assert tuple(int(word) for word in _bits.threefry2x32(*words)) == expected


def test_threefry_agrees_with_jax():
    words = jax.random.bits(jax.random.key(0), (4, 50))
    for k0, k1, x0, x1 in words.T:
        expected = threefry_2x32(jnp.stack([k0, k1]), jnp.stack([x0, x1]))
        np.testing.assert_array_equal(jnp.stack(_bits.threefry2x32(k0, k1, x0, x1)), expected)


def test_layout_is_the_documented_one():
    """Element c of row r takes part c // w of block (r, c mod w)."""
    shape, bits, width = (3, 2, 11), 16, 3
    drawn = _bits.random_uints(jax.random.key(1), shape, bits).reshape(6, 11)
    words = jnp.stack(_bits.key_words(jax.random.key(1)))
    for r, c in ((0, 0), (1, 2), (4, 3), (5, 10)):
        block = threefry_2x32(words, jnp.asarray([r, c % width], jnp.uint32))
        value = int(block[0]) | int(block[1]) << 32
        assert int(drawn[r, c]) == value >> bits * (c // width) & 2**bits - 1


@pytest.mark.thorough
@settings(max_examples=12, deadline=None)
@given(shape=SHAPES, bits=st.sampled_from([8, 16, 32]), seed=st.integers(0, 2**32 - 1))
def test_all_programs_draw_the_same_integers(shape, bits, seed):
    """The one for accelerators and the two for CPUs."""
    key = jax.random.key(seed)
    drawn = _bits.random_uints(key, shape, bits)
    assert drawn.shape == shape
    assert drawn.dtype == jnp.uint32
    if drawn.size:
        assert int(drawn.max()) < 2**bits
    if shape:
        layout, words = _bits._layout(shape, bits), _bits.key_words(key)
        for program in (_bits._packed, _bits._elementwise, _bits._held):
            np.testing.assert_array_equal(jax.jit(program, static_argnums=2)(*words, layout), drawn)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_integers_are_uniform_and_independent(bits, getkey):
    """Neighbours, the parts of one block, the rows, and the draws of keys that differ in one bit."""
    drawn = np.asarray(_bits.random_uints(getkey(), (512, 512), bits))
    assert_uniform(np.bincount((drawn >> (bits - 8)).ravel(), minlength=256))
    low = drawn < 2 ** (bits - 1)
    for bit in range(bits):
        assert_frequency(np.sum((drawn >> bit) & 1), drawn.size, 0.5)
    assert_independent(low[:, 1:], low[:, :-1])
    assert_independent(low[1:], low[:-1])
    segment = 512 // (64 // bits)
    assert_independent(low[:, segment:], low[:, :-segment])
    assert_independent(low, np.asarray(_bits.random_uints(getkey(), (512, 512), bits)) < 2 ** (bits - 1))


@pytest.mark.thorough
def test_every_word_of_a_key_counts():
    keys = [jax.random.wrap_key_data(jnp.asarray([1, 2, 3, last], jnp.uint32), impl="rbg") for last in (4, 5)]
    assert not np.array_equal(*(_bits.random_uints(key, (100,), 8) for key in keys))


def test_streams_are_apart_from_those_of_jax_random(getkey):
    key = getkey()
    ours = _bits.random_uints(key, (1000,), 32)
    assert not np.intersect1d(ours, jax.random.bits(key, (1000,))).size
    assert not np.intersect1d(ours, jax.random.key_data(jax.random.split(jax.random.clone(key), 1000))).size


def test_refuses_more_rows_than_the_counter_has():
    with pytest.raises(ValueError, match=r"shape must have at most 2\*\*32"):
        jax.eval_shape(lambda key: _bits.random_uints(key, (2**17, 2**17, 4), 8), jax.random.key(0))
