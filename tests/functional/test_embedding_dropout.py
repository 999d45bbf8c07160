import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent


@pytest.mark.parametrize("bits", [None, 8, 32])
def test_a_type_is_gone_wherever_it_occurs(bits, getkey):
    tokens = jax.random.randint(getkey(), (200, 50), 0, 3000)
    y = np.asarray(jaxdrop.embedding_dropout(getkey(), jnp.ones((200, 50, 3)), tokens, 0.25, bits=bits))
    np.testing.assert_array_equal(y, np.broadcast_to(y[..., :1], y.shape))
    np.testing.assert_allclose(y[y > 0], 4 / 3, rtol=1e-6)
    gone = np.asarray(tokens)[y[..., 0] == 0]
    kept = np.asarray(tokens)[y[..., 0] > 0]
    assert not set(gone) & set(kept)
    assert_frequency(len(set(gone)), len(set(gone)) + len(set(kept)), 0.25)


def test_types_of_any_number_are_independent(getkey):
    numbers = jnp.concatenate(
        [jnp.arange(20_000, dtype=jnp.uint32), jnp.uint32(2**32 - 1) - jnp.arange(20_000, dtype=jnp.uint32)]
    )
    gone = np.asarray(jaxdrop.embedding_dropout(getkey(), jnp.ones((40_000, 1)), numbers, 0.5)[:, 0] == 0)
    assert_frequency(gone.sum(), gone.size, 0.5)
    assert_independent(gone[1:], gone[:-1])


def test_the_same_decision_in_any_batch(getkey):
    key, tokens = getkey(), jnp.asarray([[5, 9, 7], [1, 5, 5]])
    y = jaxdrop.embedding_dropout(clone(key), jnp.ones((2, 3, 1)), tokens, 0.5)
    alone = jaxdrop.embedding_dropout(clone(key), jnp.ones((1, 1)), jnp.asarray([5]), 0.5)
    np.testing.assert_array_equal(y[tokens == 5], jnp.broadcast_to(alone, (3, 1)))


def test_the_gradient_holds_no_mask(getkey):
    tokens = jnp.arange(1000).reshape(10, 100)
    key = getkey()
    y, pullback = jax.vjp(lambda x: jaxdrop.embedding_dropout(clone(key), x, tokens, 0.5), jnp.ones((10, 100, 8)))
    np.testing.assert_array_equal(pullback(jnp.ones_like(y))[0], y)
    assert sum(leaf.size for leaf in jax.tree.leaves(pullback)) < 1010  # the tokens, a key and a rate


def test_modules(getkey):
    key, x, tokens = getkey(), jax.random.normal(getkey(), (2, 3, 4)), jnp.asarray([[5, 9, 7], [1, 5, 5]])
    expected = jaxdrop.embedding_dropout(clone(key), x, tokens, 0.4)
    linen, ours = jaxdrop.linen.EmbeddingDropout(0.4), jaxdrop.nnx.EmbeddingDropout(0.4)
    np.testing.assert_array_equal(linen.apply({}, x, tokens, deterministic=False, rng=clone(key)), expected)
    np.testing.assert_array_equal(ours(x, tokens, rngs=clone(key)), expected)
    np.testing.assert_array_equal(linen.apply({}, x, tokens, deterministic=True), x)
    ours.eval()
    np.testing.assert_array_equal(ours(x, tokens), x)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": jnp.ones((3, 2), int)}, TypeError, "x must be floating point, got dtype int32"),
        ({"tokens": jnp.ones(3)}, TypeError, "tokens must be integers, got dtype float32"),
        ({"tokens": jnp.ones(2, int)}, ValueError, r"for tokens \(\*batch,\), got \(3, 2\) and \(2,\)"),
        ({"rate": 2}, ValueError, r"rate must be in \[0, 1\], got 2"),
        ({"rate": jnp.ones(2)}, ValueError, r"rate must broadcast against the shape \(\), got shape \(2,\)"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
    ],
)
def test_refuses(change, error, message, getkey):
    arguments = {"key": getkey(), "x": jnp.ones((3, 2)), "tokens": jnp.arange(3), "rate": 0.5, **change}
    with pytest.raises(error, match=message):
        jaxdrop.embedding_dropout(**arguments)
