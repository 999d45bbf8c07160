import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop


class Everything(nnx.Module):
    """Each kind of noise that flax has, all switched off by the model itself, and batch normalisation."""

    def __init__(self, noisy: str, rngs: nnx.Rngs):
        on = lambda name: 0.5 if noisy in ("all", name) else 0.0  # noqa: E731
        self.dense = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.called = nnx.Dropout(on("call"), rngs=rngs)
        self.evaluated = nnx.Dropout(on("eval"), rngs=rngs)
        self.without_rngs = nnx.Dropout(on("no rngs"))
        self.ours = jaxdrop.nnx.Dropout(on("ours"), rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, dropout_rate=on("attention"), decode=False, rngs=rngs)
        self.without_keep = nnx.MultiHeadAttention(
            2, 8, dropout_rate=on("attention without rngs"), decode=False, keep_rngs=False, rngs=rngs
        )
        self.deep = nnx.Sequential(nnx.Sequential(nnx.Linear(8, 8, rngs=rngs), nnx.Dropout(on("deep"), rngs=rngs)))

    def __call__(self, x, train=False):
        x = self.norm(self.dense(x), use_running_average=not train)
        x = self.called(x, deterministic=True)
        x = self.evaluated(x)
        x = self.without_rngs(x, deterministic=True, rngs=nnx.Rngs(0))
        x = self.ours(x, deterministic=True)
        x = self.attention(x[None], deterministic=True)[0]
        x = self.without_keep(x[None], deterministic=True)[0]
        return {"hidden": self.deep(x)}


NOISES = ["call", "eval", "no rngs", "ours", "attention", "attention without rngs", "deep"]


def snapshot(model):
    """Every array in a model, keys as their data."""

    def data(leaf):
        return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    return jax.tree.map(data, nnx.to_pure_dict(nnx.state(model)))


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (5, 4))


def model_in_eval_mode(noisy):
    model = Everything(noisy, nnx.Rngs(0))
    model.eval()
    return model


@pytest.mark.parametrize("noisy", NOISES)
def test_every_dropout_is_on(noisy, x, getkey):
    sample = jaxdrop.nnx.sampler(model_in_eval_mode(noisy), x)
    key = getkey()
    first, again, second = (sample(key)["hidden"] for key in (key, key, getkey()))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


@pytest.mark.thorough
@pytest.mark.parametrize("train", [False, True])
def test_the_model_stays_as_it_is(train, x, getkey):
    """Parameters, batch statistics, RNG streams, structure and mode; even when called as for training."""
    model = model_in_eval_mode("all")
    before, graph, y = snapshot(model), nnx.graphdef(model), model(x)["hidden"]
    sample = jaxdrop.nnx.sampler(model, x, train=train)
    jaxdrop.monte_carlo(sample, getkey(), 4)
    sample(getkey())
    jax.tree.map(np.testing.assert_array_equal, snapshot(model), before)
    assert nnx.graphdef(model) == graph
    np.testing.assert_array_equal(model(x)["hidden"], y)


@pytest.mark.parametrize("train", [False, True])
def test_batch_normalisation_uses_stored_statistics(train, x, getkey):
    model, key = model_in_eval_mode("deep"), getkey()
    before = jaxdrop.nnx.sampler(model, x, train=train)(key)["hidden"]
    # With the batch's own statistics, scaling all inputs would change next to nothing.
    scaled = jaxdrop.nnx.sampler(model, 100 * x, train=train)(key)["hidden"]
    assert np.abs(scaled).max() > 20 * np.abs(before).max()


@pytest.mark.thorough
def test_samples_under_vmap_differ(x, getkey):
    sample = jaxdrop.nnx.sampler(model_in_eval_mode("all"), x)
    draws = jax.vmap(sample)(jax.random.split(getkey(), 6))["hidden"]
    assert len(np.unique(draws, axis=0)) == 6


@pytest.mark.thorough
def test_layers_stacked_by_vmap_and_run_by_scan(getkey):
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.dense = nnx.Linear(8, 8, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.drop(self.dense(x), deterministic=True)

    class Stack(nnx.Module):
        def __init__(self, rngs):
            self.blocks = nnx.split_rngs(splits=3)(nnx.vmap(Block, in_axes=0, out_axes=0))(rngs)

        def __call__(self, x):
            return nnx.scan(lambda block, x: block(x), in_axes=(0, nnx.Carry), out_axes=nnx.Carry)(self.blocks, x)

        def masks(self, x):
            return nnx.vmap(lambda block, x: block.drop(x, deterministic=True), in_axes=(0, None))(self.blocks, x)

    sample = jaxdrop.nnx.sampler(Stack(nnx.Rngs(0)), jnp.ones((2, 8)))
    assert not np.array_equal(sample(getkey()), sample(getkey()))
    masks = jaxdrop.nnx.sampler(Stack(nnx.Rngs(0)), jnp.ones(50), method="masks")(getkey())
    assert len(np.unique(masks, axis=0)) == 3


def test_another_method(getkey):
    class Model(nnx.Module):
        def __init__(self):
            self.drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

        def encode(self, x, *, double):
            return self.drop(x, deterministic=True) * (2 if double else 1)

    for method in ("encode", Model.encode):
        sample = jaxdrop.nnx.sampler(Model(), jnp.ones(20), method=method, double=True)
        assert set(np.unique(sample(getkey()))) == {0, 4}


def test_a_model_without_noise_raises(getkey):
    rngs = nnx.Rngs(0)
    linear = nnx.Linear(3, 3, rngs=rngs)
    for model in (linear, nnx.Sequential(linear, nnx.Dropout(0.0, rngs=rngs))):
        with pytest.raises(ValueError, match="model must have a stochastic layer that runs with a rate other than 0"):
            jaxdrop.nnx.sampler(model, jnp.ones((2, 3)))(getkey())


@pytest.mark.thorough
def test_with_shared_masks_a_draw_is_one_function(x, getkey):
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(4, 16, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), jaxdrop.nnx.GaussianDropout(0.5, rngs=rngs)
    )
    key = getkey()

    def draw(x, share=True):
        return jaxdrop.nnx.sampler(model, x, share_masks=share)(key)

    y = draw(x)
    np.testing.assert_allclose(draw(x[2:4]), y[2:4], rtol=1e-5)  # two batches agree row by row
    same = jnp.broadcast_to(x[:1], x.shape)
    assert (np.ptp(draw(same), axis=0) < 1e-5).all()
    assert (np.ptp(draw(same, False), axis=0) > 1e-2).any()


def with_parameters_of(model, noisy):
    other = model_in_eval_mode(noisy)
    nnx.update(other, nnx.state(model, nnx.Param))
    return other


@pytest.mark.thorough
@pytest.mark.parametrize("noisy", ["deep", "no rngs"])
def test_layers_are_chosen_by_path(noisy, x, getkey):
    place = {"deep": ("deep", "layers", "0", "layers", "1"), "ours": ("ours",), "no rngs": ("without_rngs",)}[noisy]
    model, key = model_in_eval_mode("all"), getkey()
    chosen = jaxdrop.nnx.sampler(model, x, layers=lambda path: path == place)
    plain = jaxdrop.nnx.sampler(with_parameters_of(model, noisy), x)
    # The streams of noisy layers are seeded by their number, so that samples are others but alike.
    p, q = (jaxdrop.monte_carlo(sample, key, 2000).variance["hidden"] for sample in (chosen, plain))
    np.testing.assert_allclose(p, q, rtol=0.35, atol=1e-5)
    with pytest.raises(ValueError, match="must have a stochastic layer"):
        jaxdrop.nnx.sampler(model, x, layers=lambda path: False)(key)


def test_weight_scaling_switches_every_layer_off(x):
    model = Everything("all", nnx.Rngs(0))
    before = snapshot(model)
    y = jax.jit(lambda x: jaxdrop.nnx.weight_scaling(model, x, train=True))(x)["hidden"]
    jax.tree.map(np.testing.assert_array_equal, snapshot(model), before)
    expected = with_parameters_of(model, "none")(x)["hidden"]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


class Positional(nnx.Module):
    """Flags by position, and a layer that does not take any."""

    class Plain(nnx.Dropout):
        def __call__(self, x):
            return super().__call__(x)

    class Passing(nnx.Dropout):
        def __call__(self, x, **kwargs):
            return super().__call__(x, **kwargs)

    def __init__(self, kind: type[nnx.Dropout]):
        self.norm = nnx.BatchNorm(4, rngs=nnx.Rngs(0))
        self.dropout = kind(0.5, deterministic=True, rngs=nnx.Rngs(0))

    def __call__(self, x, train=False):
        x = self.norm(x, not train)
        return self.dropout(x) if isinstance(self.dropout, self.Plain) else self.dropout(x, deterministic=not train)


@pytest.mark.parametrize("kind", [nnx.Dropout, Positional.Plain, Positional.Passing])
def test_forces_flags_however_they_are_given(kind, x, getkey):
    model = Positional(kind)
    plain = model(x)
    assert not np.allclose(jaxdrop.nnx.sampler(model, x)(getkey()), plain)
    np.testing.assert_allclose(jaxdrop.nnx.weight_scaling(model, x, train=True), plain, rtol=1e-6)
    np.testing.assert_array_equal(model(x), plain)
