import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop


class ConvNet(nn.Module):
    """Two convolutions and two dense layers, each but the first behind a dropout, if there is any."""

    drop: bool

    @nn.compact
    def __call__(self, x):
        drop = functools.partial(jaxdrop.linen.StandardDropout, deterministic=True) if self.drop else None
        x = nn.relu(nn.Conv(4, (3, 3))(x))
        x = nn.relu(nn.Conv(5, (3, 3), strides=2)(drop(0.1)(x) if drop else x)).reshape(len(x), -1)
        x = nn.relu(nn.Dense(6)(drop(0.3)(x) if drop else x))
        return nn.Dense(3)(drop(0.5)(x) if drop else x)


RATES = {"Conv_1": 0.1, "Dense_0": 0.3, ("Dense_1",): 0.5}


@pytest.fixture
def trained(getkey):
    x = jax.random.normal(getkey(), (2, 8, 8, 1))
    params = ConvNet(drop=True).init(getkey(), x)["params"]
    # Biases that are not zero, as after training.
    return jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape), params), x


@pytest.mark.thorough
def test_a_plain_linen_network_predicts_what_one_with_dropout_does(trained):
    params, x = trained
    with_dropout = ConvNet(drop=True).apply({"params": params}, x)
    plain = ConvNet(drop=False)
    np.testing.assert_allclose(
        plain.apply({"params": jaxdrop.scale_kernels(params, RATES)}, x), with_dropout, rtol=1e-5, atol=1e-6
    )
    assert not np.allclose(plain.apply({"params": params}, x), with_dropout, rtol=0.1)


def test_paths_start_at_the_root_that_is_given(trained):
    params, _ = trained
    variables = jaxdrop.scale_kernels({"params": params}, {"params/Dense_0": 0.5, ("params", "Dense_1"): 0.25})
    scaled = jaxdrop.scale_kernels(params, {"Dense_0": 0.5, "Dense_1": 0.25})
    jax.tree.map(np.testing.assert_array_equal, variables["params"], scaled)
    kernel = jaxdrop.scale_kernels(params["Dense_0"], {"": 0.5})["kernel"]
    np.testing.assert_array_equal(kernel, scaled["Dense_0"]["kernel"])


def test_nothing_else_changes(trained):
    params, _ = trained
    scaled = jaxdrop.scale_kernels(params, {"Dense_0": 0.5})
    np.testing.assert_array_equal(scaled["Dense_0"].pop("kernel"), 0.5 * params["Dense_0"].pop("kernel"))
    jax.tree.map(np.testing.assert_array_equal, scaled, params)


def nnx_network(drop: bool):
    rngs = nnx.Rngs(0)
    layers = [nnx.Linear(8, 16, rngs=rngs), nnx.relu, nnx.Linear(16, 3, rngs=rngs)]
    if drop:
        layers.insert(0, jaxdrop.nnx.StandardDropout(0.2, deterministic=True))
        layers.insert(3, jaxdrop.nnx.StandardDropout(0.5, deterministic=True))
    return nnx.Sequential(*layers)


@pytest.mark.thorough
@pytest.mark.parametrize("pure", [False, True], ids=["state", "pure dictionary"])
def test_a_plain_nnx_network_predicts_what_one_with_dropout_does(pure, getkey):
    x = jax.random.normal(getkey(), (4, 8))
    plain, expected = nnx_network(drop=False), nnx_network(drop=True)(x)
    assert not np.allclose(plain(x), expected, rtol=0.1)
    state = nnx.state(plain, nnx.Param)
    scaled = jaxdrop.scale_kernels(nnx.to_pure_dict(state) if pure else state, {"layers/0": 0.2, ("layers", 2): 0.5})
    if pure:
        nnx.replace_by_pure_dict(state, scaled)
    nnx.update(plain, state if pure else scaled)
    np.testing.assert_allclose(plain(x), expected, rtol=1e-5, atol=1e-6)


def test_partitioned_kernels_stay_partitioned(getkey):
    dense = nn.Dense(3, kernel_init=nn.with_partitioning(nn.initializers.ones, (None, "a")))
    params = dense.init(getkey(), jnp.ones((1, 2)))
    kernel = jaxdrop.scale_kernels(params, {"params": 0.5})["params"]["kernel"]
    assert kernel.names == (None, "a")
    np.testing.assert_array_equal(kernel.value, 0.5)


def test_rates_may_be_traced_and_are_rounded_to_the_bits(trained):
    params, _ = trained
    scale = jax.jit(lambda rate: jaxdrop.scale_kernels(params, {"Dense_0": rate}, bits=8))
    keep = scale(0.1)["Dense_0"]["kernel"] / params["Dense_0"]["kernel"]
    np.testing.assert_allclose(keep, 230 / 256, rtol=1e-6)


@pytest.mark.parametrize("path", ["Dense_7", "Dense_0/kernel", ("Dense_0", "bias"), "Dense"])
def test_unknown_paths_raise_and_the_known_ones_are_listed(path, trained):
    name = path if isinstance(path, str) else "/".join(path)
    known = "'Conv_0', 'Conv_1', 'Dense_0', 'Dense_1'"
    with pytest.raises(ValueError, match=f"each path in rates must be one of {known}, got '{name}'"):
        jaxdrop.scale_kernels(trained[0], {path: 0.5})


def test_refuses_bad_rates(trained):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 1.5"):
        jaxdrop.scale_kernels(trained[0], {"Dense_0": 1.5})
    with pytest.raises(ValueError, match=r"rates\['Dense_0'\] must broadcast against the shape \(\), got shape \(6,\)"):
        jaxdrop.scale_kernels(trained[0], {"Dense_0": jnp.full(6, 0.5)})
