"""The experiments on learned noise run, and refuse settings that make no sense."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.concrete import train as concrete
from experiments.gradient_variance import train as gradient_variance
from experiments.sbp import train as sbp
from jaxdrop import variational
from tests.statistical import assert_moments


@pytest.mark.slow
def test_concrete_reports_rates_and_uncertainties_for_each_size(tmp_path):
    config = concrete.Config(sizes="8;40", epochs="60;10", width=16, num_seeds=2, num_test=20, rate=0.2)
    metrics = concrete.run(config, tmp_path)
    assert list(metrics) == ["N = 8", "N = 40"]
    for values in metrics.values():
        assert 0 < values["rate, layer 2"] < 1
        assert values["rate, layer 2"] != pytest.approx(0.2, abs=1e-4)
        assert values["epistemic"] > 0
        assert values["RMSE, deviation"] > 0
    assert (tmp_path / "rates_and_uncertainty.png").stat().st_size > 10_000


@pytest.mark.thorough
def test_the_likelihood_is_that_of_the_stated_normal_distribution(getkey):
    x, y = concrete.examples(getkey(), 100_000)
    assert_moments(y - 2 * x, 8.0, 1.0)
    outputs = jnp.array([[0.5, np.log(4.0)]])
    expected = jax.scipy.stats.norm.logpdf(2.0, 0.5, 2.0)
    np.testing.assert_allclose(concrete.log_likelihood(outputs, jnp.array([[2.0]])), expected, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["local", "separate", "single"])
def test_estimators_have_the_moments_of_the_same_weights(name, getkey):
    weights = variational.multiplicative_weights(jax.random.normal(getkey(), (5, 3)), -1.0)
    x = jax.random.normal(getkey(), (2, 5))
    draw = jax.jit(jax.vmap(lambda key: gradient_variance.ESTIMATORS[name](key, x, weights)))
    y = np.asarray(draw(jax.random.split(getkey(), 20_000)))
    assert_moments(y, x @ weights.mean, jnp.square(x) @ weights.variance)
    # Only one sample for the whole batch makes examples covary.
    covariance = np.mean((y[:, 0] - y[:, 0].mean(0)) * (y[:, 1] - y[:, 1].mean(0)), 0)
    shared = np.asarray((x[0] * x[1])[None] @ weights.variance)[0]
    expected = shared if name == "single" else np.zeros(3)
    error = 6 * np.sqrt(np.prod(y.var(0), 0) / len(y)) + 0.05 * np.abs(expected)
    assert (np.abs(covariance - expected) < error).all()


@pytest.mark.slow
def test_gradients_vary_least_by_local_and_most_by_single_samples(tmp_path):
    config = gradient_variance.Config(dataset="digits", width=30, epochs="5", batch_sizes="100;10", num_gradients=100)
    metrics = gradient_variance.run(config, tmp_path)
    for layer in ("first", "last"):
        row = f"{layer} layer, epoch 5, batches of "
        variances = [metrics[name][row + "100"] for name in ("no noise", "local", "separate", "single")]
        assert variances == sorted(variances)
        shrinks = {name: values[row + "10"] / values[row + "100"] for name, values in metrics.items()}
        assert 6 < shrinks["local"] < 16
        assert shrinks["single"] < shrinks["local"]


@pytest.mark.slow
def test_sbp_cuts_units_out_and_predicts_alike(tmp_path):
    config = sbp.Config(dataset="digits", network="30-20", epochs=300, pretrain_epochs=20, learning_rate=5e-3)
    metrics = sbp.run(config, tmp_path)
    assert metrics["largest difference of logits"] < 1e-4
    assert metrics["pruned"]["inputs, layer 0"] < metrics["dense"]["inputs, layer 0"] == 64
    assert metrics["pruned"]["parameters"] < metrics["dense"]["parameters"]
    assert metrics["pruned"]["error %"] < 15


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (concrete.Config, {"sizes": "10;x"}, "sizes must be positive integers, separated by ;, got '10;x'"),
        (concrete.Config, {"sizes": "10"}, "epochs must be as many as sizes, '10', got"),
        (concrete.Config, {"rate": 0.0}, "rate must be above 0 and below 1, got 0.0"),
        (gradient_variance.Config, {"epochs": "10;1"}, "epochs must ascend, got '10;1'"),
        (gradient_variance.Config, {"log_alpha": 0.5}, "log_alpha must be at most 0, got 0.5"),
        (gradient_variance.Config, {"num_gradients": 1}, "num_gradients must be at least 2, got 1"),
        (sbp.Config, {"network": "lenet5"}, "network must be positive integers joined by dashes, got 'lenet5'"),
        (sbp.Config, {"beta1": 1.0}, "beta1 must be at least 0 and below 1, got 1.0"),
        (sbp.Config, {"threshold": 0.0}, "threshold must be positive and finite, got 0.0"),
    ],
)
def test_refuses_settings_that_make_no_sense(config, settings, message):
    with pytest.raises(ValueError, match=message):
        config(**settings)
