"""What `flax.linen.Dropout` promises, and what it is silent about."""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from tests.statistical import assert_frequency


def test_has_the_fields_of_flax():
    ours, theirs = jaxdrop.linen.Dropout(0.1), nn.Dropout(0.1)
    for field in ("rate", "broadcast_dims", "deterministic", "rng_collection"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert isinstance(ours, nn.Dropout)


def test_positional_fields_are_in_flax_order(getkey):
    layer = jaxdrop.linen.Dropout(0.5, (1,), False, "noise")
    y = layer.apply({}, jnp.ones((100, 4)), rngs={"noise": getkey()})
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1], y.shape))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_needs_no_key_at_rates_0_and_1(rate):
    y = jaxdrop.linen.Dropout(rate, deterministic=False).apply({}, jnp.ones(5))
    np.testing.assert_array_equal(y, 1 - rate)


def test_a_missing_stream_raises():
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        jaxdrop.linen.Dropout(0.5, deterministic=False).apply({}, jnp.ones(5))


def test_deterministic_given_twice_raises(getkey):
    with pytest.raises(ValueError, match="deterministic"):
        jaxdrop.linen.Dropout(0.5, deterministic=False).apply({}, jnp.ones(5), deterministic=True)


def test_calls_and_layers_draw_different_masks(getkey):
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = jaxdrop.linen.Dropout(0.5, deterministic=False)
            return layer(x), layer(x), jaxdrop.linen.Dropout(0.5, deterministic=False)(x)

    draws = Twice().apply({}, jnp.ones(1000), rngs={"dropout": getkey()})
    assert len(np.unique(jnp.stack(draws), axis=0)) == 3


def test_bits_reach_the_function(getkey):
    y = jaxdrop.linen.Dropout(0.1, deterministic=False, bits=8).apply({}, jnp.ones(500_000), rngs={"dropout": getkey()})
    assert_frequency((y == 0).sum(), y.size, 26 / 256)


def test_jit_grad_of_a_model(getkey):
    class MLP(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = nn.relu(nn.Dense(16)(x))
            return nn.Dense(1)(jaxdrop.linen.Dropout(0.5, deterministic=not train)(x))

    model, x = MLP(), jnp.ones((4, 3))
    variables = model.init(jax.random.key(0), x, train=False)

    @jax.jit
    @jax.grad
    def gradient(variables, key):
        return model.apply(variables, x, train=True, rngs={"dropout": key}).sum()

    first, second = gradient(variables, getkey()), gradient(variables, getkey())
    assert not np.array_equal(*(g["params"]["Dense_1"]["kernel"] for g in (first, second)))
