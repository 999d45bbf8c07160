import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from jaxdrop.nnx import WeightDrop


class Net(nnx.Module):
    """Kernels, batch statistics and an RNG stream of its own."""

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x, *, fail=False):
        x = self.drop(self.norm(self.first(x)))
        if fail:
            raise RuntimeError("in the middle of a call")
        return self.last(x)


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(0), (4, 6))


def snapshot(model, kind=nnx.Param):
    return jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(model, kind)))


def assert_trees_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def with_dropped_parameters(model, key, rate, **options):
    copy = nnx.clone(model)
    nnx.update(copy, jaxdrop.weight_drop(key, nnx.state(copy, nnx.Param), rate, **options))
    return copy


def lstm(cell):
    return nnx.RNN(cell(6, 8, rngs=nnx.Rngs(0)), return_carry=True)


RECURRENT = {
    nnx.LSTMCell: lambda path: path[-1] == "kernel" and path[-2] in ("hi", "hf", "hg", "ho"),
    nnx.OptimizedLSTMCell: lambda path: path[-2:] == ("dense_h", "kernel"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("cell", RECURRENT)
def test_an_lstm_runs_a_whole_sequence_on_one_mask(cell, x, getkey):
    model, where, key = lstm(cell), RECURRENT[cell], getkey()
    before = snapshot(model)
    _, y = WeightDrop(model, 0.5, where=where)(x[None], rngs=clone(key))
    step = with_dropped_parameters(model, clone(key), 0.5, where=where).cell
    carry = step.initialize_carry((1, 6), rngs=nnx.Rngs(0))
    for time in range(x.shape[0]):
        carry, expected = step(carry, x[None, time])
        np.testing.assert_allclose(y[:, time], expected, rtol=1e-5, atol=1e-6)
    assert_trees_equal(snapshot(model), before)
    assert not np.allclose(model(x[None])[1], y)
    with pytest.raises(AttributeError, match="num_feature_axes"):
        nnx.RNN(WeightDrop(model.cell, 0.5))(x[None])


@pytest.mark.thorough
def test_runs_the_module_on_dropped_parameters_and_updates_all_other_state(x, getkey):
    key, model, other = getkey(), Net(), Net()
    wrapped, dropped = WeightDrop(model, 0.5), with_dropped_parameters(other, key, 0.5)
    before, statistics = snapshot(model), snapshot(model, nnx.BatchStat)
    np.testing.assert_array_equal(wrapped(x, rngs=clone(key)), dropped(x))
    assert_trees_equal(snapshot(model), before)
    assert_trees_equal(snapshot(model, (nnx.BatchStat, nnx.RngCount)), snapshot(dropped, (nnx.BatchStat, nnx.RngCount)))
    assert not np.allclose(model.norm.mean[...], statistics["norm"]["mean"])
    assert model.drop.rngs.count[...] == 1


def test_parameters_stay_as_they_are_if_the_call_raises(x):
    model = WeightDrop(Net(), 0.5, rngs=nnx.Rngs(0))
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="in the middle of a call"):
        model(x, fail=True)
    assert_trees_equal(snapshot(model), before)


def test_evaluation_is_the_plain_module(x):
    model = nnx.Sequential(nnx.Linear(6, 8, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(8, 3, rngs=nnx.Rngs(1)))
    wrapped = WeightDrop(model, 0.5, rngs=nnx.Rngs(0))
    wrapped.eval()
    np.testing.assert_array_equal(wrapped(x), model(x))
    wrapped.train()
    assert not np.allclose(wrapped(x), model(x))
    assert not np.allclose(wrapped(x), wrapped(x))
    np.testing.assert_array_equal(nnx.view(wrapped, deterministic=True)(x), model(x))
    np.testing.assert_array_equal(wrapped(x, deterministic=True), model(x))
    np.testing.assert_array_equal(WeightDrop(model, 0.0)(x), model(x))


@pytest.mark.thorough
def test_gradients_are_those_of_the_stored_parameters(x, getkey):
    model, key = nnx.Linear(6, 3, rngs=nnx.Rngs(0)), getkey()
    wrapped = WeightDrop(model, 0.5)

    dropped = with_dropped_parameters(model, clone(key), 0.5)
    there = nnx.grad(lambda model: jnp.sum(model(x) ** 2))(dropped)
    gradient = nnx.grad(lambda model: jnp.sum(model(x, rngs=clone(key)) ** 2))(wrapped)["module"]
    expected = 2 * jnp.where(dropped.kernel[...] == 0, 0, there["kernel"][...])
    np.testing.assert_allclose(gradient["kernel"][...], expected, rtol=1e-5)
    np.testing.assert_allclose(gradient["bias"][...], there["bias"][...], rtol=1e-5)


@pytest.mark.thorough
def test_training_under_jit_leaves_no_tracer_behind(x):
    model = WeightDrop(Net(), 0.5, rngs=nnx.Rngs(dropout=1))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    before = snapshot(model)

    @nnx.jit
    def train_step(model, optimizer):
        optimizer.update(model, nnx.grad(nnx.remat(lambda model: jnp.sum(model(x) ** 2)))(model))

    for _ in range(2):
        train_step(model, optimizer)
    leaves = jax.tree.leaves(nnx.state(model))
    assert not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, snapshot(model))
    assert moved["module"]["first"]["kernel"]
    assert moved["module"]["last"]["kernel"]
    assert model.rngs.count[...] == 2
    assert np.all(np.asarray(model.module.first.kernel[...]) != 0), "the mask is not in the stored kernel"


def test_under_jax_transformations_of_what_does_not_own_the_module(x, getkey):
    """A module from outside may be read, but not written to: parameters are not even swapped for a while."""
    model, keys = WeightDrop(nnx.Linear(6, 3, rngs=nnx.Rngs(0)), 0.5), jax.random.split(getkey(), 3)
    draws = jax.jit(jax.vmap(lambda key: model(x, rngs=key)))(keys)
    for draw, key in zip(draws, keys, strict=True):
        np.testing.assert_allclose(draw, model(x, rngs=key), rtol=1e-5, atol=1e-6)
    assert len(np.unique(draws, axis=0)) == 3


@pytest.mark.thorough
def test_under_nnx_vmap_and_scan_over_layers(getkey):
    x = jnp.ones((1, 6))

    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=0, out_axes=0)
    def make(rngs):
        linear = nnx.Linear(6, 6, use_bias=False, kernel_init=lambda *_: jnp.eye(6), rngs=rngs)
        return WeightDrop(linear, 0.5, rngs=rngs)

    layers = make(nnx.Rngs(0))
    y = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None))(layers, x)
    assert set(np.unique(y)) == {0, 2}
    assert len(np.unique(y, axis=0)) == 3

    @nnx.scan(in_axes=(0, nnx.Carry), out_axes=(nnx.Carry, 0))
    def run(layer, x):
        return x, layer(x)

    scanned = run(layers, x)[1]
    assert set(np.unique(scanned)) == {0, 2}
    assert len(np.unique(scanned, axis=0)) == 3
    assert not np.array_equal(scanned, y), "the streams went on"


def test_another_method_and_arguments_of_the_module(x):
    class Module(nnx.Module):
        def __init__(self):
            self.linear = nnx.Linear(6, 3, rngs=nnx.Rngs(0))

        def encode(self, x, scale, *, shift):
            return scale * self.linear(x) + shift

    model = WeightDrop(Module(), 0.5, method="encode", rngs=nnx.Rngs(0))
    plain = Module().encode(x, 2.0, shift=1.0)
    np.testing.assert_array_equal(model(x, 2.0, shift=1.0, deterministic=True), plain)
    assert not np.allclose(model(x, 2.0, shift=1.0), plain)


def test_intermediates_are_captured(x):
    class Module(nnx.Module):
        def __init__(self):
            self.linear = nnx.Linear(6, 3, rngs=nnx.Rngs(0))

        def __call__(self, x):
            self.sow(nnx.Intermediate, "hidden", x)
            return self.linear(x)

    model = WeightDrop(Module(), 0.5, rngs=nnx.Rngs(0))
    _, state = nnx.capture(model, nnx.Intermediate)(x)
    np.testing.assert_array_equal(jax.tree.leaves(state)[0], x)


@pytest.mark.thorough
def test_the_sampler_switches_it_on_and_leaves_the_model_as_it_is(x, getkey):
    model = WeightDrop(lstm(nnx.OptimizedLSTMCell), 0.5)
    model.eval()
    before, y = snapshot(model), model(x[None])[1]
    sample = jaxdrop.nnx.sampler(model, x[None], deterministic=True)
    p = jaxdrop.monte_carlo(lambda key: sample(key)[1], getkey(), 30)
    assert np.all(p.variance > 0)
    assert_trees_equal(snapshot(model), before)
    np.testing.assert_array_equal(model(x[None])[1], y)


def test_is_not_taken_for_a_dropout_layer_to_replace(x):
    model = nnx.Sequential(WeightDrop(nnx.Linear(6, 3, rngs=nnx.Rngs(0)), 0.5), nnx.Dropout(0.5))
    replaced = jaxdrop.nnx.replace(model, lambda layer: jaxdrop.nnx.GaussianDropout(layer.rate))
    assert [type(layer).__name__ for layer in replaced.layers] == ["WeightDrop", "GaussianDropout"]


def test_refuses_bad_input(x, getkey):
    linear = nnx.Linear(6, 3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="where must choose at least one leaf, got none of bias, kernel"):
        WeightDrop(linear, 0.5, where=lambda path: False)(x, rngs=getkey())
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        WeightDrop(linear, 1.5)(x, deterministic=True)
    with pytest.raises(ValueError, match="no `rngs` argument was provided to WeightDrop"):
        WeightDrop(linear, 0.5)(x)
    with pytest.raises(ValueError, match="No `deterministic` argument was provided to WeightDrop"):
        WeightDrop(linear, 0.5, deterministic=None)(x, rngs=getkey())
    with pytest.raises(TypeError, match="rngs must be"):
        WeightDrop(linear, 0.5)(x, rngs=3)
