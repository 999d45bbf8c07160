"""The language model: noise where each method has it, a state that goes on, and a report on several networks."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.errors import RefusedError
from experiments.language_model.network import METHODS, LanguageModel, NaiveDropoutCell, places
from experiments.language_model.train import Config, run, windows
from tests.statistical import assert_frequency

pytestmark = pytest.mark.thorough

TINY = Config(num_seeds=2, width=8, num_layers=2, epochs=2, batch_size=4, window=6, learning_rate=0.02)
RECURRENT = ("naive recurrent", "variational", "recurrent", "zoneout", "weight drop")


def network(method, config=TINY, train=True):
    return LanguageModel(11, config.width, config.num_layers, places(method, config, train=train))


@pytest.fixture
def tokens(getkey):
    return jax.random.randint(getkey(), (3, 7), 0, 11)


def test_windows_go_on_where_the_part_before_them_ended():
    rows = windows(np.arange(100), 3, 4)
    assert rows.shape == (24, 5)
    np.testing.assert_array_equal(rows[:4], [[0, 1, 2, 3, 4], [32, 33, 34, 35, 36], [64, *range(65, 69)], range(4, 9)])
    assert rows.max() == 96


def test_refuses_a_text_of_less_than_a_window_in_each_part():
    with pytest.raises(RefusedError, match="window must be at most 3 for 3 parts of 10 symbols, got 4"):
        windows(np.arange(10), 3, 4)
    assert len(windows(np.arange(10), 3, 3)) == 3


@pytest.mark.thorough
def test_all_methods_have_the_parameters_of_the_plain_network(tokens, getkey):
    config = dataclasses.replace(TINY, num_layers=1)
    model = network("none", config, train=False)
    variables = model.init(getkey(), tokens, None)
    plain, _ = model.apply(variables, tokens, None)
    for method in METHODS:
        logits, states = network(method, config).apply(variables, tokens, None, rngs={"dropout": getkey()})
        assert logits.shape == (3, 7, 11)
        assert jax.tree.map(jnp.shape, states) == [((3, 8), (3, 8))]
        assert np.allclose(logits, plain) == (method == "none"), method
        if method not in ("none", "zoneout"):
            assert places(method, config, train=False) == places("none", config, train=False)
            continue
        predicted, _ = network(method, config, train=False).apply(variables, tokens, None)
        assert np.allclose(predicted, plain) == (method != "zoneout"), method


@pytest.mark.thorough
@pytest.mark.parametrize("method", RECURRENT)
def test_recurrent_methods_have_noise_within_the_recurrence(method, tokens, getkey):
    config = dataclasses.replace(TINY, rate=0.0, word_rate=0.0)
    variables = network("none", train=False).init(getkey(), tokens, None)
    plain, _ = network("none", train=False).apply(variables, tokens, None)
    quiet, _ = network("non-recurrent", config).apply(variables, tokens, None, rngs={"dropout": getkey()})
    np.testing.assert_allclose(quiet, plain, rtol=1e-6)
    first, second = (
        network(method, config).apply(variables, tokens, None, rngs={"dropout": key})[0] for key in (getkey(), getkey())
    )
    assert not np.allclose(first[:, 1:], plain[:, 1:])
    assert not np.allclose(first[:, 1:], second[:, 1:])


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["none", "zoneout"])
def test_the_state_goes_on(method, tokens, getkey):
    model = network(method, train=False)
    variables = model.init(getkey(), tokens, None)
    whole, _ = model.apply(variables, tokens, None)
    first, states = model.apply(variables, tokens[:, :3], None)
    second, _ = model.apply(variables, tokens[:, 3:], states)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["variational", "recurrent"])
def test_in_training_the_state_goes_on_and_masks_are_drawn_anew(method, tokens, getkey):
    config = dataclasses.replace(TINY, rate=0.0, word_rate=0.0)
    variables = network("none", train=False).init(getkey(), tokens, None)
    _, states = network("none", train=False).apply(variables, tokens, None)
    model = network(method, config)
    outputs = [model.apply(variables, tokens, state, rngs={"dropout": getkey()})[0] for state in (states, states, None)]
    assert not np.allclose(outputs[0], outputs[1])  # other masks
    quiet = network(method, dataclasses.replace(config, recurrent_rate=0.0))
    whole = [quiet.apply(variables, tokens, state, rngs={"dropout": getkey()})[0] for state in (states, None)]
    expected, _ = network("none", train=False).apply(variables, tokens, states)
    np.testing.assert_allclose(whole[0], expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(whole[0], whole[1])


def test_the_naive_cell_drops_the_state_at_each_step_and_never_the_memory(getkey):
    class Sum(nn.OptimizedLSTMCell):
        """Adds what it gets of the state to its memory."""

        def __call__(self, carry, inputs):
            memory, state = carry
            return (memory + state, jnp.ones_like(state)), state

    cell = NaiveDropoutCell(Sum(10), 0.25)
    rnn = nn.RNN(cell, split_rngs={"params": False, "dropout": True}, return_carry=True)
    (memory, _), _ = rnn.apply({}, jnp.zeros((500, 9, 1)), rngs={"dropout": getkey()})
    survived = np.asarray(memory) * 0.75  # of the 8 steps that got a state of ones
    assert len(np.unique(survived.round())) > 2
    assert_frequency(8 * survived.size - survived.sum().round(), 8 * survived.size, 0.25)


@pytest.mark.slow
def test_reports_each_network_and_their_standard_error(tiny_texts, tmp_path):
    metrics = run(dataclasses.replace(TINY, num_layers=1, methods="none;variational"), tmp_path)
    assert list(metrics) == ["none", "variational"]
    for values in metrics.values():
        single = [values[f"validation, network {number}"] for number in range(2)]
        assert single[0] != single[1]
        assert values["validation perplexity"] == pytest.approx(np.mean(single))
        assert values["standard error"] == pytest.approx(np.std(single, ddof=1) / np.sqrt(2))
        assert 1 < values["training perplexity"] < values["validation perplexity"] + 2
        assert values["test perplexity"] < 10  # of ten characters


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "wikitext", "dataset must be one of shakespeare, ptb, got 'wikitext'"),
        ("methods", "none;no such", "methods must be 'all' or among none; non-recurrent; .*, got 'none;no such'"),
        ("zoneout_memory_rate", 1.0, "zoneout_memory_rate must be at least 0 and below 1, got 1.0"),
        ("learning_rate", 0.0, "learning_rate must be positive and finite, got 0.0"),
        ("window", 0, "window must be at least 1, got 0"),
        ("num_seeds", 1, "num_seeds must be at least 2, for standard errors, got 1"),
        ("max_symbols", -1, "max_symbols must be at least 0, got -1"),
        ("seed", -1, r"seed must be at least 0 and below 2\*\*32, got -1"),
    ],
)
def test_refuses_settings_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})
