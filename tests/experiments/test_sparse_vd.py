"""Sparse variational dropout prunes what it can, and magnitude pruning as much."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop.linen
from experiments.common.lenets import LENET5, noisy, plain
from experiments.sparse_vd.magnitude import gradually, largest
from experiments.sparse_vd.train import Config, examples, run
from jaxdrop import variational


@pytest.mark.slow
def test_prunes_both_networks_alike(tmp_path):
    config = Config(
        dataset="digits",
        network="16",
        epochs=20,
        retrain_epochs=4,
        warm_up_epochs=5,
        learning_rate=0.01,
        num_seeds=2,
    )
    metrics = run(config, tmp_path)
    kinds = ["sparse VD", "dense", "magnitude"]
    assert list(metrics)[:3] == kinds
    assert metrics["deployed: compact"]["parameters"] <= metrics["deployed: dense"]["parameters"]
    for name in ("compact", "coordinates"):
        assert metrics[f"largest difference of logits, {name}"] < 1e-4
    metrics = {kind: metrics[kind] for kind in kinds}
    for values in metrics.values():
        errors = [values[f"error %, network {number}"] for number in range(2)]
        assert (values["error %"], values["standard error"]) == pytest.approx((np.mean(errors), np.ptp(errors) / 2))
    assert metrics["dense"]["compression"] == 1
    assert metrics["sparse VD"]["compression"] > 1.5
    for values in metrics.values():
        assert values["error %"] < 30  # chance is 90
        assert values["training error %"] < 30
    for layer in range(2):
        # One weight less where two are equal at the border.
        sparsities = (metrics[kind][f"sparsity %, layer {layer}"] for kind in ("magnitude", "sparse VD"))
        assert next(sparsities) == pytest.approx(next(sparsities), abs=0.2)


@pytest.mark.thorough
def test_the_largest_weights_stay():
    params = {"dense": {"kernel": jnp.array([[3.0, -4.0], [0.5, -1.0]]), "bias": jnp.ones(2)}}
    kept = largest(params, {"dense": 2})
    np.testing.assert_array_equal(kept["dense"]["kernel"], [[3, -4], [0, 0]])
    np.testing.assert_array_equal(kept["dense"]["bias"], [1, 1])
    kernel = jax.random.normal(jax.random.key(0), (20, 30))
    for number in (0, 1, 7, 599, 600):
        (kept,) = largest({"dense": {"kernel": kernel}}, {"dense": number}).values()
        expected = np.sort(np.abs(kernel).ravel())[::-1][:number]
        np.testing.assert_array_equal(np.sort(np.abs(kept["kernel"][kept["kernel"] != 0]))[::-1], expected)


def test_sparsity_rises_by_a_cubic_to_the_last():
    params = {"dense": {"kernel": jax.random.normal(jax.random.key(0), (40, 25))}}
    prune = jax.jit(lambda step: gradually(params, step, {"dense": 100}, 10)["dense"]["kernel"])
    left = [int((prune(jnp.int32(step)) != 0).sum()) for step in (0, 1, 5, 9, 10, 50)]
    assert left == [1000, 756, 212, 101, 100, 100]  # 100 + 900 (1 - t)^3


def test_random_labels_are_the_same_ones_in_another_order():
    train, test = examples(Config(dataset="digits", num_train=500))
    shuffled, same_test = examples(Config(dataset="digits", num_train=500, random_labels=True))
    assert train.images.shape == (500, 8, 8, 1)
    np.testing.assert_array_equal(train.images, shuffled.images)
    np.testing.assert_array_equal(np.sort(train.labels), np.sort(shuffled.labels))
    assert 0.02 < np.mean(train.labels == shuffled.labels) < 0.2
    np.testing.assert_array_equal(test.labels, same_test.labels)


def test_lenet5_has_the_published_number_of_weights_and_its_noisy_twin_as_many():
    x = jnp.ones((1, 28, 28, 1))
    options = {"kl": variational.kl_log_uniform, "threshold": 3.0, "log_sigma2": -10.0}
    for network, number in (("lenet5", 430_500), ("300-100", 266_200)):
        for model in (plain(network), noisy(network, **options)):
            params = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
            assert sum(layer["kernel"].size for layer in params.values()) == number


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "cifar10", "dataset must be one of digits, mnist, got 'cifar10'"),
        ("kl", "kingma", "kl must be one of log_uniform, log_uniform_exact, ard, got 'kingma'"),
        ("network", "300-", "network must be 'lenet5' or positive integers joined by dashes, got '300-'"),
        ("dropout_rate", 1.0, "dropout_rate must be at least 0 and below 1, got 1.0"),
        ("num_seeds", 0, "num_seeds must be at least 1, got 0"),
        ("threshold", float("nan"), "threshold must be finite, got nan"),
        ("warm_up_begin", -1, "warm_up_begin must be at least 0, got -1"),
        ("learning_rate", 0.0, "learning_rate must be positive and finite, got 0.0"),
    ],
)
def test_refuses_settings_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})


def test_refuses_a_network_that_the_images_are_too_small_for():
    with pytest.raises(ValueError, match="too small for 'lenet5'"):
        Config(dataset="digits", network="lenet5")


@pytest.mark.parametrize("network", ["20-10", LENET5])
def test_layers_have_the_same_names_with_and_without_dropout(network):
    networks = [plain(network, dropout_rate=rate) for rate in (0.0, 0.5)]
    first, second = (jax.eval_shape(n.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1))) for n in networks)
    assert first == second


@pytest.mark.thorough
@pytest.mark.parametrize(("network", "hidden"), [("20-10", 2), (LENET5, 3)])
def test_whatever_a_hidden_layer_gives_is_dropped(network, hidden):
    rate, x = 1.0, jnp.ones((1, 28, 28, 1))
    model = plain(network, dropout_rate=rate, train=True)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

    def is_drop(module, method):
        return isinstance(module, jaxdrop.linen.Dropout) and method == "__call__"

    _, state = model.init_with_output(keys, x, mutable=True, capture_intermediates=is_drop)
    dropped = jax.tree.leaves(state["intermediates"])
    assert len(dropped) == hidden
    assert not any(leaf.any() for leaf in dropped)
