import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        x = nn.Dropout(0.2, deterministic=not train, name="first")(nn.Dense(16)(x))
        x = nn.remat(Block)(train)(x)
        return nn.Dropout(0.5)(x, not train)


class Block(nn.Module):
    train: bool

    @nn.compact
    def __call__(self, x):
        return jaxdrop.linen.Dropout(0.3, deterministic=not self.train)(nn.Dense(16)(x))


def gaussian(layer):
    return jaxdrop.linen.GaussianDropout(layer.rate)


@pytest.fixture(scope="module")
def x():
    return 1 + jax.random.uniform(jax.random.key(0), (50, 8))


@pytest.fixture(scope="module")
def variables(x):
    return Model().init(jax.random.key(1), x, train=False)


@pytest.mark.thorough
def test_every_layer_is_replaced_and_variables_are_the_same(x, variables, getkey):
    replaced = jaxdrop.linen.replace(Model(), gaussian)
    y = replaced.apply(variables, x, rngs={"dropout": getkey()})
    assert not np.any(y == 0), "Gaussian noise drops nothing"
    assert np.any(Model().apply(variables, x, rngs={"dropout": getkey()}) == 0)
    np.testing.assert_array_equal(replaced.apply(variables, x, train=False), Model().apply(variables, x, train=False))
    shapes = jax.tree.map(jnp.shape, replaced.init(getkey(), x, train=False))
    assert shapes == jax.tree.map(jnp.shape, variables)


def test_layers_draw_from_the_key_of_those_they_stand_for(x, variables, getkey):
    replaced = jaxdrop.linen.replace(Model(), gaussian)
    keys = [getkey()] * 2 + [getkey()]
    first, again, second = (replaced.apply(variables, x, rngs={"dropout": key}) for key in keys)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)

    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x, rng=None):
            return [nn.Dropout(0.5, deterministic=False)(x, rng=rng) for _ in range(2)]

    twice, key = jaxdrop.linen.replace(Twice(), gaussian), getkey()
    assert not np.array_equal(*twice.apply({}, x, rngs={"dropout": key}))
    np.testing.assert_array_equal(*twice.apply({}, x, rng=key))


def test_layers_are_chosen_by_path_or_type(x, variables, getkey):
    seen = []

    def where(layer):
        seen.append(layer.path)
        return "first" in layer.path

    replaced = jaxdrop.linen.replace(Model(), lambda layer: jaxdrop.linen.Dropout(1.0), where=where)
    y = replaced.apply(variables, x, rngs={"dropout": getkey()})
    np.testing.assert_array_equal(y, 0)  # the first layer drops all, and biases are 0
    assert len(set(seen)) == 3


@pytest.mark.thorough
def test_under_monte_carlo(x, variables, getkey):
    replaced = jaxdrop.linen.replace(Model(), gaussian)
    sample = jaxdrop.linen.sampler(replaced, variables, x, train=False)
    p = jaxdrop.monte_carlo(sample, getkey(), 20, return_samples=True)
    assert not np.any(p.samples == 0)
    assert np.all(p.variance > 0)


class Compiled(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return nn.jit(Block)(train)(x)


def test_blocks_that_linen_compiles_are_compiled_for_each_replacement(x, getkey):
    """In either order, for linen compares what it compiled by the names of streams and not by what replaces layers."""
    model, rngs = Compiled(), {"dropout": getkey()}
    variables = model.init(getkey(), x)
    uniform = jaxdrop.linen.replace(model, lambda layer: jaxdrop.linen.UniformDropout(0.3))
    replaced = jaxdrop.linen.replace(model, gaussian)
    for new in (uniform, replaced):
        y = new.apply(variables, x, train=True, rngs=rngs)
        assert not np.any(y == 0)
        still = new.apply(variables, x)
        low, high = (0.7, 1.3) if new is uniform else (-np.inf, np.inf)
        assert np.all((y / still > low - 1e-4) & (y / still < high + 1e-4))
    assert np.any(model.apply(variables, x, train=True, rngs=rngs) == 0)
    assert not np.any(replaced.apply(variables, x, train=True, rngs=rngs) == 0)


def test_a_layer_without_anything_random_needs_no_stream(x):
    model = nn.Sequential([nn.Dropout(0.0, deterministic=False)])
    np.testing.assert_array_equal(jaxdrop.linen.replace(model, gaussian).apply({}, x), x)
