from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop


class Model(nnx.Module):
    def __init__(self, rngs):
        self.body = nnx.Sequential(nnx.Linear(8, 16, rngs=rngs), nnx.Dropout(0.2, rngs=rngs))
        self.named = nnx.Dict(drop=nnx.Dropout(0.3, rngs=rngs))
        self.last = jaxdrop.nnx.Dropout(0.5, rngs=rngs)
        self.again = self.last

    def __call__(self, x):
        return self.again(self.last(self.named["drop"](self.body(x))))


@pytest.fixture
def model():
    return Model(nnx.Rngs(0))


def gaussian(layer):
    return jaxdrop.nnx.GaussianDropout(layer.rate)


def test_every_layer_is_replaced_and_the_model_stays(model):
    x = jnp.ones((50, 8))
    replaced = jaxdrop.nnx.replace(model, gaussian)
    assert not np.any(replaced(x) == 0), "Gaussian noise drops nothing"
    assert np.any(model(x) == 0)
    assert replaced.again is replaced.last
    assert [replaced.body.layers[1].rate, replaced.named["drop"].rate, replaced.last.rate] == [0.2, 0.3, 0.5]
    model.eval()
    replaced.eval()
    np.testing.assert_array_equal(replaced(x), model(x))


def test_streams_and_mode_are_taken_over(model):
    model.eval()
    same = jaxdrop.nnx.replace(model, lambda layer: jaxdrop.nnx.Dropout(layer.rate))
    x = jnp.ones((50, 8))
    np.testing.assert_array_equal(same(x), model(x))
    model.train()
    same.train()
    np.testing.assert_array_equal(same.last(x), model.last(x) if isinstance(model.last, jaxdrop.nnx.Dropout) else None)
    own = jaxdrop.nnx.replace(model, lambda layer: jaxdrop.nnx.Dropout(layer.rate, rngs=nnx.Rngs(7)))
    assert not np.array_equal(own.last(x), jaxdrop.nnx.replace(model, gaussian).last(x))


def test_layers_are_chosen_by_path_or_type(model):
    replaced = jaxdrop.nnx.replace(model, gaussian, where=lambda path, layer: path[:1] == ("body",))
    assert isinstance(replaced.body.layers[1], jaxdrop.nnx.GaussianDropout)
    assert isinstance(replaced.last, jaxdrop.nnx.Dropout)
    replaced = jaxdrop.nnx.replace(model, gaussian, where=lambda path, layer: isinstance(layer, jaxdrop.nnx.Dropout))
    assert isinstance(replaced.body.layers[1], nnx.Dropout)
    assert isinstance(replaced.last, jaxdrop.nnx.GaussianDropout)


def test_a_model_that_is_a_dropout_layer():
    assert isinstance(jaxdrop.nnx.replace(nnx.Dropout(0.1, rngs=nnx.Rngs(0)), gaussian), jaxdrop.nnx.GaussianDropout)


@pytest.mark.thorough
def test_under_monte_carlo_and_jit(model, getkey):
    model.eval()
    replaced = jaxdrop.nnx.replace(model, gaussian)
    p = jaxdrop.monte_carlo(jaxdrop.nnx.sampler(replaced, jnp.ones((4, 8))), getkey(), 20)
    assert np.all(p.variance > 0)
    replaced.train()
    nnx.jit(lambda model, x: model(x))(replaced, jnp.ones((4, 8)))


def test_layers_that_are_more_than_noise_stay():
    rngs = nnx.Rngs(0)
    layers = (
        jaxdrop.nnx.DropConnectDense(3, 3, 0.5, rngs=rngs),
        jaxdrop.nnx.LayerDrop(nnx.Linear(3, 3, rngs=rngs), 0.5, rngs=rngs),
        jaxdrop.nnx.FractalDropPath(0.5, rngs=rngs),
        jaxdrop.nnx.Zoneout(0.5, rngs=rngs),
    )
    replaced = jaxdrop.nnx.replace(
        nnx.Sequential(*layers, nnx.Dropout(0.5)), lambda layer: jaxdrop.nnx.DropBlock(0.1, block_size=2)
    )
    assert [type(layer) for layer in replaced.layers] == [*map(type, layers), jaxdrop.nnx.DropBlock]


def test_layers_in_tuples_are_replaced():
    class Pair(NamedTuple):
        first: nnx.Module
        second: int

    class Holder(nnx.Module):
        def __init__(self, rngs):
            self.drops = nnx.data((nnx.Dropout(0.2, rngs=rngs), [Pair(nnx.Dropout(0.3, rngs=rngs), 7)]))
            self.untouched = (1, 2)

        def __call__(self, x):
            return self.drops[1][0].first(self.drops[0](x))

    model = Holder(nnx.Rngs(0))
    new = jaxdrop.nnx.replace(model, gaussian)
    assert isinstance(new.drops[0], jaxdrop.nnx.GaussianDropout)
    assert isinstance(new.drops[1][0], Pair)
    assert isinstance(new.drops[1][0].first, jaxdrop.nnx.GaussianDropout)
    assert (new.drops[1][0].second, new.untouched) == (7, (1, 2))
    assert (new(jnp.ones((20, 8))) != 0).all()


def test_layers_in_pytrees_that_are_no_modules_are_replaced():
    class Part(nnx.Pytree):
        def __init__(self, rngs):
            self.drop = nnx.Dropout(0.5, rngs=rngs)

    class Holder(nnx.Module):
        def __init__(self, rngs):
            self.part = Part(rngs)

    new = jaxdrop.nnx.replace(Holder(nnx.Rngs(0)), gaussian)
    assert isinstance(new.part.drop, jaxdrop.nnx.GaussianDropout)
