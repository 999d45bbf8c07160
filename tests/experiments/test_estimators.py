"""The experiment on estimators runs, and refuses settings that make no sense."""

import pytest

from experiments.estimators.train import Config, run


@pytest.mark.slow
def test_reports_the_error_of_each_estimator(tmp_path):
    config = Config(network="256-256", epochs=2, num_test=10, num_reference=300, sizes="10;40", repeats=3)
    metrics = run(config, tmp_path)
    assert len(metrics) == 2 * 3 + 3
    for masks in ("independent", "antithetic", "balanced"):
        few, many = (metrics[f"{masks}, {size} samples"] for size in (10, 40))
        assert 0 < many["probabilities"] < few["probabilities"]
        assert many["information, bias"] > few["information, bias"]  # which is negative
    assert metrics["moments, covariance"]["time / 100 samples"] > 0
    assert metrics["moments"]["mean off by"] < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "lenet5"}, "network must be of dense layers for digits"),
        ({"network": "5"}, "network must be one of"),
        ({"rate": 0.0}, "rate must be above 0 and below 1, got 0"),
        ({"sizes": "10;1"}, "sizes must be integers above 1, separated by ;, got '10;1'"),
        ({"repeats": 1}, "repeats must be at least 2, got 1"),
    ],
)
def test_refuses_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Config(**arguments)
