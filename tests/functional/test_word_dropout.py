import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency


def test_replaces_each_occurrence_by_itself_at_the_rate(getkey):
    tokens = jax.random.randint(getkey(), (300, 100), 0, 50)
    y = np.asarray(jaxdrop.word_dropout(getkey(), tokens, 0.3, replacement=77, protected=(0, 3)))
    safe = np.isin(tokens, (0, 3))
    np.testing.assert_array_equal(y[safe], tokens[safe])
    replaced = y[~safe] == 77
    assert_frequency(replaced.sum(), replaced.size, 0.3)
    np.testing.assert_array_equal(y[~safe][~replaced], np.asarray(tokens)[~safe][~replaced])


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16"])
def test_keeps_the_dtype_and_the_ends_of_the_rate(dtype, getkey):
    tokens = jnp.arange(5, dtype=dtype)
    for given in (float, jnp.asarray):
        np.testing.assert_array_equal(jaxdrop.word_dropout(getkey(), tokens, given(0.0), 1), tokens)
        y = jaxdrop.word_dropout(getkey(), tokens, given(1.0), 1, protected=(4,))
        np.testing.assert_array_equal(y, [1, 1, 1, 1, 4])
        assert y.dtype == dtype


def test_modules(getkey):
    key, tokens = getkey(), jnp.arange(40).reshape(4, 10)
    expected = jaxdrop.word_dropout(clone(key), tokens, 0.4, 1, protected=(0,))
    linen = jaxdrop.linen.WordDropout(0.4, replacement=1, protected=(0,))
    ours = jaxdrop.nnx.WordDropout(0.4, replacement=1, protected=[0], rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(linen.apply({}, tokens, deterministic=False, rng=clone(key)), expected)
    np.testing.assert_array_equal(ours(tokens, rngs=clone(key)), expected)
    np.testing.assert_array_equal(linen.apply({}, tokens, deterministic=True), tokens)
    assert not np.array_equal(nnx.jit(lambda layer, tokens: layer(tokens))(ours, tokens), tokens)
    kept = jaxdrop.nnx.replace(nnx.Sequential(ours), lambda layer: jaxdrop.nnx.GaussianDropout(0.1))
    assert isinstance(kept.layers[0], jaxdrop.nnx.WordDropout)  # it is no dropout of activations


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tokens": jnp.ones(3)}, TypeError, "tokens must be integers, got dtype float32"),
        ({"rate": 1.5}, ValueError, r"rate must be in \[0, 1\], got 1.5"),
        ({"rate": jnp.ones(2)}, ValueError, r"rate must broadcast against the shape \(3,\), got shape \(2,\)"),
        ({"replacement": 0.5}, TypeError, "replacement must be an integer, got 0.5"),
        ({"replacement": 2**40}, ValueError, "replacement must be from -2147483648 to 2147483647"),
        ({"protected": (1.5,)}, TypeError, "protected must be an integer, got 1.5"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
    ],
)
def test_refuses(change, error, message, getkey):
    arguments = {"key": getkey(), "tokens": jnp.arange(3), "rate": 0.5, "replacement": 1, **change}
    with pytest.raises(error, match=message):
        jaxdrop.word_dropout(**arguments)


def test_modules_need_a_replacement():
    for module in (jaxdrop.linen.WordDropout, jaxdrop.nnx.WordDropout):
        with pytest.raises(TypeError, match="replacement"):
            module(0.5)
