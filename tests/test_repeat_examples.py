import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from tests.statistical import assert_independent, assert_moments

RATE = 0.3


def test_copies_of_an_example_follow_one_another():
    batch = {
        "x": np.arange(12.0).reshape(3, 2, 2),
        "labels": jnp.array([4, 5, 6]),
        "mask": [jnp.array([True, False, True])],
    }
    repeated = jax.jit(jaxdrop.repeat_examples, static_argnums=1)(batch, 2)
    assert jax.tree.structure(repeated) == jax.tree.structure(batch)
    for leaf, original in zip(jax.tree.leaves(repeated), jax.tree.leaves(batch), strict=True):
        assert leaf.dtype == jnp.asarray(original).dtype
        np.testing.assert_array_equal(leaf.reshape(3, 2, *original.shape[1:])[:, 0], original)
        np.testing.assert_array_equal(leaf.reshape(3, 2, *original.shape[1:])[:, 1], original)


def test_once_is_the_batch_itself():
    x = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(jaxdrop.repeat_examples(x, 1), x)


def test_the_mean_over_the_batch_is_that_over_draws(getkey):
    x, kernel, key = jnp.arange(6.0).reshape(3, 2), jnp.ones((2, 1)), getkey()
    losses = jnp.square(jaxdrop.dropout(key, jaxdrop.repeat_examples(x, 4), RATE) @ kernel)
    masks = jaxdrop.dropout(key, jnp.ones((12, 2)), RATE).reshape(3, 4, 2)
    of_draws = [jnp.square((x * masks[:, draw]) @ kernel).mean() for draw in range(4)]
    np.testing.assert_allclose(losses.mean(), np.mean(of_draws), rtol=1e-6)
    np.testing.assert_allclose(losses.reshape(-1, 4).mean(0), of_draws, rtol=1e-6)


def gradient(key, x, num_repeats):
    """Of the mean output of a linear network, whose gradient is the mean of its inputs behind the masks."""
    x = jaxdrop.repeat_examples(x, num_repeats)
    return jax.grad(lambda kernel: jnp.mean(jaxdrop.dropout(key, x, RATE) @ kernel))(jnp.ones(x.shape[1]))


@pytest.mark.parametrize("num_repeats", [1, 2, 8])
def test_the_variance_due_to_noise_falls_with_the_draws(getkey, num_repeats):
    x = jnp.array([[1.0, -2.0, 0.5], [3.0, 1.0, 0.0]])
    keys = jax.random.split(getkey(), 20_000)
    gradients = jax.jit(jax.vmap(lambda key: gradient(key, x, num_repeats)))(keys)
    variance = RATE / (1 - RATE) * np.square(x).sum(0) / (2**2 * num_repeats)
    assert_moments(gradients, np.mean(x, axis=0), variance)


@pytest.mark.parametrize("num_repeats", [1, 5])
def test_the_variance_due_to_the_examples_stays(getkey, num_repeats):
    def draw(key):
        of_examples, of_masks = jax.random.split(key)
        return gradient(of_masks, jax.random.normal(of_examples, (2, 3)), num_repeats)

    gradients = jax.jit(jax.vmap(draw))(jax.random.split(getkey(), 20_000))
    assert_moments(gradients, np.zeros(3), np.full(3, 1 / 2 + RATE / (1 - RATE) / (2 * num_repeats)))


@pytest.mark.parametrize("library", ["linen", "flax.linen", "nnx"])
def test_copies_get_masks_of_their_own(getkey, library):
    x = jaxdrop.repeat_examples(jnp.ones((100, 50)), 2)
    if library == "nnx":
        y = jaxdrop.nnx.Dropout(RATE, rngs=nnx.Rngs(0))(x)
    else:
        module = (jaxdrop.linen if library == "linen" else nn).Dropout(RATE, deterministic=False)
        y = module.apply({}, x, rngs={"dropout": getkey()})
    first, second = jnp.moveaxis(y.reshape(100, 2, 50), 1, 0) == 0
    assert_independent(first, second)


def test_a_sharded_batch_stays_where_it_is():
    mesh = jax.make_mesh((8,), ("batch",))
    sharding = NamedSharding(mesh, P("batch"))
    x = jax.device_put(jnp.arange(32.0).reshape(16, 2), sharding)
    compiled = jax.jit(lambda x: jaxdrop.repeat_examples(x, 3), out_shardings=sharding).lower(x).compile()
    assert not any(name in compiled.as_text() for name in ("all-gather", "all-to-all", "collective-permute"))
    np.testing.assert_array_equal(compiled(x), np.repeat(np.asarray(x), 3, axis=0))


def test_refuses():
    x = jnp.ones((3, 2))
    with pytest.raises(ValueError, match="num_repeats must be from 1 to 2147483647, got 0"):
        jaxdrop.repeat_examples(x, 0)
    with pytest.raises(TypeError, match=r"num_repeats must be an integer, got 1\.5"):
        jaxdrop.repeat_examples(x, 1.5)
    with pytest.raises(ValueError, match=r"batch must be of arrays \(batch, ...\) .* got shapes \(3, 2\), \(2,\)"):
        jaxdrop.repeat_examples((x, x[0]), 2)
    with pytest.raises(ValueError, match=r"got shapes \(3, 2\), \(\)"):
        jaxdrop.repeat_examples((x, 1.0), 2)
    with pytest.raises(TypeError, match="batch must not hold PRNG keys"):
        jaxdrop.repeat_examples((x, jax.random.split(jax.random.key(0), 3)), 2)
