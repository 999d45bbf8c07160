import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop.linen import VariationalConv, VariationalDense
from jaxdrop.variational import AdditiveWeights, MultiplicativeWeights, prune, pruned, trace_thresholds


class Network(nn.Module):
    """A convolution and two dense layers, with noise or without."""

    noisy: bool

    @nn.compact
    def __call__(self, x):
        options = {"deterministic": True} if self.noisy else {}
        conv, dense = (VariationalConv, VariationalDense) if self.noisy else (nn.Conv, nn.Dense)
        x = nn.relu(conv(4, (3, 3), name="conv", **options)(x)).reshape(len(x), -1)
        return nn.Dense(2, name="plain")(nn.relu(dense(5, name="dense", **options)(x)))


def noisier(variables, key):
    """The same with other noise, so that some weights are above the threshold."""

    def other(path, leaf):
        return 4 * jax.random.normal(key, leaf.shape) if "log_sigma2" in str(path) else leaf

    return jax.tree_util.tree_map_with_path(other, variables)


@pytest.mark.thorough
def test_pruned_parameters_are_those_of_flax_s_layers_and_predict_the_same(getkey):
    x = jax.random.normal(getkey(), (3, 6, 6, 1))
    variables = noisier(Network(noisy=True).init(getkey(), x), getkey())
    params, report = prune(variables["params"])
    assert jax.tree.structure(params) == jax.tree.structure(Network(noisy=False).init(getkey(), x)["params"])
    np.testing.assert_allclose(
        Network(noisy=False).apply({"params": params}, x), Network(noisy=True).apply(variables, x), rtol=1e-5, atol=1e-6
    )
    assert [layer.name for layer in report.layers] == ["conv", "dense"]
    for layer in report.layers:
        kernel = params[layer.name]["kernel"]
        assert (layer.total, layer.kept) == (kernel.size, int((kernel != 0).sum()))
        assert 0 < layer.sparsity < 1
    kept, total = (sum(getattr(layer, name) for layer in report.layers) for name in ("kept", "total"))
    assert report.compression == total / kept


def test_prunes_the_state_of_an_nnx_model(getkey):
    model = nnx.Sequential(jaxdrop.nnx.VariationalDense(4, 3, rngs=nnx.Rngs(0)), nnx.relu)
    model.layers[0].log_sigma2[...] = 4 * jax.random.normal(getkey(), (4, 3))
    model.eval()
    params, report = prune(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    (layer,) = report.layers
    assert layer.name == "layers/0"
    x = jax.random.normal(getkey(), (2, 4))
    plain = params["layers"][0]
    np.testing.assert_allclose(nnx.relu(x @ plain["kernel"] + plain["bias"][None]), model(x), rtol=1e-5)


def test_without_a_threshold_only_the_noise_goes(getkey):
    variables = VariationalDense(3, deterministic=True).init(getkey(), jnp.ones((1, 4)))
    params, report = prune(variables["params"], threshold=None)
    np.testing.assert_array_equal(params["kernel"], variables["params"]["kernel"])
    assert report.compression == 1


def test_prunes_embeddings_and_shared_rates(getkey):
    table, noise = jax.random.normal(getkey(), (2, 6, 4))
    kernel, rates = jax.random.normal(getkey(), (4, 3)), jnp.array([-3.0, -1.0, 0.5])
    tree = {"embed": {"embedding": table, "log_sigma2": noise}, "dense": {"kernel": kernel, "log_rate": rates}}
    params, report = prune(tree, -1.0)
    assert jax.tree.map(jnp.shape, params) == {"embed": {"embedding": (6, 4)}, "dense": {"kernel": (4, 3)}}
    np.testing.assert_array_equal(params["embed"]["embedding"], pruned(AdditiveWeights(table, noise), -1.0))
    np.testing.assert_array_equal(params["dense"]["kernel"], pruned(MultiplicativeWeights(kernel, rates), -1.0))
    np.testing.assert_array_equal(params["dense"]["kernel"], kernel.at[:, 1:].set(0))
    embed, dense = report.layers
    # A rate above 0 counts as 0; bins of one begin at -8.
    assert (dense.kept, dense.total, dense.log_alpha_counts[5:9]) == (4, 12, (4, 0, 4, 4))
    assert (embed.name, embed.kept, embed.total) == ("embed", int((params["embed"]["embedding"] != 0).sum()), 24)


@pytest.mark.thorough
def test_the_table_lists_layers_and_compression():
    noisy = {"kernel": jnp.ones((10, 10)), "log_sigma2": jnp.full((10, 10), 9.0).at[0].set(-9)}
    _, report = prune({"first": noisy, "second": {"kernel": jnp.ones((2, 2)), "log_sigma2": jnp.full((2, 2), 9.0)}})
    lines = str(report).splitlines()
    assert lines[1].split() == ["first", "100", "10", "90.0"]
    assert lines[2].split() == ["second", "4", "0", "100.0"]
    assert lines[3] == "compression 10.4"
    empty = prune({"kernel": jnp.ones(3), "log_sigma2": jnp.full(3, 9.0)}).report
    assert empty.compression == float("inf")


def test_refuses_parameters_without_noise():
    with pytest.raises(ValueError, match="params must hold a layer with learned noise"):
        prune({"dense": {"kernel": jnp.ones((2, 2))}})


def test_the_report_counts_rates_and_the_curve_falls_and_rises(getkey):
    weights = {"kernel": jax.random.normal(getkey(), (20, 10)), "log_sigma2": 3 * jax.random.normal(getkey(), (20, 10))}
    _, report = prune({"dense": weights})
    (layer,) = report.layers
    log_alpha = np.asarray(AdditiveWeights(*weights.values()).log_alpha)
    assert sum(layer.log_alpha_counts) == 200
    assert sum(layer.log_alpha_counts[11:]) == (log_alpha >= 3).sum() == layer.total - layer.kept
    total = jnp.square(weights["kernel"]).sum()
    curve = trace_thresholds({"dense": weights}, lambda params: jnp.square(params["dense"]["kernel"]).sum() / total)
    assert (np.diff(curve.thresholds) < 0).all()
    assert (np.diff(curve.scores) <= 0).all()
    assert (np.diff(curve.compressions) >= 0).all()
    chosen = curve.thresholds == curve.choose(max_loss=0.1)
    assert curve.scores[chosen] >= curve.scores.max() - 0.1 > curve.scores[np.flatnonzero(chosen) + 1]
    some = trace_thresholds({"dense": weights}, lambda params: 0.0, [0.0, 5.0, 2.0])
    np.testing.assert_array_equal(some.thresholds, [5, 2, 0])
    np.testing.assert_array_equal(some.compressions, curve.compressions[np.isin(curve.thresholds, [5, 2, 0])])
    assert curve.choose() == curve.thresholds[curve.scores == curve.scores.max()][-1]
    with pytest.raises(ValueError, match="the number of thresholds must be at least 1, got 0"):
        trace_thresholds({"dense": weights}, lambda params: 0.0, [])
    with pytest.raises(ValueError, match="max_loss must be at least 0"):
        curve.choose(-1.0)


def test_takes_arrays_of_numpy_as_flax_restores_them():
    layer = {"kernel": np.ones((2, 2), np.float32), "log_sigma2": np.array([[-9, 9], [9, -9]], np.float32)}
    params, report = prune({"dense": layer})
    np.testing.assert_array_equal(params["dense"]["kernel"], np.eye(2))
    assert report.layers[0].kept == 2


def test_leaves_parameters_alone_that_only_share_a_name():
    layer = {"kernel": jnp.ones((2, 2)), "log_sigma2": jnp.zeros((2, 2))}
    others = {"log_sigma2": jnp.zeros(()), "poisson": {"log_rate": jnp.zeros(3), "scale": jnp.ones(3)}}
    params, _ = prune({"dense": layer, **others})
    assert set(params["dense"]) == {"kernel"}
    assert {name: params[name] for name in others} == others


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_layers_in_bfloat16_drop_the_weights_that_pruning_drops(kind, getkey):
    inputs, noise = jnp.eye(32, dtype=jnp.bfloat16), 3 + 0.2 * jax.random.normal(getkey(), (32, 32))
    if kind == "linen":
        layer = VariationalDense(32, dtype=jnp.bfloat16, deterministic=True, use_bias=False)
        params = layer.init(getkey(), inputs)["params"]
        params["log_sigma2"] = noise + 2 * jnp.log(jnp.abs(params["kernel"]))
        y = layer.apply({"params": params}, inputs)
    else:
        layer = jaxdrop.nnx.VariationalDense(32, 32, dtype=jnp.bfloat16, use_bias=False, rngs=nnx.Rngs(0))
        layer.log_sigma2[...] = noise + 2 * jnp.log(jnp.abs(layer.kernel[...]))
        params = {"kernel": layer.kernel[...], "log_sigma2": layer.log_sigma2[...]}
        y = layer(inputs, deterministic=True)
    assert y.dtype == jnp.bfloat16
    dropped = prune(params).params["kernel"] == 0
    assert 0 < dropped.sum() < dropped.size
    np.testing.assert_array_equal(y == 0, dropped)


def test_a_mean_that_is_nan_is_not_pruned():
    layer = {"kernel": jnp.array([jnp.nan, 1e-9]), "log_sigma2": jnp.zeros(2)}
    np.testing.assert_array_equal(prune(layer).params["kernel"], [np.nan, 0])
