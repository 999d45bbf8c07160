"""Sub-networks are ordinary networks under masks with a fixed number of ones."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop.linen import subnetwork_sampler
from tests.statistical import assert_uniform


def flatten(x):
    return x.reshape(len(x), -1)


LAYERS = [
    flatten,
    nn.Dropout(0.25, deterministic=True),
    nn.Dense(4),
    nn.tanh,
    jaxdrop.linen.Dropout(0.5, deterministic=True),
    nn.Dense(3, use_bias=False),
    nn.Dropout(0.0, deterministic=True),
    nn.relu,
    nn.Dense(2),
]


def masks(width, kept):
    for units in itertools.combinations(range(width), kept):
        yield np.isin(np.arange(width), units) * np.float32(width / kept)


@pytest.fixture(scope="module")
def network():
    model, x = nn.Sequential(LAYERS), jax.random.normal(jax.random.key(0), (3, 2, 2))
    variables = model.init(jax.random.key(1), x)
    bias = jax.random.normal(jax.random.key(2), (4,))
    variables["params"]["layers_2"]["bias"] = bias
    return model, variables, x


@pytest.mark.thorough
def test_every_draw_is_one_of_the_masked_networks_and_each_as_often(network, getkey):
    model, variables, x = network
    params = variables["params"]

    def masked(first, second):
        y = jnp.tanh((flatten(x) * first[None]) @ params["layers_2"]["kernel"] + params["layers_2"]["bias"][None])
        y = nn.relu((y * second[None]) @ params["layers_5"]["kernel"])
        return y @ params["layers_8"]["kernel"] + params["layers_8"]["bias"][None]

    explicit = np.stack([masked(*pair) for pair in itertools.product(masks(4, 3), masks(4, 2))])
    sample = subnetwork_sampler(model, variables, x)
    drawn = np.asarray(jaxdrop.monte_carlo(sample, getkey(), 2400, return_samples=True).samples)
    distances = np.abs(drawn[:, None] - explicit[None]).max((2, 3))
    assert (distances.min(1) < 1e-5).all()
    assert_uniform(np.bincount(distances.argmin(1), minlength=24))


def test_the_same_in_nnx(network, getkey):
    model, variables, x = network
    rngs, params = nnx.Rngs(0), variables["params"]
    twin = nnx.Sequential(
        flatten,
        nnx.Dropout(0.25),
        nnx.Linear(4, 4, rngs=rngs),
        nnx.tanh,
        jaxdrop.nnx.Dropout(0.5),
        nnx.Linear(4, 3, use_bias=False, rngs=rngs),
        nnx.Dropout(0.0),
        nnx.relu,
        nnx.Linear(3, 2, rngs=rngs),
    )
    for number, name in ((2, "layers_2"), (5, "layers_5"), (8, "layers_8")):
        for key, value in params[name].items():
            getattr(twin.layers[number], key)[...] = value
    key = getkey()
    theirs = jaxdrop.nnx.subnetwork_sampler(twin, x)(jax.random.clone(key))
    np.testing.assert_allclose(theirs, subnetwork_sampler(model, variables, x)(key), rtol=1e-6)


def test_computes_a_quarter_of_a_hidden_layer(getkey):
    drop = nn.Dropout(0.5, deterministic=True)
    model = nn.Sequential([nn.Dense(256), nn.relu, drop, nn.Dense(256), drop, nn.Dense(2)])
    x = jnp.ones((64, 8))
    variables = model.init(getkey(), x)
    costs = [
        jax.jit(sampler).lower(getkey()).compile().cost_analysis()["flops"]
        for sampler in (subnetwork_sampler(model, variables, x), jaxdrop.linen.sampler(model, variables, x))
    ]
    multiplications = 2 * 64 * 256 * 256
    assert costs[0] < 0.4 * multiplications  # a quarter, the first layer, and what chooses the units
    assert costs[1] > multiplications


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Dense(4), nn.relu, nn.Dense(2)], "model must have a dropout layer with a rate other than 0, got none"),
        ([nn.Dropout(0.5, deterministic=True), nn.relu], "model must have a dense layer, got none"),
        ([nn.Dense(4), nn.Dropout(0.5, deterministic=True)], "model must have a dense layer after its last dropout"),
        ([nn.Dropout(0.5, deterministic=True)] * 2 + [nn.Dense(4)], "dropout layers must have a dense layer between"),
        (
            [nn.Dropout(0.01, deterministic=True), nn.Dense(4)],
            "rate must drop at least 1 of 3 units and keep",
        ),
        (
            [nn.Dense(4), nn.softmax, nn.Dropout(0.5, deterministic=True), nn.Dense(4)],
            "functions between layers must be of single entries, got softmax",
        ),
        (
            [nn.Dense(4), nn.Dropout(0.5, deterministic=True), nn.sigmoid, nn.Dense(4)],
            "functions behind a dropout layer must be 0 at 0, .* got sigmoid",
        ),
        (
            [nn.Dense(4), nn.Dropout(0.5, broadcast_dims=(-1,), deterministic=True), nn.Dense(4)],
            r"broadcast_dims must leave single units to drop, got \(-1,\)",
        ),
    ],
)
def test_refuses(layers, message, getkey):
    model, x = nn.Sequential(layers), jnp.ones((2, 3))
    with pytest.raises(ValueError, match=message):
        subnetwork_sampler(model, model.init(getkey(), x), x)


def test_refuses_other_layers(getkey):
    x = jnp.ones((2, 3))
    model = nn.Sequential([nn.Dense(4), nn.LayerNorm(), nn.Dropout(0.5, deterministic=True), nn.Dense(2)])
    with pytest.raises(TypeError, match="model must have plain Dense, Dropout and functions, got a LayerNorm"):
        subnetwork_sampler(model, model.init(getkey(), x), x)
    with pytest.raises(TypeError, match=r"model must be a flax\.linen\.Sequential, got Dense"):
        subnetwork_sampler(nn.Dense(4), {}, x)  # pyright: ignore[reportArgumentType]


class Scaled(nn.Dense):
    @nn.compact
    def __call__(self, inputs):
        return 10 * super().__call__(inputs)


def test_refuses_subclasses_of_layers(getkey):
    model, x = nn.Sequential([Scaled(4), nn.Dropout(0.5, deterministic=True), nn.Dense(2)]), jnp.ones((2, 3))
    with pytest.raises(TypeError, match="got a Scaled"):
        subnetwork_sampler(model, model.init(getkey(), x), x)


def test_computes_in_the_type_of_the_layers(getkey):
    half = {"dtype": jnp.bfloat16}
    model = nn.Sequential([nn.Dense(8, **half), nn.Dropout(0.5, deterministic=True), nn.Dense(2, **half)])
    x = jnp.ones((2, 3))
    variables = model.init(getkey(), x)
    assert subnetwork_sampler(model, variables, x)(getkey()).dtype == jnp.bfloat16
    rngs = nnx.Rngs(0)
    layers = nnx.Linear(3, 8, rngs=rngs, **half), nnx.Dropout(0.5, rngs=rngs), nnx.Linear(8, 2, rngs=rngs, **half)
    assert jaxdrop.nnx.subnetwork_sampler(nnx.Sequential(*layers), x)(getkey()).dtype == jnp.bfloat16


def test_takes_integers_partitioned_kernels_and_a_layer_that_comes_twice(getkey):
    table = jax.random.normal(getkey(), (5, 4))
    twice = nn.Dense(8, kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), (None, "units")))
    drop = nn.Dropout(0.5, deterministic=True)
    model = nn.Sequential(
        [lambda tokens: table[tokens].reshape(len(tokens), -1), twice, drop, twice, drop, nn.Dense(2)]
    )
    tokens = jnp.array([[0, 3], [1, 4]])
    variables = model.init(getkey(), tokens)
    sample = subnetwork_sampler(model, variables, tokens)
    ordinary = jaxdrop.linen.sampler(model, nn.meta.unbox(variables), tokens)
    means = [jaxdrop.monte_carlo(each, getkey(), 4000).mean for each in (sample, ordinary)]
    spread = jaxdrop.monte_carlo(ordinary, getkey(), 1000).variance.max()
    # Two layers of 8 units, whose correlation changes the mean of nothing here: all is linear.
    np.testing.assert_allclose(*means, atol=float(7 * jnp.sqrt(spread / 4000)))


def test_refuses_the_same_in_nnx():
    x, first, last = jnp.ones((2, 3)), nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    for layer, error, message in (
        (nnx.Dropout(0.5, broadcast_dims=(-1,)), ValueError, r"broadcast_dims must leave single units to drop, got"),
        (
            nnx.LayerNorm(4, rngs=nnx.Rngs(0)),
            TypeError,
            "model must have plain Linear, Dropout and functions, got a LayerN",
        ),
        (nnx.LoRALinear(4, 4, lora_rank=1, rngs=nnx.Rngs(0)), TypeError, "got a LoRALinear"),
    ):
        with pytest.raises(error, match=message):
            jaxdrop.nnx.subnetwork_sampler(nnx.Sequential(first, layer, last), x)
    with pytest.raises(TypeError, match=r"model must be a flax\.nnx\.Sequential, got Linear"):
        jaxdrop.nnx.subnetwork_sampler(first, x)  # pyright: ignore[reportArgumentType]
