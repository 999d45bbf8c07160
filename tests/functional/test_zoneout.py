import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_mean


@pytest.fixture(scope="module")
def states():
    return tuple(jax.random.normal(key, (4, 6)) for key in jax.random.split(jax.random.key(7)))


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.8])
def test_units_stay_with_the_rate_and_are_new_otherwise(rate, getkey):
    y = np.asarray(jaxdrop.zoneout(getkey(), jnp.ones(100_000), jnp.full(100_000, 2.0), rate))
    assert set(np.unique(y)) == {1, 2}
    assert_frequency((y == 2).sum(), y.size, rate)


def test_the_expectation_is_the_mean(states, getkey):
    draws = jax.vmap(lambda key: jaxdrop.zoneout(key, *states, 0.3))(jax.random.split(getkey(), 4000))
    assert_mean(draws, jaxdrop.zoneout_expectation(*states, 0.3))
    exact = 0.7 * np.asarray(states[0], np.float64) + 0.3 * np.asarray(states[1], np.float64)
    np.testing.assert_allclose(jaxdrop.zoneout_expectation(*states, 0.3, bits=32), exact, rtol=1e-5, atol=1e-6)


def test_the_gradient_goes_to_the_state_that_is_taken(states, getkey):
    key = getkey()
    y, pullback = jax.vjp(lambda new, old: jaxdrop.zoneout(clone(key), new, old, 0.4), *states)
    new, old = pullback(jnp.ones_like(y))
    np.testing.assert_array_equal(new, y == states[0])
    np.testing.assert_array_equal(old, y == states[1])
    held = sum(leaf.size for leaf in jax.tree.leaves(pullback))
    assert held < 10  # a key and a rate, no mask


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_rates_zero_and_one(traced, states, getkey):
    new, old = states
    for rate, expected in ((0.0, new), (1.0, old)):
        rate = jnp.asarray(rate) if traced else rate
        np.testing.assert_array_equal(jaxdrop.zoneout(getkey(), new, old, rate), expected)
        np.testing.assert_array_equal(jaxdrop.zoneout_expectation(new, old, rate), expected)
    assert np.isnan(jax.jit(jaxdrop.zoneout)(getkey(), new, old, jnp.nan)).all()


def test_what_is_not_taken_may_be_infinite(getkey):
    y = jaxdrop.zoneout(getkey(), jnp.ones(100), jnp.full(100, jnp.inf), 0.5)
    assert set(np.unique(y)) == {1, np.inf}


def test_modules(states, getkey):
    key, (new, old) = getkey(), states
    expected = jaxdrop.zoneout(clone(key), new, old, 0.3)
    linen, ours = jaxdrop.linen.Zoneout(0.3), jaxdrop.nnx.Zoneout(0.3)
    np.testing.assert_array_equal(linen.apply({}, new, old, deterministic=False, rng=clone(key)), expected)
    np.testing.assert_array_equal(ours(new, old, rngs=clone(key)), expected)
    mean = jaxdrop.zoneout_expectation(new, old, 0.3)
    np.testing.assert_array_equal(linen.apply({}, new, old, deterministic=True), mean)
    ours.eval()
    np.testing.assert_array_equal(ours(new, old), mean)
    np.testing.assert_array_equal(jaxdrop.linen.Zoneout(1.0).apply({}, new, old, deterministic=False), old)
    with pytest.raises(ValueError, match="deterministic"):
        linen.apply({}, new, old)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"new": jnp.ones(3, int)}, TypeError, "new must be floating point, got dtype int32"),
        ({"old": jnp.ones(2)}, ValueError, r"new and old must have the same shape, got \(3,\) and \(2,\)"),
        ({"old": jnp.ones(3, jnp.bfloat16)}, TypeError, "new and old must have the same dtype"),
        ({"rate": -0.5}, ValueError, r"rate must be in \[0, 1\], got -0.5"),
        ({"rate": jnp.ones(2)}, ValueError, r"rate must broadcast against the shape \(3,\), got shape \(2,\)"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
    ],
)
def test_refuses(change, error, message, getkey):
    arguments = {"key": getkey(), "new": jnp.ones(3), "old": jnp.ones(3), "rate": 0.5, **change}
    with pytest.raises(error, match=message):
        jaxdrop.zoneout(**arguments)


def test_what_has_no_share_may_be_infinite():
    new, old = jnp.array([1.0, jnp.inf]), jnp.array([jnp.inf, 2.0])
    np.testing.assert_array_equal(jaxdrop.zoneout_expectation(new, old, jnp.array([0.0, 1.0])), [1, 2])
