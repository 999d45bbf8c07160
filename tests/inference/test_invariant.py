"""What is the same in all samples is computed once."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from jaxdrop.inference._invariant import run_once


class Late(nn.Module):
    """Five layers before the first dropout, one after it."""

    @nn.compact
    def __call__(self, x):
        for _ in range(5):
            x = nn.gelu(nn.LayerNorm()(nn.Dense(128)(x)))
        return nn.Dense(128)(nn.Dropout(0.5, deterministic=True)(x))


def late_linen(x):
    return jaxdrop.linen.sampler(Late(), Late().init(jax.random.key(0), x), x)


def late_nnx(x):
    rngs = nnx.Rngs(0)
    layers = [layer for _ in range(5) for layer in (nnx.Linear(128, 128, rngs=rngs), nnx.relu)]
    model = nnx.Sequential(*layers, nnx.Dropout(0.5, rngs=rngs), nnx.Linear(128, 128, rngs=rngs))
    return jaxdrop.nnx.sampler(model, x)


def flops(function, key):
    return jax.jit(lambda function, key: function(key)).lower(function, key).compile().cost_analysis()["flops"]


@pytest.mark.parametrize("source", [late_linen, late_nnx])
def test_layers_before_the_first_noise_run_once(source, getkey):
    x, key = jax.random.normal(getkey(), (64, 128)), getkey()
    sample = source(x)
    rest = jax.jit(run_once)(sample, key)
    np.testing.assert_allclose(rest(key), sample(key), rtol=1e-5, atol=1e-5)
    product = 2 * 64 * 128 * 128
    assert flops(sample, key) > 6 * product
    assert product < flops(rest, key) < 2 * product


def test_what_follows_from_products_and_loops_runs_once_and_cheap_functions_in_every_sample(getkey):
    w, key = jax.random.normal(getkey(), (4, 4)), getkey()

    def loop(w):
        return jax.lax.scan(lambda carry, _: (jnp.tanh(carry), None), w, length=3)[0]

    for function, again in ((jnp.tanh, True), (lambda w: jnp.tanh(w @ w), False), (loop, False)):
        rest = run_once(lambda key, f=function: jnp.where(jax.random.bernoulli(key, 0.5, w.shape), f(w), 0), key)
        assert ("tanh" in str(jax.make_jaxpr(rest)(key))) == again


def test_what_runs_once_is_spread_over_devices_as_the_model_says(getkey):
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    w, spread = jax.random.normal(getkey(), (8, 8)), NamedSharding(mesh, P("rows"))

    def sample(key):
        return jaxdrop.dropout(key, jax.jit(lambda w: w @ w, out_shardings=spread)(w), 0.5)

    (product,) = (leaf for leaf in jax.tree.leaves(run_once(sample, getkey())) if jnp.shape(leaf) == (8, 8))
    assert product.sharding == spread


@pytest.mark.thorough
def test_every_sample_is_as_if_nothing_ran_once(getkey):
    x, key = jax.random.normal(getkey(), (3, 128)), getkey()
    sample = late_linen(x)
    samples = jaxdrop.monte_carlo(sample, key, 5, return_samples=True, chunk_size=2).samples
    each = [sample(jax.random.fold_in(key, number)) for number in range(5)]
    np.testing.assert_allclose(samples, jnp.stack(each), rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_any_program_is_split(getkey):
    w = jax.random.normal(getkey(), (4, 4))

    def sample(key):
        """Nested calls, a loop, a branch, a custom derivative, an output of each kind, and literals."""
        x = jax.jit(lambda w: jax.nn.relu(jnp.sin(w) @ w))(w)
        y, _ = jax.lax.scan(lambda c, _: (jnp.tanh(c @ w), None), x, length=3)
        z = jax.jit(lambda key, y: jaxdrop.dropout(key, y, 0.5) * 2.0)(key, y)
        z = jax.lax.cond(z.sum() > 0, lambda z: z + y, lambda z: z - y, z)
        half = jax.jit(lambda a, b: a * b)(z.astype(jnp.bfloat16), jnp.bfloat16(0.5))
        return {"random": z, "same": y, "given": w, "literal": jnp.float32(1.0), "half": half, "none": None}

    key = getkey()
    rest = run_once(sample, key)
    assert jax.tree.structure(rest(key)) == jax.tree.structure(sample(key))
    for a, b in zip(jax.tree.leaves(rest(key)), jax.tree.leaves(sample(key)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=1e-5)
    gradients = [
        jax.grad(lambda w, f=f: jnp.sum(f(lambda key: jaxdrop.dropout(key, jax.nn.relu(w @ w), 0.5) @ w)(key)))(w)
        for f in (lambda s: s, lambda s: run_once(s, key))
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


def test_what_has_effects_happens_in_every_sample(getkey):
    seen = []

    def sample(key):
        jax.debug.callback(lambda x: seen.append(float(x)), jnp.ones((3, 3)).sum())
        return jaxdrop.dropout(key, jnp.ones(3), 0.5)

    jax.block_until_ready(jaxdrop.monte_carlo(sample, getkey(), 6, chunk_size=1))
    jax.effects_barrier()
    assert seen == [9.0] * 6


@pytest.mark.thorough
@pytest.mark.parametrize("source", [late_linen, late_nnx])
def test_models_with_the_same_layers_see_the_same_masks(source, getkey):
    """Common random numbers: the difference of two like models varies less than either prediction."""
    x, key = jax.random.normal(getkey(), (8, 128)), getkey()
    first = source(x)
    second = jax.tree.map(lambda leaf: leaf * 1.02 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, first)
    run = functools.partial(jaxdrop.monte_carlo, num_samples=30)
    difference = run(lambda key: first(key) - second(key), key)
    np.testing.assert_allclose(difference.mean, run(first, key).mean - run(second, key).mean, rtol=1e-3, atol=1e-4)
    assert difference.variance.mean() < run(first, key).variance.mean() / 20
