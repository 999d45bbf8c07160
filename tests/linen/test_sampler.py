import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop


class Everything(nn.Module):
    """Each kind of noise that flax has, all switched off by the model itself, and batch normalisation."""

    noisy: str = "all"

    @nn.compact
    def __call__(self, x, train=False):
        on = lambda name: 0.5 if self.noisy in ("all", name) else 0.0  # noqa: E731
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        x = nn.Dropout(on("call"))(x, deterministic=True)
        x = nn.Dropout(on("positional"))(x, True)
        x = nn.Dropout(on("field"), deterministic=True)(x)
        x = nn.Dropout(on("key"), deterministic=True)(x, rng=jax.random.key(0))
        x = jaxdrop.linen.Dropout(on("ours"), deterministic=not train, rng_collection="other")(x)
        x = nn.MultiHeadDotProductAttention(2, dropout_rate=on("attention"), deterministic=True)(x[None])[0]
        x = nn.remat(Inner)(on("deep"))(x)
        return {"mean": nn.Dense(3)(x), "hidden": x}


class Inner(nn.Module):
    rate: float

    def setup(self):
        self.block = nn.Sequential([nn.Dense(8), nn.Dropout(self.rate, deterministic=True)])

    def __call__(self, x):
        return self.block(x)


NOISES = ["call", "positional", "field", "key", "ours", "attention", "deep"]


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (5, 4))


@pytest.fixture(scope="module")
def variables(x):
    return Everything().init(jax.random.key(0), x)


@pytest.mark.thorough
@pytest.mark.parametrize("noisy", NOISES)
def test_every_dropout_is_on(noisy, x, variables, getkey):
    model = Everything(noisy)
    sample = jaxdrop.linen.sampler(model, variables, x)
    first, again, second = sample(key := getkey()), sample(key), sample(getkey())
    np.testing.assert_array_equal(first["mean"], again["mean"])
    assert not np.array_equal(first["mean"], second["mean"])


@pytest.mark.thorough
@pytest.mark.parametrize("train", [False, True])
def test_batch_statistics_and_variables_stay(train, x, variables, getkey):
    """Even when the model is called as for training."""
    before = jax.tree.map(np.array, variables)
    sample = jaxdrop.linen.sampler(Everything("ours"), variables, x, train=train)
    many = jaxdrop.linen.sampler(Everything("ours"), variables, jnp.concatenate([x, 100 * x]), train=train)
    key = getkey()
    alone = sample(key)["hidden"]
    # The noise has the shape of the batch: make it certain that the rest does not depend on the other rows.
    quiet = Everything("none").apply(variables, x)["hidden"]
    assert alone.shape == quiet.shape
    statistics = variables["batch_stats"]["BatchNorm_0"]
    shifted = {**variables, "batch_stats": {"BatchNorm_0": jax.tree.map(lambda s: s + 1, statistics)}}
    moved = jaxdrop.linen.sampler(Everything("ours"), shifted, x, train=train)(key)["hidden"]
    assert not np.allclose(moved, alone), "the stored statistics are not used"
    assert np.isfinite(many(key)["hidden"]).all()
    jax.tree.map(np.testing.assert_array_equal, before, variables)


@pytest.mark.thorough
def test_agrees_with_apply(getkey):
    model = nn.Sequential([nn.Dense(6), nn.Dropout(0.5, deterministic=False), nn.Dense(2)])
    x, key = jnp.ones((3, 4)), getkey()
    variables = model.init({"params": getkey(), "dropout": getkey()}, x)
    expected = model.apply(variables, x, rngs={"dropout": key})
    np.testing.assert_allclose(jaxdrop.linen.sampler(model, variables, x)(key), expected, rtol=1e-6)


@pytest.mark.thorough
def test_the_model_works_as_before(x, variables, getkey):
    model = Everything()
    before = model.apply(variables, x)["mean"]
    jaxdrop.linen.sampler(model, variables, x)(getkey())
    np.testing.assert_array_equal(model.apply(variables, x)["mean"], before)


@pytest.mark.thorough
def test_under_nn_scan_over_layers(getkey):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dropout(0.5, deterministic=True)(nn.Dense(8)(x)), None

    stack = nn.scan(Block, length=3, variable_axes={"params": 0}, split_rngs={"params": True, "dropout": True})()
    x = jnp.ones((2, 8))
    variables = stack.init(getkey(), x, None)
    sample = jaxdrop.linen.sampler(stack, variables, x, None)
    assert not np.array_equal(sample(getkey())[0], sample(getkey())[0])


def test_another_method_and_arguments_that_are_not_arrays(getkey):
    class Model(nn.Module):
        def setup(self):
            self.drop = nn.Dropout(0.5)

        def encode(self, x, scale, *, double=False):
            return self.drop(x, deterministic=True) * scale * (2 if double else 1)

    sample = jaxdrop.linen.sampler(Model(), {}, jnp.ones(9), 3, double=True, method="encode")
    assert set(np.unique(sample(getkey()))) == {0, 12}
    sample = jaxdrop.linen.sampler(Model(), {}, jnp.ones(9), 3, method=Model.encode)
    assert set(np.unique(sample(getkey()))) == {0, 6}


class _Deterministic(nn.Module):
    rate: float | None

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(3)(x)
        if self.rate is not None and (train or self.rate == 0):
            x = nn.Dropout(self.rate, deterministic=not train)(x)
        return x


@pytest.mark.parametrize("rate", [None, 0.0, 0.5], ids=["no layer", "rate 0", "layer skipped"])
def test_a_model_without_noise_raises(rate, getkey):
    model, x = _Deterministic(rate), jnp.ones((2, 3))
    sample = jaxdrop.linen.sampler(model, model.init(getkey(), x), x)
    with pytest.raises(ValueError, match="model must have a stochastic layer that runs with a rate other than 0"):
        sample(getkey())
    with pytest.raises(ValueError, match="model must have a stochastic layer"):
        jaxdrop.monte_carlo(sample, getkey())


def test_a_rate_that_is_traced(getkey):
    class Model(nn.Module):
        rate: float

        @nn.compact
        def __call__(self, x):
            return jaxdrop.linen.Dropout(self.rate, deterministic=True)(x)

    @jax.jit
    def spread(rate, key):
        return jaxdrop.monte_carlo(jaxdrop.linen.sampler(Model(rate), {}, jnp.ones(50)), key, 50).variance.mean()

    low, high = (spread(jnp.asarray(rate), getkey()) for rate in (0.1, 0.9))
    assert low < high


class Noisy(nn.Module):
    @nn.compact
    def __call__(self, x, scale=1.0):
        for layer in (nn.Dropout(0.5), jaxdrop.linen.Dropout(0.5), jaxdrop.linen.GaussianDropout(0.5)):
            x = layer(nn.relu(nn.Dense(16)(x)), deterministic=True)
        return {"mean": nn.Dense(3)(x) * scale}


@pytest.mark.thorough
def test_with_shared_masks_a_draw_is_one_function(x, getkey):
    variables, key = Noisy().init(getkey(), x), getkey()

    def draw(x, share):
        return jaxdrop.linen.sampler(Noisy(), variables, x, scale=jnp.float32(2), share_masks=share)(key)["mean"]

    y = draw(x, True)
    np.testing.assert_allclose(draw(x[2:4], True), y[2:4], rtol=1e-5)  # two batches agree row by row
    np.testing.assert_allclose(draw(x[:1], False), y[:1], rtol=1e-5)
    same = jnp.broadcast_to(x[:1], x.shape)
    assert (np.ptp(draw(same, True), axis=0) < 1e-5).all()
    assert (np.ptp(draw(same, False), axis=0) > 1e-2).any()
    sample = jaxdrop.linen.sampler(Noisy(), variables, x, share_masks=True)
    assert jaxdrop.monte_carlo(sample, getkey(), 10).mean["mean"].shape == (5, 3)


@pytest.mark.thorough
def test_with_shared_masks_an_example_may_be_a_number(getkey):
    class Curve(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(nn.Dropout(0.5, deterministic=True)(nn.tanh(nn.Dense(16)(x[:, None]))))[:, 0]

    x, key = jnp.linspace(-1, 1, 5), getkey()
    variables = Curve().init(getkey(), x)
    y, part = (jaxdrop.linen.sampler(Curve(), variables, x, share_masks=True)(key) for x in (x, x[2:4]))
    np.testing.assert_allclose(part, y[2:4], rtol=1e-5, atol=1e-6)


def test_shared_masks_need_examples(getkey):
    model = nn.Dropout(0.5, deterministic=True)
    with pytest.raises(ValueError, match="share_masks must be False for a model without arrays of examples"):
        jaxdrop.linen.sampler(model, {}, jnp.float32(1), share_masks=True)(getkey())


@pytest.mark.parametrize("noisy", ["deep", "ours"])
def test_layers_are_chosen_by_path(noisy, x, variables, getkey):
    paths = []

    def layers(path):
        paths.append(path)
        return path == {"deep": ("CheckpointInner_0", "block", "layers_1"), "ours": ("Dropout_4",)}[noisy]

    key = getkey()
    chosen = jaxdrop.linen.sampler(Everything(), variables, x, layers=layers)(key)
    alone = jaxdrop.linen.sampler(Everything(noisy), variables, x)(key)
    np.testing.assert_allclose(chosen["mean"], alone["mean"], rtol=1e-5, atol=1e-6)
    assert len(set(paths)) == len(NOISES)


def test_weight_scaling_switches_every_layer_off(x, variables):
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dropout(0.5, deterministic=False)(x)

    np.testing.assert_array_equal(jaxdrop.linen.weight_scaling(Noisy(), {}, x), x)
    expected = Everything().apply(variables, x)["mean"]
    for model in (Everything(), Everything("ours")):
        y = jax.jit(lambda x, model=model: jaxdrop.linen.weight_scaling(model, variables, x, train=True))(x)
        np.testing.assert_allclose(y["mean"], expected, rtol=1e-5, atol=1e-6)


@nn.jit
class Compiled(nn.Module):
    rate: float = 0.5

    @nn.compact
    def __call__(self, x):
        return nn.Dropout(self.rate, deterministic=True)(nn.Dense(4)(x))


def test_a_block_under_jit_is_compiled_for_each_choice_of_layers(x, getkey):
    model = Compiled()
    variables = model.init(jax.random.key(0), x)
    plain = model.apply(variables, x)
    for _ in range(2):  # in either order
        assert not np.allclose(jaxdrop.linen.sampler(model, variables, x)(getkey()), plain)
        np.testing.assert_allclose(jaxdrop.linen.weight_scaling(model, variables, x), plain)
        with pytest.raises(ValueError, match="model must have a stochastic layer"):
            jaxdrop.linen.sampler(model, variables, x, layers=lambda path: False)(getkey())
        np.testing.assert_allclose(model.apply(variables, x, rngs={"dropout": getkey(), "params": getkey()}), plain)


@pytest.mark.parametrize("transform", [nn.jit, nn.remat])
def test_sees_that_there_is_no_noise_in_a_transformed_block(transform, x, getkey):
    model = transform(Inner)(0.0)
    with pytest.raises(ValueError, match="model must have a stochastic layer"):
        jaxdrop.linen.sampler(model, model.init(jax.random.key(0), x), x)(getkey())


class Branches(nn.Module):
    @nn.compact
    def __call__(self, x, flag):
        x = nn.Dropout(0.5, deterministic=True)(x)
        return -x if flag is True else x


def test_flags_that_are_equal_and_yet_others_have_programs_of_their_own(getkey):
    key, x = getkey(), jnp.ones(8)
    one, true = (jaxdrop.linen.sampler(Branches(), {}, x, flag)(key) for flag in (1, True))
    np.testing.assert_array_equal(one, -true)

    class Sign(nn.Module):
        @nn.compact
        def __call__(self, x, number):
            return nn.Dropout(0.5, deterministic=True)(x) * jnp.copysign(1.0, number)

    plus, minus = (jaxdrop.linen.sampler(Sign(), {}, x, number)(key) for number in (0.0, -0.0))
    np.testing.assert_array_equal(plus, -minus)


def test_a_boolean_of_numpy_is_a_flag(getkey):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dropout(0.5, deterministic=not train)(x)

    assert jaxdrop.linen.sampler(Model(), {}, jnp.ones(8), train=np.bool_(False))(getkey()).shape == (8,)
