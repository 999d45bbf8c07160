"""The transformer classifies sentences, reads no padding, and trains under every method."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from experiments.common.transformer import Transformer, positions
from experiments.text_classification.train import METHODS, Config, run

pytestmark = pytest.mark.thorough

TINY = Config(
    small=64,
    small_epochs=12,
    large_epochs=6,
    features=16,
    num_layers=1,
    num_heads=2,
    length=8,
    num_seeds=2,
    batch_size=16,
    learning_rate=0.01,
)


def transformer(causal=False):
    return Transformer(9, features=16, num_layers=1, num_heads=2, causal=causal)


@pytest.fixture
def variables(getkey):
    return transformer().init(getkey(), jnp.ones((1, 4), int), method="both_heads")


@pytest.mark.thorough
@pytest.mark.parametrize("causal", [False, True])
def test_padding_does_not_matter(causal, variables):
    short, long = jnp.array([[3, 4, 5]]), jnp.array([[3, 4, 5, 0, 0]])
    model = transformer(causal)
    for method, part in (("classify", slice(None)), ("read", (slice(None), slice(3)))):
        outputs = [model.apply(variables, tokens, method=method)[part] for tokens in (short, long)]
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)
    assert np.isfinite(model.apply(variables, jnp.zeros((1, 3), int), method="classify")).all()


def test_a_causal_network_does_not_see_the_words_to_come(variables):
    first, second = jnp.array([[3, 4, 5, 6]]), jnp.array([[3, 4, 7, 6]])
    seen = {
        causal: [transformer(causal).apply(variables, tokens, method="next_word") for tokens in (first, second)]
        for causal in (True, False)
    }
    np.testing.assert_allclose(seen[True][0][:, :2], seen[True][1][:, :2], rtol=1e-5, atol=1e-6)
    assert not np.allclose(seen[True][0][:, 2:], seen[True][1][:, 2:])
    assert not np.allclose(seen[False][0][:, :2], seen[False][1][:, :2])


def test_positions_are_the_paper_s():
    encoded = positions(50, 8)
    assert encoded.shape == (1, 50, 8)
    for feature in range(4):
        angle = np.arange(50) / 10_000 ** (2 * feature / 8)
        np.testing.assert_allclose(encoded[0, :, 2 * feature], np.sin(angle), atol=1e-5)
        np.testing.assert_allclose(encoded[0, :, 2 * feature + 1], np.cos(angle), atol=1e-5)


@pytest.mark.thorough
def test_each_method_has_its_noise(variables, getkey):
    tokens, config = jnp.array([[3, 4, 5, 6]]), Config(rate=0.0, features=16, num_heads=2)
    plain = transformer().apply(variables, tokens, method="classify")
    for name, method in METHODS.items():
        model = Transformer(9, 16, 1, 2, method.rates(config), method.noise, train=True)
        outputs = [
            model.apply(variables, tokens, method="classify", rngs={"dropout": key})
            for key in jax.random.split(getkey(), 8)
        ]
        own = name in ("DropAttention", "DropHead", "LayerDrop")
        assert any(not np.allclose(output, plain) for output in outputs) == own, name
        assert (method.noise is not jaxdrop.dropout) == (name in ("DropAttention", "DropHead"))


@pytest.mark.slow
def test_reports_each_network_on_both_training_sets(tiny_texts, tmp_path):
    metrics = run(dataclasses.replace(TINY, methods="R-Drop"), tmp_path)
    assert list(metrics) == ["R-Drop"]
    values = metrics["R-Drop"]
    for size in ("small", "large"):
        single = [values[f"error %, network {number}, {size}"] for number in range(2)]
        assert values[f"error %, {size}"] == pytest.approx(np.mean(single))
        assert values[f"standard error, {size}"] == pytest.approx(np.std(single, ddof=1) / np.sqrt(2))
        assert values[f"error %, {size}"] < 20  # chance is 50
    assert values["NLL, large"] != values["NLL, small"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("methods", "", "methods must be 'all' or among none; dropout; .*, got ''"),
        ("drop_head_rate", -0.1, "drop_head_rate must be at least 0 and below 1, got -0.1"),
        ("features", 12, "features must be a multiple of 2 num_heads, 8, got 12"),
        ("small", 0, "small must be at least 1, got 0"),
        ("large", -1, "large must be at least 0, got -1"),
        ("max_words", 2, "max_words must be at least 3, got 2"),
        ("consistency", -1.0, "consistency must be at least 0 and finite, got -1.0"),
        ("num_seeds", 1, "num_seeds must be at least 2, for standard errors, got 1"),
    ],
)
def test_refuses_settings_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})
