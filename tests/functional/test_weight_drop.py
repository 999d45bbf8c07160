import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent, assert_mean


@pytest.fixture(scope="module")
def params():
    """Kernels of two layers of one shape, and what is not to be dropped from."""
    draws = iter(np.random.default_rng(0).uniform(1, 2, (6, 200, 100)).astype(np.float32))
    return {
        "first": {"kernel": next(draws), "bias": next(draws)[0]},
        "Embed_0": {"embedding": next(draws)},
        "layers": [{"kernel": next(draws)}, {"scale": next(draws)[0]}],
    }


def only_first(path):
    return path == ("first", "kernel")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_kernels_are_dropped_at_the_rate_independently_and_survivors_scaled(params, rate, getkey):
    dropped = jaxdrop.weight_drop(getkey(), params, rate, bits=32)
    zeros = []
    for before, after in (
        (params["first"], dropped["first"]),
        (params["layers"][0], dropped["layers"][0]),
    ):
        kept = np.asarray(after["kernel"] != 0)
        assert_frequency((~kept).sum(), kept.size, rate)
        np.testing.assert_allclose(after["kernel"], np.where(kept, before["kernel"] / (1 - rate), 0), rtol=1e-6)
        zeros.append(~kept)
    assert_independent(*zeros)


def test_all_other_leaves_are_the_very_same_arrays(params, getkey):
    dropped = jaxdrop.weight_drop(getkey(), params, 0.5)
    assert dropped["first"]["bias"] is params["first"]["bias"]
    assert dropped["Embed_0"]["embedding"] is params["Embed_0"]["embedding"]
    assert dropped["layers"][1]["scale"] is params["layers"][1]["scale"]
    assert jax.tree.structure(dropped) == jax.tree.structure(params)


def test_the_mean_is_the_kernel(getkey):
    kernel = jnp.linspace(-2, 2, 12).reshape(3, 4)
    draws = jax.vmap(lambda key: jaxdrop.weight_drop(key, {"kernel": kernel}, 0.3)["kernel"])
    assert_mean(draws(jax.random.split(getkey(), 4000)), kernel, standard_deviation=np.abs(kernel) * np.sqrt(0.3 / 0.7))


def test_a_mask_is_that_of_dropout_for_a_key_made_from_the_path(params, getkey):
    key = getkey()
    dropped = jaxdrop.weight_drop(key, params, 0.3)
    for path, before, after in (
        ("first/kernel", params["first"], dropped["first"]),
        ("layers/0/kernel", params["layers"][0], dropped["layers"][0]),
    ):
        folded = jax.random.fold_in(key, zlib.crc32(path.encode()))
        np.testing.assert_array_equal(after["kernel"], jaxdrop.dropout(folded, before["kernel"], 0.3))


def test_a_mask_depends_neither_on_other_leaves_nor_on_order_nor_on_the_kind_of_tree(getkey):
    key = getkey()
    linear = nnx.Linear(6, 8, rngs=nnx.Rngs(0))
    kernel = linear.kernel[...]
    alone = jaxdrop.weight_drop(clone(key), {"a": {"kernel": kernel}}, 0.5)["a"]["kernel"]
    more = {"b": {"kernel": kernel}, "a": {"zero": kernel, "kernel": kernel, "bias": kernel}}
    np.testing.assert_array_equal(jaxdrop.weight_drop(clone(key), more, 0.5)["a"]["kernel"], alone)
    state = nnx.state(nnx.Dict(a=linear), nnx.Param)
    np.testing.assert_array_equal(jaxdrop.weight_drop(clone(key), state, 0.5)["a"]["kernel"][...], alone)
    assert isinstance(jaxdrop.weight_drop(clone(key), state, 0.5)["a"]["kernel"], nnx.Param)
    boxed = {"a": {"kernel": nn.Partitioned(kernel, (None, "x"))}}
    dropped = jaxdrop.weight_drop(clone(key), boxed, 0.5)["a"]["kernel"]
    np.testing.assert_array_equal(dropped.value, alone)
    assert dropped.names == (None, "x")


def test_same_masks_eager_jit_and_vmap(params, getkey):
    keys = jax.random.split(getkey(), 3)
    rate = jnp.asarray(0.3)
    eager = [jaxdrop.weight_drop(key, params, 0.3)["first"]["kernel"] for key in clone(keys)]
    mapped = jax.jit(jax.vmap(jaxdrop.weight_drop, (0, None, None)))(clone(keys), params, rate)
    np.testing.assert_array_equal(mapped["first"]["kernel"], eager)
    np.testing.assert_array_equal(mapped["first"]["bias"][2], params["first"]["bias"])


def test_legacy_keys_serve_as_well(params, getkey):
    key = getkey()
    legacy = jaxdrop.weight_drop(jax.random.key_data(key), params, 0.3)
    jax.tree.map(np.testing.assert_array_equal, legacy, jaxdrop.weight_drop(key, params, 0.3))


@pytest.mark.thorough
def test_the_gradient_is_that_at_the_dropped_kernel_times_the_mask(getkey):
    key, kernel, x = getkey(), jax.random.normal(getkey(), (5, 4)), jax.random.normal(getkey(), (3, 5))

    def loss(params):
        return jnp.sum(jnp.sin(x @ params["kernel"]) + params["bias"])

    params = {"kernel": kernel, "bias": jnp.ones((1, 4))}
    gradient = jax.grad(lambda params: loss(jaxdrop.weight_drop(clone(key), params, 0.5)))(params)
    dropped = jaxdrop.weight_drop(clone(key), params, 0.5)
    there = jax.grad(loss)(dropped)
    np.testing.assert_allclose(gradient["kernel"], 2 * jnp.where(dropped["kernel"] == 0, 0, there["kernel"]), rtol=1e-5)
    np.testing.assert_array_equal(gradient["bias"], there["bias"])


def test_the_backward_pass_holds_no_mask(getkey):
    params = {"kernel": jnp.ones((16, 16))}
    _, pullback = jax.eval_shape(
        lambda params, key: jax.vjp(lambda params: jaxdrop.weight_drop(key, params, 0.5), params), params, getkey()
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(pullback)) < 16


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_0_and_1(params, rate, traced, getkey):
    dropped = jaxdrop.weight_drop(getkey() if traced else None, params, jnp.asarray(rate) if traced else rate)
    np.testing.assert_array_equal(dropped["first"]["kernel"], (1 - rate) * params["first"]["kernel"])


def test_a_predicate_chooses_by_path(params, getkey):
    seen = []
    dropped = jaxdrop.weight_drop(getkey(), params, 0.5, where=lambda path: seen.append(path) or "layers" in path)
    assert ("layers", "0", "kernel") in seen
    assert len(seen) == 5
    assert dropped["first"]["kernel"] is params["first"]["kernel"]
    assert (dropped["layers"][1]["scale"] == 0).any()


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_refuses_to_drop_from_nothing(rate, getkey):
    """Which would go unnoticed: the classic bug of weight drop."""
    params = {"Dense_0": {"weight": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    message = "where must choose at least one leaf, got none of Dense_0/bias, Dense_0/weight"
    with pytest.raises(ValueError, match=message):
        jaxdrop.weight_drop(getkey(), params, rate)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_refuses_a_rate_outside_0_to_1(params, rate, getkey):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got"):
        jaxdrop.weight_drop(getkey(), params, rate)


def test_refuses_other_bad_input(params, getkey):
    with pytest.raises(ValueError, match=r"rate must broadcast against the shape \(\), got shape \(100,\)"):
        jaxdrop.weight_drop(getkey(), params, jnp.full(100, 0.5))
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        jaxdrop.weight_drop(None, params, 0.5)
    with pytest.raises(ValueError, match="bits must be None, 8, 16 or 32, got 7"):
        jaxdrop.weight_drop(getkey(), params, 0.5, bits=7)
    with pytest.raises(TypeError, match=r"params\['a/kernel'\] must be floating point, got dtype int32"):
        jaxdrop.weight_drop(getkey(), {"a": {"kernel": jnp.ones((2, 2), jnp.int32)}}, 0.5)


def test_uses_up_its_key(params, getkey):
    with jax.debug_key_reuse(True):
        key = getkey()
        jaxdrop.weight_drop(key, params, 0.5)
        with pytest.raises(jax.errors.KeyReuseError):
            jaxdrop.weight_drop(key, params, 0.5, where=only_first)
