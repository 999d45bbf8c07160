"""Fine-tuning starts from what pre-training learned, at each rate."""

import pytest

from experiments.fine_tuning.train import Config, run

pytestmark = pytest.mark.thorough

TINY = Config(
    rates="0.3",
    labelled=32,
    pretraining_epochs=6,
    pretraining_learning_rate=0.01,
    epochs=8,
    features=16,
    num_layers=1,
    num_heads=2,
    length=8,
    num_seeds=2,
    batch_size=16,
    learning_rate=0.01,
)


@pytest.mark.slow
def test_reports_both_starts(tiny_texts, tmp_path):
    metrics = run(TINY, tmp_path)
    assert 1 < metrics.pop("perplexity after pre-training") < 9  # of nine words
    assert list(metrics) == ["rate 0.3"]
    values = metrics["rate 0.3"]
    assert set(values) == {
        f"{metric}, {start}" for metric in ("error %", "standard error", "NLL") for start in ("pre-trained", "new")
    }
    assert values["error %, pre-trained"] < 40  # chance is 50
    assert values["NLL, pre-trained"] != values["NLL, new"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rates", "0;half", "rates must be numbers separated by semicolons, got '0;half'"),
        ("rates", "0;1", "rates must be at least 0 and below 1, got 1"),
        ("pretraining_rate", 1.0, "pretraining_rate must be at least 0 and below 1, got 1"),
        ("labelled", 0, "labelled must be at least 1, got 0"),
        ("length", 1, "length must be at least 2, got 1"),
        ("num_seeds", 1, "num_seeds must be at least 2, for standard errors, got 1"),
    ],
)
def test_refuses_settings_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})
