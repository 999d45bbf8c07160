import functools
import itertools
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from tests.statistical import assert_frequency, assert_uniform


def numbered(*shape):
    """Tokens that carry their own number, in all features."""
    return jnp.broadcast_to(jnp.arange(shape[-2], dtype=jnp.float32)[:, None], shape)


# What is drawn.


@pytest.mark.parametrize(("patches", "kept"), [(5, 2), (5, 1), (6, 3), (4, 3)])
def test_every_subset_of_the_patches_is_equally_likely(patches, kept, getkey):
    indices = np.asarray(jaxdrop.patch_indices(getkey(), (20_000, 1 + patches), 1 - kept / patches))
    assert indices.shape == (20_000, 1 + kept)
    np.testing.assert_array_equal(indices[:, 0], 0)
    subsets, counts = np.unique(indices[:, 1:], axis=0, return_counts=True)
    assert [*map(tuple, subsets)] == list(itertools.combinations(range(1, patches + 1), kept))
    assert_uniform(counts)


@pytest.mark.parametrize("num_prefix_tokens", [0, 1, 3])
def test_keeps_the_prefix_and_each_patch_with_the_same_probability_in_order(num_prefix_tokens, getkey):
    indices = np.asarray(
        jaxdrop.patch_indices(getkey(), (5000, 20), 0.7, num_prefix_tokens=num_prefix_tokens), np.int64
    )
    patches = 20 - num_prefix_tokens
    kept = math.floor(0.3 * patches)
    assert indices.shape == (5000, num_prefix_tokens + kept)
    assert (np.diff(indices, axis=1) > 0).all()
    np.testing.assert_array_equal(
        indices[:, :num_prefix_tokens], np.broadcast_to(np.arange(num_prefix_tokens), (5000, num_prefix_tokens))
    )
    for token in range(num_prefix_tokens, 20):
        assert_frequency((indices == token).sum(), 5000, kept / patches)


def test_examples_are_independent(getkey):
    """Of neighbours in either batch axis, each of the 36 pairs of patches is as likely."""
    kept = np.asarray(jaxdrop.patch_indices(getkey(), (200, 200, 6), 0.9, num_prefix_tokens=0))[..., 0]
    assert_uniform(np.bincount((6 * kept[1:] + kept[:-1]).ravel(), minlength=36))
    assert_uniform(np.bincount((6 * kept[:, 1:] + kept[:, :-1]).ravel(), minlength=36))


@pytest.mark.parametrize(
    ("rate", "patches", "kept"),
    [(0.0, 7, 7), (1.0, 7, 1), (1.0, 0, 0), (0.5, 196, 98), (0.5, 7, 3), (0.75, 196, 49), (0.95, 10, 1), (0.3, 9, 6)],
)
def test_keeps_the_whole_part_of_its_share_and_at_least_one(rate, patches, kept, getkey):
    assert jaxdrop.patch_dropout(getkey(), numbered(2, 1 + patches, 3), rate).shape == (2, 1 + kept, 3)


@pytest.mark.thorough
def test_a_decimal_rate_means_what_it_says(getkey):
    """(1 - 0.9) * 100 is 9.999999999999998 in floating point."""
    for percent in range(5, 100, 5):
        shorter = functools.partial(jaxdrop.patch_dropout, rate=percent / 100, num_prefix_tokens=0)
        assert jax.eval_shape(shorter, getkey(), jnp.ones((100, 1))).shape == (100 - percent, 1)


# What becomes of the tokens.


@pytest.mark.thorough
def test_gathers_the_tokens_at_the_drawn_places(getkey):
    key, x = getkey(), jax.random.normal(getkey(), (3, 2, 12, 4))
    y = jaxdrop.patch_dropout(key, x, 0.4, num_prefix_tokens=2)
    indices = np.asarray(jaxdrop.patch_indices(key, x.shape[:-1], 0.4, num_prefix_tokens=2))
    assert y.shape == (3, 2, 8, 4)
    for example in np.ndindex(3, 2):
        np.testing.assert_array_equal(y[example], np.asarray(x)[example][indices[example]])
    np.testing.assert_array_equal(y, jnp.take_along_axis(x, indices[..., None], -2))


@pytest.mark.thorough
def test_the_gradient_goes_to_the_kept_tokens_alone(getkey):
    key, x = getkey(), jax.random.normal(getkey(), (4, 9, 3))
    indices = np.asarray(jaxdrop.patch_indices(key, (4, 9), 0.5))
    weights = jax.random.normal(getkey(), (4, 5, 3))
    expected = np.zeros_like(x)
    for example in range(4):
        expected[example, indices[example]] = weights[example]
    gradient = jax.grad(lambda x: (weights * jaxdrop.patch_dropout(key, x, 0.5)).sum())(x)
    np.testing.assert_array_equal(gradient, expected)
    checkpointed = jax.checkpoint(functools.partial(jaxdrop.patch_dropout, rate=0.5))
    np.testing.assert_array_equal(jax.grad(lambda x: (weights * checkpointed(key, x)).sum())(x), expected)
    y, tangent = jax.jvp(lambda x: jaxdrop.patch_dropout(key, x, 0.5), (x,), (2 * x,))
    np.testing.assert_array_equal(tangent, 2 * y)


def test_nothing_goes_at_rate_0_or_without_patches():
    x = numbered(2, 4, 3)
    assert jaxdrop.patch_dropout(None, x, 0.0) is x
    assert jaxdrop.patch_dropout(None, x, 0.7, num_prefix_tokens=4) is x
    np.testing.assert_array_equal(jaxdrop.patch_indices(None, (2, 4), 0), [[0, 1, 2, 3]] * 2)
    assert jaxdrop.patch_indices(None, (2, 0), 0.5, num_prefix_tokens=0).shape == (2, 0)


def test_the_layers_that_follow_see_the_short_sequence(getkey):
    def layer(key, x, kernel):
        return jaxdrop.patch_dropout(key, x, 0.75) @ kernel

    program = jax.jit(layer).lower(getkey(), jnp.ones((2, 41, 16)), jnp.ones((16, 32)))
    (product,) = re.findall(r"dot_general.*-> tensor<(\S+)>", program.as_text())
    assert product == "2x11x32xf32"


# The promises of the design.


@pytest.mark.thorough
def test_same_noise_eager_jit_and_in_any_vmap_chunk(getkey):
    keys, x = jax.random.split(getkey(), 4), numbered(3, 30, 2)
    f = functools.partial(jaxdrop.patch_dropout, rate=0.5)
    one_by_one = jnp.stack([f(key, x) for key in keys])
    np.testing.assert_array_equal(one_by_one[0], jax.jit(f)(keys[0], x))
    np.testing.assert_array_equal(one_by_one[1:], jax.vmap(f, (0, None))(keys[1:], x))
    assert len(np.unique(one_by_one, axis=0)) == 4


@pytest.mark.thorough
def test_same_noise_on_any_sharding_of_the_batch(getkey):
    key, x = getkey(), jax.random.normal(getkey(), (8, 2, 13, 4))
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    f = jax.jit(functools.partial(jaxdrop.patch_dropout, rate=0.5))
    expected = f(key, x)
    for spec in (P("a"), P("a", "b"), P(None, "b", None, "a")):
        sharded = jax.device_put(x, NamedSharding(mesh, spec))
        y = f(key, sharded)
        np.testing.assert_array_equal(y, expected)
        assert y.sharding.is_equivalent_to(sharded.sharding, y.ndim)
        assert "all-gather" not in f.lower(key, sharded).compile().as_text()


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64"])
def test_dtype_is_kept(dtype, getkey):
    with jax.enable_x64(dtype == "float64"):
        key, x = getkey(), numbered(2, 30, 3)
        y = jaxdrop.patch_dropout(clone(key), x.astype(dtype), 0.5)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.astype("complex64"), jaxdrop.patch_dropout(clone(key), x, 0.5))
        assert jaxdrop.patch_indices(key, (2, 30), 0.5).dtype == jnp.int32


def test_the_backward_pass_holds_nothing_of_the_batch(getkey):
    _, pullback = jax.vjp(lambda x: jaxdrop.patch_dropout(getkey(), x, 0.5), numbered(50, 30, 2))
    assert sum(leaf.size for leaf in jax.tree.leaves(pullback)) < 10


@pytest.mark.thorough
def test_uses_its_key_once(getkey):
    with jax.debug_key_reuse(True):
        for f in (
            lambda key: jaxdrop.patch_dropout(key, numbered(2, 9, 3), 0.5),
            lambda key: jaxdrop.patch_indices(key, (2, 9), 0.5),
        ):
            jax.jit(f)(getkey())
            key = getkey()
            f(key)
            with pytest.raises(jax.errors.KeyReuseError):
                f(key)
        jax.jit(jax.grad(lambda x, key: jaxdrop.patch_dropout(key, x, 0.5).sum()))(numbered(2, 9, 3), getkey())


@pytest.mark.parametrize(
    ("error", "message", "rate", "options"),
    [
        (ValueError, r"rate must be in \[0, 1\], got -0.1", -0.1, {}),
        (ValueError, r"rate must be in \[0, 1\], got nan", float("nan"), {}),
        (TypeError, "rate must be a Python number, as it decides a shape, got an array", jnp.asarray(0.5), {}),
        (TypeError, "rate must be a Python number, as it decides a shape, got an array", np.full(2, 0.5), {}),
        (TypeError, r"rate must be a number in \[0, 1\]", "a", {}),
        (ValueError, "num_prefix_tokens must be from 0 to 4, got -1", 0.5, {"num_prefix_tokens": -1}),
        (ValueError, "num_prefix_tokens must be from 0 to 4, got 5", 0.5, {"num_prefix_tokens": 5}),
        (TypeError, "num_prefix_tokens must be an integer, got 1.0", 0.5, {"num_prefix_tokens": 1.0}),
    ],
)
def test_refuses_bad_input(error, message, rate, options, getkey):
    with pytest.raises(error, match=message):
        jaxdrop.patch_dropout(getkey(), numbered(2, 4, 3), rate, **options)
    with pytest.raises(error, match=message):
        jaxdrop.patch_indices(getkey(), (2, 4), rate, **options)


def test_refuses_a_traced_rate_bad_arrays_and_what_is_not_a_key(getkey):
    with pytest.raises(TypeError, match=r"rate must be a Python number, as it decides a shape, got an array: .*Tracer"):
        jax.jit(jaxdrop.patch_dropout)(getkey(), numbered(2, 4, 3), 0.5)
    with pytest.raises(TypeError, match="x must be floating point, got dtype int32"):
        jaxdrop.patch_dropout(getkey(), jnp.ones((4, 3), int), 0.5)
    with pytest.raises(ValueError, match=r"x.ndim must be at least 2, got 1"):
        jaxdrop.patch_dropout(getkey(), jnp.ones(4), 0.5)
    with pytest.raises(ValueError, match=r"len\(shape\) must be at least 1, got 0"):
        jaxdrop.patch_indices(getkey(), (), 0.5)
    for key in (None, 0, jax.random.split(getkey(), 2)):
        with pytest.raises(TypeError, match="key must be one PRNG key"):
            jaxdrop.patch_dropout(key, numbered(4, 3), 0.5)
        with pytest.raises(TypeError, match="key must be one PRNG key"):
            jaxdrop.patch_indices(key, (4,), 0.5)


# The modules.


@pytest.mark.thorough
def test_linen_module(getkey):
    key, x = getkey(), numbered(2, 30, 3)
    layer = jaxdrop.linen.PatchDropout(0.5, num_prefix_tokens=4)
    expected = jaxdrop.patch_dropout(key, x, 0.5, num_prefix_tokens=4)
    np.testing.assert_array_equal(layer.apply({}, x, deterministic=False, rng=key), expected)
    assert layer.apply({}, x, deterministic=True) is x
    assert jaxdrop.linen.PatchDropout(1.0).apply({}, x, False, rngs={"dropout": key}).shape == (2, 2, 3)
    with pytest.raises(ValueError, match="deterministic"):
        layer.apply({}, x, rngs={"dropout": key})
    with pytest.raises(TypeError, match="rate must be a Python number"):
        jaxdrop.linen.PatchDropout(jnp.asarray(0.5)).apply({}, x, deterministic=True)

    model = nn.Sequential([nn.Dense(4), jaxdrop.linen.PatchDropout(0.5, deterministic=True), lambda x: x.mean(1)])
    sample = jaxdrop.linen.sampler(model, model.init(getkey(), x), x)
    assert np.all(jaxdrop.monte_carlo(sample, getkey(), 20).variance > 0)


@pytest.mark.thorough
def test_nnx_module(getkey):
    key, x = getkey(), numbered(2, 30, 3)
    layer = jaxdrop.nnx.PatchDropout(0.5, num_prefix_tokens=4, rngs=nnx.Rngs(0))
    expected = jaxdrop.patch_dropout(key, x, 0.5, num_prefix_tokens=4)
    np.testing.assert_array_equal(layer(x, rngs=key), expected)
    assert not np.array_equal(layer(x), layer(x))
    layer.eval()
    assert layer(x) is x
    assert jaxdrop.nnx.PatchDropout(1.0, rngs=nnx.Rngs(0))(x).shape == (2, 2, 3)
    model = nnx.Sequential(layer, lambda x: x.mean(1))
    assert np.all(jaxdrop.monte_carlo(jaxdrop.nnx.sampler(model, x), getkey(), 20).variance > 0)
