"""What `flax.nnx.Dropout` promises, and what it is silent about."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from tests.statistical import assert_frequency


def test_takes_the_arguments_of_flax():
    for name in ("__init__", "__call__"):
        ours = inspect.signature(getattr(jaxdrop.nnx.Dropout, name)).parameters
        theirs = inspect.signature(getattr(nnx.Dropout, name)).parameters
        assert [p for p in ours if p != "bits"] == list(theirs)
        assert all(ours[p].default == theirs[p].default and ours[p].kind == theirs[p].kind for p in theirs)


def test_the_stream_advances_and_the_call_overrides_it():
    layer = jaxdrop.nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=0))
    x = jnp.ones(100)
    first, second = layer(x), layer(x)
    assert not np.array_equal(first, second)
    again = jaxdrop.nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=1))
    np.testing.assert_array_equal(again(x, rngs=nnx.Rngs(dropout=0).fork()), first)
    stream = nnx.Rngs(dropout=0).dropout.fork()
    np.testing.assert_array_equal(again(x, rngs=stream), first)


def test_train_and_eval_and_the_call():
    model = nnx.Sequential(jaxdrop.nnx.Dropout(0.5, rngs=nnx.Rngs(0)))
    x = jnp.ones(100)
    model.eval()
    np.testing.assert_array_equal(model(x), x)
    np.testing.assert_array_equal(model.layers[0](x, deterministic=False) == x, False)
    model.train()
    assert not np.array_equal(model(x), x)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_needs_no_key_at_rates_0_and_1(rate):
    np.testing.assert_array_equal(jaxdrop.nnx.Dropout(rate)(jnp.ones(5)), 1 - rate)


def test_errors_say_what_is_missing():
    x = jnp.ones(5)
    with pytest.raises(ValueError, match="`deterministic` is False, but no `rngs` argument was provided to Dropout"):
        jaxdrop.nnx.Dropout(0.5)(x)
    with pytest.raises(ValueError, match="No `deterministic` argument was provided to Dropout"):
        jaxdrop.nnx.Dropout(0.5, deterministic=None, rngs=nnx.Rngs(0))(x)
    with pytest.raises(TypeError, match="rngs must be a Rngs, RngStream or"):
        jaxdrop.nnx.Dropout(0.5, rngs=0)
    with pytest.raises(TypeError, match=r"rngs must be a Rngs, RngStream or jax\.Array"):
        jaxdrop.nnx.Dropout(0.5)(x, rngs=0)


@pytest.mark.thorough
def test_bits_reach_the_function():
    y = jaxdrop.nnx.Dropout(0.1, bits=8, rngs=nnx.Rngs(0))(jnp.ones(500_000))
    assert_frequency((y == 0).sum(), y.size, 26 / 256)
