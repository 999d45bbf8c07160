"""Compact chains of random networks, with units zeroed at random, predict as the large ones."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop.linen import LogNormalNoise, VariationalConv, VariationalDense, compact
from jaxdrop.variational import compact as chains


def flatten(x):
    return x.reshape(len(x), -1)


conv = functools.partial(nn.Conv, kernel_size=(3, 3))
pool = functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
MODELS = {
    "dense": [flatten, nn.Dense(9), nn.relu, nn.Dense(8), nn.gelu, nn.Dense(7, use_bias=False), nn.tanh, nn.Dense(3)],
    "convolutions": [conv(6, padding="VALID"), nn.relu, pool, nn.Conv(5, (2, 2), padding=0), flatten, nn.Dense(3)],
    "padded": [conv(6), nn.sigmoid, conv(5), nn.relu, pool, flatten, nn.Dense(2)],
    "padded, zero at zero": [conv(6, use_bias=False), nn.relu, conv(5), flatten, nn.Dense(2)],
    "grouped": [conv(6), nn.relu, conv(4, feature_group_count=2), flatten, nn.Dense(6), nn.Dense(2)],
    "step": [flatten, nn.Dense(9), lambda x: (x > 0).astype(x.dtype), nn.Dense(3)],
}


def without_units(params, key, share=0.4):
    """Zeroes some columns, some rows and some biases."""
    pruned = {}
    for number, (name, layer) in enumerate(params.items()):
        keys = jax.random.split(jax.random.fold_in(key, number), 3)
        *_, inputs, outputs = layer["kernel"].shape
        kept = jax.random.bernoulli(keys[0], 1 - share, (1, outputs))
        kept &= jax.random.bernoulli(keys[1], 1 - share, (inputs, 1))
        kernel = layer["kernel"] * jnp.broadcast_to(kept, layer["kernel"].shape).astype(jnp.float32)
        pruned[name] = {**layer, "kernel": kernel}
        if "bias" in layer:
            bias = jax.random.normal(keys[2], layer["bias"].shape)
            pruned[name]["bias"] = jnp.where(bias > 0.5, 0, bias)
    return pruned


def size(params):
    return sum(layer["kernel"].size for layer in params.values())


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_compact_models_predict_alike(name, seed, getkey):
    model, x = nn.Sequential(MODELS[name]), jax.random.normal(getkey(), (4, 6, 6, 3))
    params = without_units(model.init(getkey(), x)["params"], jax.random.key(seed))
    small, variables = compact(model, {"params": params}, x)
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-4, atol=1e-5)
    assert size(variables["params"]) < (1 if name == "grouped" else 0.9) * size(params)
    again, same = compact(small, variables, x)
    assert jax.tree.map(jnp.shape, same["params"]) == {
        f"layers_{number}": jax.tree.map(jnp.shape, variables["params"][f"layers_{number}"])
        for number, layer in enumerate(again.layers)
        if f"layers_{number}" in variables["params"]
    }


@pytest.mark.thorough
def test_counts_exactly_what_is_left(getkey):
    """Unit 1 is constant, nobody reads unit 2, and input 3 is read by unit 1 alone."""
    model, x = nn.Sequential([nn.Dense(3), nn.sigmoid, nn.Dense(2)]), jax.random.normal(getkey(), (5, 4))
    first = jnp.array([[1.0, 0, 1], [2, 0, 1], [1, 0, 1], [0, 0, 5]])
    params = {
        "layers_0": {"kernel": first, "bias": jnp.array([0.1, 3.0, 0])},
        "layers_2": {"kernel": jnp.array([[1.0, -1], [2, 3], [0, 0]]), "bias": jnp.zeros(2)},
    }
    small, variables = compact(model, {"params": params}, x)
    take, dense, function, last = small.layers
    assert take == chains.Take((0, 1, 2))
    assert (dense.features, last.features, function) == (1, 2, nn.sigmoid)
    np.testing.assert_array_equal(variables["params"]["layers_1"]["kernel"], first[:3, :1])
    np.testing.assert_allclose(
        variables["params"]["layers_3"]["bias"], jax.nn.sigmoid(3.0) * jnp.array([2.0, 3]), rtol=1e-6
    )
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-5)


@pytest.mark.thorough
def test_a_network_of_which_nothing_is_left_is_constant(getkey):
    model, x = nn.Sequential([nn.Dense(3), nn.sigmoid, nn.Dense(3), nn.relu, nn.Dense(2)]), jnp.ones((5, 4))
    params = jax.tree.map(jnp.zeros_like, model.init(getkey(), x)["params"])
    params["layers_0"]["bias"] += 1
    params["layers_2"]["kernel"] += 1
    params["layers_4"]["kernel"] += 1
    small, variables = compact(model, {"params": params}, x)
    assert [leaf["kernel"].shape for leaf in variables["params"].values()] == [(1, 1), (1, 1), (1, 2)]
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-5)


NOISY = [
    VariationalConv(6, (3, 3), padding="VALID", deterministic=True),
    nn.relu,
    pool,
    LogNormalNoise(broadcast_dims=(1, 2), deterministic=True),
    flatten,
    nn.Dropout(0.5, deterministic=True),
    jaxdrop.linen.ConcreteDropout(nn.Dense(8), 1.0, deterministic=True),
    nn.relu,
    LogNormalNoise(deterministic=True),
    VariationalDense(3, deterministic=True),
]


@pytest.mark.thorough
def test_noise_is_taken_away_and_factors_go_into_kernels(getkey):
    model, x = nn.Sequential(NOISY), jax.random.normal(getkey(), (4, 6, 6, 1))
    params = model.init(getkey(), x)["params"]
    for name, width in (("layers_3", 6), ("layers_8", 8)):
        noisy = jnp.arange(width) % 2 == 0
        params[name] = {"mu": jnp.where(noisy, -5.0, -0.5), "log_sigma": jnp.where(noisy, 1.0, -1.0)}
    for name in ("layers_0", "layers_9"):
        params[name]["log_sigma2"] = 4 * jax.random.normal(getkey(), params[name]["log_sigma2"].shape)
    small, variables = compact(model, {"params": params}, x)
    assert [type(layer).__name__ for layer in small.layers if isinstance(layer, nn.Module)] == [
        "Conv",
        "Dense",
        "Dense",
    ]
    shapes = [layer["kernel"].shape for layer in variables["params"].values()]
    assert shapes[0][-1] <= 3
    assert shapes[1][-1] <= 4
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_the_same_in_nnx(getkey):
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        jaxdrop.nnx.VariationalConv(1, 6, (3, 3), strides=2, padding="VALID", rngs=rngs),
        nnx.relu,
        nnx.Conv(6, 5, (2, 2), kernel_dilation=1, padding="VALID", rngs=rngs),
        nnx.relu,
        jaxdrop.nnx.LogNormalNoise(5, broadcast_dims=(1, 2), rngs=rngs),
        flatten,
        jaxdrop.nnx.Dropout(0.5, rngs=rngs),
        nnx.Linear(5, 8, rngs=rngs),
        nnx.relu,
        jaxdrop.nnx.VariationalDense(8, 3, rngs=rngs),
    )
    x = jax.random.normal(getkey(), (4, 6, 6, 1))
    model.layers[0].log_sigma2[...] = jnp.broadcast_to(jnp.where(jnp.arange(6) < 3, 9.0, -9.0), (3, 3, 1, 6))
    model.layers[4].mu[...] = jnp.array([-5.0, 0, -5, 0, 0])
    model.layers[4].log_sigma[...] = jnp.array([1.0, -5, 1, -5, -5])
    model.eval()
    small = jaxdrop.nnx.compact(model, x)
    shapes = [layer.kernel.shape for layer in small.layers if isinstance(layer, nnx.Module)]
    assert shapes == [(3, 3, 1, 3), (2, 2, 3, 3), (3, 8), (8, 3)]
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-5)
    assert model.layers[0].kernel.shape == (3, 3, 1, 6)


@pytest.mark.thorough
def test_options_of_layers_stay(getkey):
    mask = jax.random.bernoulli(getkey(), 0.5, (2, 2, 3, 4)).astype(jnp.float32)
    options = {"strides": 2, "padding": "VALID", "kernel_dilation": 2, "use_bias": False, "threshold": 0.0}
    layers = [
        VariationalConv(3, (2, 2), **options, deterministic=True),
        nn.Conv(4, (2, 2), mask=mask),
        VariationalConv(4, (2, 2), padding="VALID", feature_group_count=2, deterministic=True),
        flatten,
        LogNormalNoise(threshold=3.0, deterministic=True),
        VariationalDense(3, threshold=-1.0, dtype=jnp.float16, deterministic=True),
    ]
    model, x = nn.Sequential(layers), jax.random.normal(getkey(), (2, 7, 7, 1))
    params = jax.jit(model.init)(getkey(), x)["params"]
    for name in ("layers_0", "layers_5"):
        params[name]["log_sigma2"] = 2 * jax.random.normal(getkey(), params[name]["log_sigma2"].shape) - 3
    params["layers_0"]["log_sigma2"] = params["layers_0"]["log_sigma2"].at[..., 1].set(9)
    width = len(params["layers_4"]["mu"])
    params["layers_4"] = {"mu": jnp.full(width, -1.0), "log_sigma": jnp.linspace(-2.0, 0.0, width)}
    small, variables = compact(model, {"params": params}, x)
    y, expected = jax.jit(small.apply)(variables, x), jax.jit(model.apply)({"params": params}, x)
    assert y.dtype == expected.dtype == jnp.float16
    np.testing.assert_allclose(y, expected, rtol=0.01, atol=0.01 * float(jnp.abs(expected).max()))


@pytest.mark.thorough
def test_options_of_layers_stay_in_nnx(getkey):
    rngs, mask = nnx.Rngs(0), jax.random.bernoulli(getkey(), 0.5, (2, 2, 3, 4)).astype(jnp.float32)
    model = nnx.Sequential(
        jaxdrop.nnx.ConcreteDropout(nnx.Conv(2, 3, (2, 2), rngs=rngs), length_scale=1.0),
        nnx.Conv(3, 4, (2, 2), strides=2, mask=mask, rngs=rngs),
        nnx.Conv(4, 4, (2, 2), padding="VALID", feature_group_count=2, rngs=rngs),
        flatten,
        jaxdrop.nnx.LogNormalNoise(16, threshold=3.0),
        jaxdrop.nnx.VariationalDense(16, 6, threshold=-1.0, rngs=rngs),
        nnx.Linear(6, 3, dtype=jnp.float16, rngs=rngs),
    )
    first, masked, grouped, noisy, last = model.layers[0].layer, *(model.layers[n] for n in (1, 2, 5, 6))
    first.kernel[...] = first.kernel[...].at[..., 1].set(0)
    model.layers[4].mu[...], model.layers[4].log_sigma[...] = jnp.full(16, -1.0), jnp.linspace(-2.0, 0.0, 16)
    noisy.log_sigma2[...] = (2 * jax.random.normal(getkey(), (16, 6)) - 4).at[:, 1].set(9)
    for layer in (first, masked, grouped, noisy, last):
        layer.bias[...] = jax.random.normal(getkey(), layer.bias.shape)
    model.eval()
    x = jax.random.normal(getkey(), (2, 5, 5, 2))
    small = jaxdrop.nnx.compact(model, x)
    assert small.layers[-1].kernel.shape == (5, 3)
    assert small.layers[2].in_features == 4
    y, expected = small(x), model(x)
    assert y.dtype == expected.dtype == jnp.float16
    np.testing.assert_allclose(y, expected, rtol=0.01, atol=0.01 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("groups", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_factors_go_into_the_kernel_of_a_convolution(groups, getkey):
    layers = [LogNormalNoise(broadcast_dims=(1, 2), deterministic=True), nn.Conv(8, (2, 2), feature_group_count=groups)]
    model, x = nn.Sequential(layers), jax.random.normal(getkey(), (2, 3, 3, 4))
    params = model.init(getkey(), x)["params"]
    params["layers_0"] = {"mu": jnp.array([-0.1, -5.0, -1.0, -2.0]), "log_sigma": jnp.array([-1.0, 1.0, -1.0, -1.0])}
    small, variables = compact(model, {"params": params}, x)
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_features_that_no_unit_makes_have_no_factor(getkey):
    def with_one(x):
        return jnp.pad(x, ((0, 0), (0, 1)), constant_values=1.0)

    model, x = nn.Sequential([nn.Dense(3), LogNormalNoise(deterministic=True), with_one, nn.Dense(2)]), jnp.ones((2, 4))
    params = model.init(getkey(), x)["params"]
    params["layers_0"]["kernel"] = params["layers_0"]["kernel"].at[:, 2].set(0)
    params["layers_1"]["mu"] = jnp.array([-1.0, -2.0, -3.0])
    small, variables = compact(model, {"params": params}, x)
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-5)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([nn.Dense(3), nn.softmax, nn.Dense(2)], ValueError, "must treat each channel by itself, got softmax"),
        ([nn.Dense(3), nn.LayerNorm(), nn.Dense(2)], TypeError, "model must have Dense, Conv.*got a LayerNorm"),
        ([nn.relu], ValueError, "model must have a layer"),
        ([LogNormalNoise(deterministic=True), nn.gelu, nn.Dense(2)], ValueError, "factors of units must commute.*gelu"),
        ([nn.Dense(2), LogNormalNoise(deterministic=True)], ValueError, "factors of units must have a layer behind"),
        (
            [LogNormalNoise(deterministic=True), LogNormalNoise(deterministic=True), nn.Dense(2)],
            ValueError,
            "a layer between them, got two in a row",
        ),
    ],
)
def test_refuses(layers, error, message, getkey):
    model, x = nn.Sequential(layers), jnp.ones((1, 3))
    with pytest.raises(error, match=message):
        compact(model, model.init(getkey(), x), x)


def test_refuses_what_is_no_chain():
    with pytest.raises(TypeError, match=r"model must be a flax.linen.Sequential, got Dense"):
        compact(nn.Dense(3), {}, jnp.ones((1, 3)))  # pyright: ignore[reportArgumentType]


@pytest.mark.thorough
@pytest.mark.parametrize("leading", [(5,), (2, 3)])
def test_sparse_kernels_predict_alike_and_nearly_full_ones_stay(leading, getkey):
    model, x = (
        nn.Sequential([nn.Dense(30), nn.relu, nn.Dense(10, use_bias=False)]),
        jax.random.normal(getkey(), (*leading, 20)),
    )
    params = model.init(getkey(), x)["params"]
    kernel = params["layers_0"]["kernel"]
    params["layers_0"]["kernel"] = jnp.where(jax.random.bernoulli(getkey(), 0.05, kernel.shape), kernel, 0)
    params["layers_0"]["bias"] = jax.random.normal(getkey(), (30,))
    small, variables = jaxdrop.linen.sparsify(model, {"params": params})
    assert [type(layer) for layer in small.layers[::2]] == [jaxdrop.linen.SparseDense, nn.Dense]
    np.testing.assert_allclose(small.apply(variables, x), model.apply({"params": params}, x), rtol=1e-5, atol=1e-6)
    assert jax.tree.map(jnp.shape, small.init(getkey(), x)) == jax.tree.map(jnp.shape, variables)
    twin = nnx.Sequential(nnx.Linear(20, 30, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(30, 10, rngs=nnx.Rngs(0)))
    twin.layers[0].kernel[...], twin.layers[0].bias[...] = params["layers_0"]["kernel"], params["layers_0"]["bias"]
    twin.layers[2].kernel[...] = params["layers_2"]["kernel"]
    sparse = jaxdrop.nnx.sparsify(twin)
    assert isinstance(sparse.layers[0], jaxdrop.nnx.SparseLinear)
    assert isinstance(sparse.layers[2], nnx.Linear)
    np.testing.assert_allclose(nnx.jit(lambda model, x: model(x))(sparse, x), twin(x), rtol=1e-5, atol=1e-6)
    for predict in (sparse, lambda x: small.apply(variables, x)):
        assert isinstance(predict(np.asarray(x)), jax.Array)


@pytest.mark.parametrize(("max_density", "sparse"), [(0.25, True), (0.2, False)])
def test_what_is_sparse_and_its_dtype_are_said_by_arguments(max_density, sparse):
    kernel, x = jnp.zeros((4, 5)).at[jnp.arange(5) % 4, jnp.arange(5)].set(jnp.arange(1.0, 6)), jnp.ones((2, 4))
    model = nn.Sequential([nn.Dense(5, use_bias=False, dtype=jnp.float16)])
    variables = {"params": {"layers_0": {"kernel": kernel}}, "other": {"kept": 1}}
    small, found = jaxdrop.linen.sparsify(model, variables, max_density=max_density)
    twin = nnx.Sequential(nnx.Linear(4, 5, use_bias=False, dtype=jnp.float16, rngs=nnx.Rngs(0)))
    twin.layers[0].kernel[...] = kernel
    of_nnx = jaxdrop.nnx.sparsify(twin, max_density=max_density)
    assert isinstance(small.layers[0], jaxdrop.linen.SparseDense) == sparse
    assert isinstance(of_nnx.layers[0], jaxdrop.nnx.SparseLinear) == sparse
    assert found["other"] == {"kept": 1}
    for y in (small.apply(found, x), of_nnx(x)):
        np.testing.assert_array_equal(y, jnp.broadcast_to(jnp.arange(1.0, 6), (2, 5)))
        assert y.dtype == jnp.float16


def test_takes_arrays_of_numpy_as_flax_restores_them(getkey):
    model = nn.Sequential([jaxdrop.linen.VariationalDense(3, deterministic=True), jnp.tanh, nn.Dense(2)])
    x = jnp.ones((1, 4))
    variables = model.init(getkey(), x)
    variables["params"]["layers_0"]["log_sigma2"] = jnp.full((4, 3), 9.0).at[:, 0].set(-10)
    small, smaller = jaxdrop.linen.compact(model, jax.tree.map(np.asarray, variables), x)
    assert smaller["params"]["layers_0"]["kernel"].shape == (4, 1)
    np.testing.assert_allclose(small.apply(smaller, x), model.apply(variables, x), rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "function", [lambda x: 1e-5 * x, lambda x: nn.relu(x - 9), nn.gelu], ids=["small", "far", "gelu"]
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_functions_of_any_scale_in_any_precision(function, dtype, getkey):
    layer = functools.partial(nn.Dense, dtype=dtype, param_dtype=dtype)
    model, x = nn.Sequential([layer(6), function, layer(4)]), jax.random.normal(getkey(), (3, 5), dtype)
    variables = model.init(getkey(), x)
    small, smaller = compact(model, variables, x)
    np.testing.assert_allclose(small.apply(smaller, x), model.apply(variables, x), rtol=1e-3, atol=1e-6)
