"""Antithetic and balanced masks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop.inference import _related_keys
from tests.statistical import assert_frequency, assert_independent, assert_mean, assert_uniform


class Dropped(nn.Module):
    """Which units flax's own layer drops, in the second of two layers."""

    rate: float

    @nn.compact
    def __call__(self, x):
        nn.Dropout(0.5, deterministic=True)(x)
        return (nn.Dropout(self.rate, deterministic=True)(x) == 0).astype(jnp.float32)


def dropped(rate):
    """Which of (5, 100) entries flax's layers of linen and nnx drop, and two functions of ours."""
    x = jnp.ones((5, 100))
    linen = jaxdrop.linen.sampler(Dropped(rate), {}, x)
    model = nnx.Sequential(nnx.Dropout(rate, rngs=nnx.Rngs(0)), lambda x: (x == 0).astype(jnp.float32))
    of_nnx = jaxdrop.nnx.sampler(model, x)
    tokens = jnp.arange(500).reshape(5, 100)

    def sample(key):
        first, second = jax.random.split(key)
        ours = jaxdrop.dropout(first, x, rate) == 0
        words = jaxdrop.word_dropout(second, tokens, rate, -1) == -1
        return jnp.stack([linen(key), of_nnx(key), ours.astype(jnp.float32), words.astype(jnp.float32)])

    return sample


def drawn(rate, key, num_samples, **arguments):
    p = jaxdrop.monte_carlo(dropped(rate), key, num_samples, return_samples=True, chunk_size=4, **arguments)
    return np.moveaxis(np.asarray(p.samples) == 1, 1, 0)


@pytest.mark.thorough
def test_the_last_block_is_balanced_if_it_is_smaller(getkey):
    def sample(key):
        return jaxdrop.dropout(key, jnp.ones(1000), 0.5)

    # Blocks of 10, and one of 5.
    p = jaxdrop.monte_carlo(sample, getkey(), 95, masks="balanced", return_samples=True)
    dropped = np.asarray(p.samples) == 0
    assert set(dropped[90:].sum(0)) == {2, 3}
    assert set(dropped[80:90].sum(0)) == {5}
    assert_frequency(dropped[92].sum(), 1000, 0.5)


@pytest.mark.thorough
@pytest.mark.parametrize(("rate", "num_samples", "num_blocks"), [(0.25, 40, 10), (0.3, 10, 1)])
def test_balanced_masks_drop_every_unit_equally_often(rate, num_samples, num_blocks, getkey):
    for layer in drawn(rate, getkey(), num_samples, masks="balanced", num_blocks=num_blocks):
        if rate == 0.3:  # which is rounded to a multiple of 2**-16: one unit in some thousands differs
            assert np.mean(layer.sum(0) == 3) > 0.98
        else:
            in_blocks = layer.reshape(num_blocks, -1, 5, 100).sum(1)
            np.testing.assert_array_equal(in_blocks, rate * num_samples / num_blocks)
        # By itself, a sample is as ever.
        assert_frequency(layer[0].sum(), layer[0].size, rate)
        assert_independent(layer[0, :, 1:], layer[0, :, :-1])
        assert_independent(layer[3, 1:], layer[3, :-1])


@pytest.mark.parametrize("rate", [0.5, 0.125])
def test_antithetic_masks_are_the_opposite(rate, getkey):
    for layer in drawn(rate, getkey(), 20, masks="antithetic"):
        first, second = layer[::2], layer[1::2]
        assert not np.any(first & second)
        assert np.all(first | second) == (rate == 0.5)
        assert_frequency(layer.sum(), layer.size, rate)
        assert_independent(layer[0], layer[2])


@pytest.mark.thorough
def test_antithetic_normal_noise_is_the_negative(getkey):
    for normal in (
        lambda key: jax.random.normal(key, (50,)),
        lambda key: jaxdrop.gaussian_dropout(key, jnp.ones(50), 0.5) - 1,
    ):
        y = jaxdrop.monte_carlo(normal, getkey(), 8, masks="antithetic", return_samples=True).samples
        np.testing.assert_allclose(y[::2], -y[1::2], rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_the_order_of_strata_is_every_order_equally_often(getkey):
    key = getkey()
    bits = jax.vmap(lambda s: jax.random.bits(_related_keys.balanced(jax.random.clone(key), s, 5), (20_000,)))
    strata = np.asarray(bits(jnp.arange(5)), np.float64) * 5 // 2**32
    np.testing.assert_array_equal(np.sort(strata, 0), np.broadcast_to(np.arange(5.0)[:, None], strata.shape))
    for sample in strata:
        assert_uniform(np.bincount(sample.astype(int)))
    pairs = np.bincount((5 * strata[0] + strata[1]).astype(int), minlength=25).reshape(5, 5)
    # A shuffle of eight rounds is not perfect: within a few per cent.
    np.testing.assert_allclose(pairs[~np.eye(5, dtype=bool)], 1000, rtol=0.25)


def test_the_first_of_two_strata_is_as_often_the_first_as_the_second(getkey):
    """Eight rounds of swapping alone leave a deviation of 2**-9."""
    number = 4_000_000
    draw = jax.jit(lambda key: (jax.random.bits(_related_keys.balanced(key, jnp.uint32(0), 2), (number,)) >> 31).sum())
    assert_frequency(draw(getkey()), number, 0.5)


@pytest.mark.thorough
@pytest.mark.parametrize("masks", ["antithetic", "balanced"])
def test_means_of_a_network_vary_less(masks, getkey):
    w1, w2 = jax.random.normal(getkey(), (8, 32)), jax.random.normal(getkey(), (32, 1)) / 6
    x = jax.random.normal(getkey(), (4, 8))

    def sample(key):
        return jaxdrop.dropout(key, jax.nn.relu(x @ w1), 0.5) @ w2

    run = functools.partial(jaxdrop.monte_carlo, sample, num_samples=20, num_blocks=1)
    keys = jax.random.split(getkey(), 1000)
    plain, related = (jax.jit(jax.vmap(functools.partial(run, masks=m)))(keys).mean for m in ("independent", masks))
    assert_mean(related, jax.nn.relu(x @ w1) @ w2, standard_deviation=np.asarray(plain).std(0))
    # A linear output: nothing is left of its variance.
    assert np.all(np.asarray(related).var(0) < 5e-5 * np.asarray(plain).var(0))


@pytest.mark.thorough
def test_derived_keys_differ(getkey):
    key = _related_keys.balanced(getkey(), jnp.uint32(1), 4)
    keys = [*jax.random.split(key, 3), *(jax.random.fold_in(key, n) for n in range(3)), key]
    assert len({jax.random.key_data(k).tobytes() for k in keys}) == 7
    assert {tuple(jax.random.key_data(k)[2:].tolist()) for k in keys} == {(1, 4)}


def test_refuses_to_draw_more_bits_than_a_cell_has(getkey):
    words = jax.random.key_data(_related_keys.balanced(getkey(), jnp.uint32(1), 4))
    with pytest.raises(NotImplementedError, match="masks must be 'independent' for noise that draws 64 bits at once"):
        _related_keys._random_bits(words, 64, (2,))


@pytest.mark.thorough
@pytest.mark.parametrize("masks", ["antithetic", "balanced"])
@pytest.mark.parametrize("impl", ["rbg", "legacy"])
def test_keys_of_any_implementation(masks, impl):
    key = jax.random.PRNGKey(3) if impl == "legacy" else jax.random.key(3, impl=impl)
    run = functools.partial(jaxdrop.monte_carlo, lambda key: jax.random.bits(key, (50,)) >> 16, key, 12, masks=masks)
    p, q = (run(chunk_size=c, return_samples=True) for c in (1, 5))
    np.testing.assert_array_equal(p.samples, q.samples)
    assert len(np.unique(p.samples, axis=0)) == 12


@pytest.mark.thorough
def test_weights_of_drop_connect_are_dropped_in_opposite_ways(getkey):
    kernel = jnp.ones((6, 4))
    run = lambda key: jaxdrop.drop_connect_dense(key, jnp.ones((3, 6)), kernel, 0.5)  # noqa: E731
    y = jaxdrop.monte_carlo(run, getkey(), 10, masks="antithetic", return_samples=True).samples
    np.testing.assert_allclose(y[::2] + y[1::2], 6, rtol=1e-5)


@pytest.mark.parametrize("num_samples", [2, 5, 8, 10, 11])
def test_few_samples_are_balanced_too(num_samples, getkey):
    def sample(key):
        return jaxdrop.dropout(key, jnp.ones(4000), 0.5)

    spread = {
        masks: float(jaxdrop.monte_carlo(sample, getkey(), num_samples, masks=masks).mean.var())
        for masks in ("independent", "balanced")
    }
    # At most one sample of three is over, instead of a variance of 1 / n.
    assert spread["balanced"] < 0.6 * spread["independent"]
    assert spread["balanced"] <= 1 / num_samples**2 * 4
