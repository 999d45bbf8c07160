import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from jaxdrop import _bits
from jaxdrop.functional.drop_block import _start_rate
from tests.statistical import assert_frequency, assert_independent, assert_mean

# Sizes of map and block: odd and even, rectangular, as large as the map along one axis, in 1, 2 and 3 dimensions.
GEOMETRIES = [((9,), (4,)), ((8, 8), (3, 3)), ((7, 10), (2, 5)), ((6, 9), (6, 4)), ((5, 4, 6), (2, 3, 2))]


def blocks(lengths, sizes):
    """All blocks that fit into a map, as tuples of slices; the definition, without a shortcut."""
    starts = itertools.product(*(range(length - size + 1) for length, size in zip(lengths, sizes, strict=True)))
    return [tuple(slice(s, s + size) for s, size in zip(start, sizes, strict=True)) for start in starts]


def dropped_chance(lengths, sizes, gamma):
    """The chance of each entry of a map to be under a block."""
    cover = np.zeros(lengths)
    for block in blocks(lengths, sizes):
        cover[block] += 1
    return 1 - (1 - gamma) ** cover


def paper_gamma(rate, lengths, sizes):
    fits = math.prod(length - size + 1 for length, size in zip(lengths, sizes, strict=True))
    return rate * math.prod(lengths) / math.prod(sizes) / fits


def maps(key, number, lengths, sizes, rate, **kwargs):
    """Which entries of independent maps were dropped."""
    x = jnp.ones((number, *lengths, 1))
    return np.asarray(jax.jit(functools.partial(jaxdrop.drop_block, block_size=sizes, **kwargs))(key, x, rate) == 0)[
        ..., 0
    ]


def tpu_reference(net, noise, keep, size):
    """`dropblock` of resnet_model.py in tensorflow/tpu, on given uniform noise and in NumPy; square maps only."""
    _, width, height, _ = net.shape
    rate = (1 - keep) * width * height / size**2 / ((width - size + 1) * (height - size + 1))
    w, h = np.meshgrid(np.arange(height), np.arange(width))
    valid = (w >= size // 2) & (w < width - (size - 1) // 2) & (h >= size // 2) & (h < width - (size - 1) // 2)
    pattern = (1.0 - valid[None, :, :, None] + (1 - rate) + noise) >= 1
    if size == width:
        pattern = np.broadcast_to(pattern.min((1, 2), keepdims=True), net.shape)
    else:
        pads = ((0, 0), ((size - 1) // 2, size // 2), ((size - 1) // 2, size // 2), (0, 0))  # SAME, stride 1
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(pattern, pads, constant_values=True), (size, size), axis=(1, 2)
        )
        pattern = windows.min((-2, -1))
    return net / pattern.mean() * pattern


@pytest.mark.thorough
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 12])
def test_equals_the_reference_of_the_authors_on_the_same_noise(size, getkey):
    """For a batch of one, where the reference's normalisation over the batch is ours over the example."""
    key, x = getkey(), np.asarray(jax.random.normal(getkey(), (1, 12, 12, 16)))
    starts = (1, 13 - size, 13 - size, 16)
    noise = np.zeros(x.shape)  # zero would start a block wherever the reference wrongly let one start
    centres = slice(size // 2, 12 - (size - 1) // 2)
    noise[:, centres, centres] = np.asarray(_bits.random_uints(key, starts, 32), np.float64) / 2**32
    expected = tpu_reference(x, noise, 0.7, size)
    assert 0 < np.mean(expected == 0) < 1
    np.testing.assert_allclose(jaxdrop.drop_block(key, x, 0.3, size), expected, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("length", "rate", "fraction"), [(28, 0.1, 0.094), (14, 0.1, 0.093), (7, 0.1, 0.1), (28, 0.25, 0.215)]
)
def test_realised_fraction_of_the_paper_formula(length, rate, fraction, getkey):
    """For blocks of 7 x 7: overlap drops less than asked for, unless there is room for one block only."""
    lengths, sizes = (length, length), (7, 7)
    expected = dropped_chance(lengths, sizes, paper_gamma(rate, lengths, sizes)).mean()
    assert abs(expected - fraction) < 1e-3
    dropped = maps(getkey(), 20_000, lengths, sizes, rate)
    assert_mean(dropped.mean((1, 2)), expected)


@pytest.mark.parametrize(("lengths", "sizes"), GEOMETRIES)
@pytest.mark.parametrize("exact_rate", [False, True])
def test_each_position_is_dropped_with_its_own_chance(lengths, sizes, exact_rate, getkey):
    """Which is lower near the border; with `exact_rate` the mean of the chances is the rate."""
    dropped = maps(getkey(), 20_000, lengths, sizes, 0.4, exact_rate=exact_rate)
    gamma = float(_start_rate(jnp.asarray(0.4), lengths, sizes, exact_rate))
    expected = dropped_chance(lengths, sizes, gamma)
    assert_mean(dropped, expected, standard_deviation=np.sqrt(expected * (1 - expected)))
    if exact_rate:
        assert_mean(dropped.reshape(len(dropped), -1).mean(1), 0.4)
    else:
        np.testing.assert_allclose(gamma, paper_gamma(0.4, lengths, sizes), rtol=1e-6)


@pytest.mark.parametrize(("lengths", "sizes"), [*GEOMETRIES, ((56, 56), (7, 7)), ((5,), (1,)), ((4, 4), (4, 4))])
@pytest.mark.parametrize("rate", [1e-4, 0.05, 0.1, 0.5, 0.9, 0.99])
def test_exact_rate_solves_for_the_expected_fraction(lengths, sizes, rate):
    solve = jax.jit(_start_rate, static_argnums=(1, 2, 3))
    gamma = np.float64(solve(jnp.asarray(rate), lengths, sizes, True))
    np.testing.assert_allclose(dropped_chance(lengths, sizes, gamma).mean(), rate, rtol=1e-5)
    assert [float(solve(jnp.asarray(end), lengths, sizes, True)) for end in (0.0, 1.0)] == [0, 1]


@pytest.mark.parametrize(("lengths", "sizes"), GEOMETRIES)
def test_what_is_dropped_is_a_union_of_whole_blocks(lengths, sizes, getkey):
    dropped = maps(getkey(), 200, lengths, sizes, 0.3)
    union = np.zeros_like(dropped)
    for block in blocks(lengths, sizes):
        union[:, *block] |= dropped[:, *block].all(tuple(range(1, dropped.ndim)), keepdims=True)
    np.testing.assert_array_equal(dropped, union)
    assert 0 < dropped.mean() < 1


@pytest.mark.parametrize("exact_rate", [False, True])
def test_blocks_of_one_entry_are_dropout(exact_rate, getkey):
    dropped = maps(getkey(), 1000, (20, 20), 1, 0.3, exact_rate=exact_rate)
    assert_frequency(dropped.sum(), dropped.size, 0.3)
    assert_independent(dropped[:, 1:], dropped[:, :-1])
    assert_independent(dropped[..., 1:], dropped[..., :-1])


@pytest.mark.parametrize("exact_rate", [False, True])
@pytest.mark.parametrize("size", [6, 100, (4, 6)])
def test_blocks_as_large_as_the_map_drop_whole_channels(size, exact_rate, getkey):
    y = jaxdrop.drop_block(getkey(), jnp.ones((2000, 4, 6, 8)), 0.3, size, exact_rate=exact_rate)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1], y.shape))
    dropped = np.asarray(y[:, 0, 0] == 0)
    assert_frequency(dropped.sum(), dropped.size, 0.3)
    assert_independent(dropped[:, 1:], dropped[:, :-1])


@pytest.mark.thorough
def test_channels_have_blocks_of_their_own_unless_shared(getkey):
    x = jnp.ones((500, 8, 8, 4))
    dropped = np.asarray(jaxdrop.drop_block(getkey(), x, 0.3, 3) == 0)
    assert_independent(dropped[:, 4, 4, 1:], dropped[:, 4, 4, :-1])
    shared = np.asarray(jaxdrop.drop_block(getkey(), x, 0.3, 3, share_channels=True) == 0)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[..., :1], shared.shape))
    # One decision to an example, so only the examples are independent draws.
    gamma = paper_gamma(0.3, (8, 8), (3, 3))
    assert_mean(shared[..., 0].mean((1, 2)), dropped_chance((8, 8), (3, 3), gamma).mean())


@pytest.mark.parametrize("share_channels", [False, True])
def test_rescales_by_what_survives_in_the_same_example(share_channels, getkey):
    """So the mean of an example of ones is one, exactly, whatever the others lost."""
    y = np.asarray(jaxdrop.drop_block(getkey(), jnp.ones((200, 8, 8, 3)), 0.3, 4, share_channels=share_channels))
    means = y.mean((1, 2, 3))
    some_left = y.any((1, 2, 3))
    np.testing.assert_allclose(means[some_left], 1, rtol=1e-5)
    assert len(np.unique(y.max((1, 2, 3)))) > 10, "the examples must not have lost the same fraction"
    for example in y:
        assert len(np.unique(example[example > 0])) <= 1


@pytest.mark.thorough
def test_an_example_without_survivors_is_zero_with_finite_gradients(getkey):
    key = getkey()
    value, gradient = jax.value_and_grad(lambda x: jaxdrop.drop_block(key, x, 0.5, 9).sum())(jnp.ones((40, 4, 4, 1)))
    assert np.isfinite(value)
    alive = np.asarray(gradient[:, 0, 0, 0])
    assert set(alive) == {0.0, 1.0}


@pytest.mark.thorough
def test_any_number_of_batch_axes(getkey):
    key, x = getkey(), jnp.ones((6, 7, 8, 2))
    np.testing.assert_array_equal(
        jaxdrop.drop_block(key, x.reshape(2, 3, 7, 8, 2), 0.3, (2, 3), num_spatial_dims=2).reshape(x.shape),
        jaxdrop.drop_block(key, x, 0.3, (2, 3)),
    )
    assert jaxdrop.drop_block(key, x[0], 0.3, 3, num_spatial_dims=2).shape == (7, 8, 2)
    assert jaxdrop.drop_block(key, x[:0], 0.3, 3).shape == (0, 7, 8, 2)


def test_a_rate_per_example_but_not_within_one(getkey):
    rates = jnp.asarray([0.0, 0.3, 1.0]).reshape(3, 1, 1, 1)
    y = np.asarray(jaxdrop.drop_block(getkey(), jnp.ones((3, 30, 30, 50)), rates, 3, exact_rate=True))
    np.testing.assert_array_equal(y[0], 1)
    np.testing.assert_array_equal(y[2], 0)
    assert_mean((y[1] == 0).mean((0, 1)), 0.3)
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(1, 2, 3\), got shape \(2,\)"):
        jaxdrop.drop_block(getkey(), jnp.ones((1, 4, 4, 2)), jnp.full(2, 0.3), 3)


@pytest.mark.parametrize("exact_rate", [False, True])
def test_traced_rates_at_and_beyond_the_ends_and_nan(exact_rate, getkey):
    f = jax.jit(functools.partial(jaxdrop.drop_block, block_size=3, exact_rate=exact_rate))
    x = jax.random.normal(getkey(), (2, 9, 9, 3))
    for rate, expected in [(-0.5, x), (0.0, x), (1.0, 0 * x), (1.5, 0 * x), (jnp.nan, np.nan * x)]:
        np.testing.assert_array_equal(f(getkey(), x, rate), expected)


@pytest.mark.thorough
def test_needs_one_byte_for_each_entry_of_a_padded_map(getkey):
    """Forwards and backwards; a window of 7 x 7 for each entry would be 49 of them."""
    x = jnp.ones((8, 28, 28, 64))

    def forwards(key, x, cotangent):
        return jaxdrop.drop_block(key, x, 0.1, 7)

    def backwards(key, x, cotangent):
        return jax.vjp(lambda x: forwards(key, x, None), x)[1](cotangent)

    for f in (forwards, backwards):
        compiled = jax.jit(f).lower(getkey(), x, x).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < 1.25 * x.size


@pytest.mark.parametrize(
    ("error", "message", "kwargs"),
    [
        (ValueError, "block_size must be at least 1, got 0", {"block_size": 0}),
        (
            ValueError,
            r"block_size must be an integer or one for each of 2 spatial axes, got \(3,\)",
            {"block_size": (3,)},
        ),
        (TypeError, "block_size must be an integer or one for each spatial axis, got 2.5", {"block_size": 2.5}),
        (TypeError, "block_size must be an integer or one for each spatial axis, got True", {"block_size": True}),
        (ValueError, r"num_spatial_dims must .*, got 4 for an array with 4 axes", {"num_spatial_dims": 4}),
        (ValueError, r"num_spatial_dims must .*, got 0 for an array with 4 axes", {"num_spatial_dims": 0}),
    ],
)
def test_refuses_bad_sizes(error, message, kwargs, getkey):
    with pytest.raises(error, match=message):
        jaxdrop.drop_block(getkey(), jnp.ones((2, 8, 8, 3)), 0.3, **{"block_size": 3, **kwargs})
