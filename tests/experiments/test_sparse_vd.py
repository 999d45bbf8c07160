"""Sparse variational dropout prunes what it can, and magnitude pruning as much."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.sparse_vd.train import Config, magnitude_mask, run


@pytest.mark.slow
def test_prunes_both_networks_alike(tmp_path):
    config = Config(dataset="digits", widths="16", epochs=20, retrain_epochs=3, warm_up_epochs=5, learning_rate=0.01)
    metrics = run(config, tmp_path)
    assert list(metrics) == ["sparse VD", "dense", "magnitude"]
    assert metrics["dense"]["compression"] == 1
    assert metrics["sparse VD"]["compression"] > 1.5
    for values in metrics.values():
        assert values["error %"] < 30  # chance is 90
        kept = (100 - values["sparsity %, layer 0"]) * 64 * 16 + (100 - values["sparsity %, layer 1"]) * 160
        assert values["compression"] == pytest.approx(100 * (64 * 16 + 160) / kept)
    for layer in range(2):
        assert metrics["magnitude"][f"sparsity %, layer {layer}"] == metrics["sparse VD"][f"sparsity %, layer {layer}"]


def test_the_largest_weights_stay():
    params = {"dense": {"kernel": jnp.array([[3.0, -4.0], [0.5, -1.0]]), "bias": jnp.zeros(2)}}
    mask = magnitude_mask(params, {"dense": 2})
    np.testing.assert_array_equal(mask["dense"]["kernel"], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(mask["dense"]["bias"], [1, 1])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "cifar10", "dataset must be one of digits, mnist, got 'cifar10'"),
        ("kl", "kingma", "kl must be one of log_uniform, log_uniform_exact, ard, got 'kingma'"),
        ("widths", "300-", "widths must be positive integers separated by dashes, got '300-'"),
        ("threshold", float("nan"), "threshold must be finite, got nan"),
        ("warm_up_begin", -1, "warm_up_begin must be at least 0, got -1"),
        ("learning_rate", 0.0, "learning_rate must be positive and finite, got 0.0"),
    ],
)
def test_refuses_settings_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})
