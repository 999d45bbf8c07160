"""Detection equals scikit-learn's, with ties and at the edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from jaxdrop.metrics import aupr, auroc, false_positive_rate

METRICS = [auroc, aupr, false_positive_rate]


def first_rate(positive, uncertainty, true_positive_rate=0.95):
    flagged_negatives, flagged_positives, _ = roc_curve(positive, uncertainty, drop_intermediate=False)
    return flagged_negatives[flagged_positives >= true_positive_rate].min()


@pytest.mark.parametrize("decimals", [7, 1, 0])  # 0: four different values, nearly all tied
def test_equal_scikit_learn(decimals):
    rng = np.random.default_rng(decimals)
    positive = rng.random(300) < 0.3
    uncertainty = np.round(rng.normal(size=300) + positive, decimals).astype(np.float32)
    np.testing.assert_allclose(jax.jit(auroc)(uncertainty, positive), roc_auc_score(positive, uncertainty), rtol=1e-5)
    expected = average_precision_score(positive, uncertainty)
    np.testing.assert_allclose(jax.jit(aupr)(uncertainty, positive), expected, rtol=1e-5)
    for rate in (0.05, 0.5, 0.95, 1.0):
        expected = first_rate(positive, uncertainty, rate)
        np.testing.assert_allclose(jax.jit(false_positive_rate)(uncertainty, positive, rate), expected, rtol=1e-6)


@pytest.mark.thorough
def test_nineteen_of_twenty_are_enough():
    # The least uncertain positive example lies below half of the negative ones, and need not be flagged.
    uncertainty = jnp.concatenate([jnp.array([0.5]), jnp.full(19, 2.0), jnp.array([0.0, 1.0])])
    assert false_positive_rate(uncertainty, jnp.arange(22) < 20) == 0
    assert false_positive_rate(uncertainty, jnp.arange(22) < 20, 0.951) == 0.5


def test_a_true_positive_rate_that_is_just_reached_is_enough():
    # The k most uncertain of 41 positive examples lie above the negative one, and the next below it.
    most_uncertain = np.arange(1, 42)
    uncertainty = np.where(np.arange(42)[None] < most_uncertain[:, None], 2, 0) + (np.arange(42) == 41)
    rates = (most_uncertain / 41).astype(np.float32)
    found = jax.jit(jax.vmap(false_positive_rate, (0, None, 0)))(uncertainty, np.arange(42) < 41, rates)
    np.testing.assert_array_equal(found, np.zeros(41))


def test_an_uncertainty_that_says_nothing():
    uncertainty, positive = jnp.zeros(4), jnp.array([True, False, False, False])
    assert [float(metric(uncertainty, positive)) for metric in METRICS] == [0.5, 0.25, 1.0]


def test_perfect_and_perfectly_wrong():
    uncertainty, positive = jnp.array([-jnp.inf, 0.0, jnp.inf, jnp.nan]), jnp.array([False, False, True, True])
    assert [float(metric(uncertainty, positive)) for metric in METRICS] == [1, 1, 0]
    assert float(auroc(uncertainty, ~positive)) == 0
    assert float(false_positive_rate(uncertainty, ~positive)) == 1


@pytest.mark.thorough
def test_one_kind_of_examples_has_no_value():
    for number in (1, 3):
        none, every = jnp.zeros(number, bool), jnp.ones(number, bool)
        assert [bool(jnp.isnan(metric(jnp.arange(1.0 * number), none))) for metric in METRICS] == [True, True, True]
        assert [float(metric(jnp.arange(1.0 * number), every)) for metric in METRICS][1] == 1
        assert np.isnan([auroc(jnp.ones(number), every), false_positive_rate(jnp.ones(number), every)]).all()


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32])
def test_takes_uncertainties_of_any_type(dtype):
    uncertainty, positive = (jnp.arange(600) // 300).astype(dtype), jnp.arange(600) >= 450
    np.testing.assert_allclose(auroc(uncertainty, positive), (300 + 150 / 2) / 450, rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_refuses_other_arguments(metric):
    for shapes in [((3,), (2,)), ((3, 1), (3, 1)), ((0,), (0,))]:
        with pytest.raises(ValueError, match=r"both be \(batch,\) of at least one example"):
            metric(jnp.zeros(shapes[0]), jnp.zeros(shapes[1], bool))
    with pytest.raises(TypeError, match="positive must be booleans, got int32"):
        metric(jnp.zeros(3), jnp.zeros(3, jnp.int32))


@pytest.mark.parametrize("rate", [0.0, 1.5, float("nan")])
def test_refuses_a_rate_outside_0_to_1(rate):
    with pytest.raises(ValueError, match="true_positive_rate must be"):
        false_positive_rate(jnp.zeros(2), jnp.array([True, False]), rate)


@pytest.mark.slow
def test_more_equal_uncertainties_than_float32_counts():
    positive = jnp.arange(2**24 + 2**22) % 5 != 0
    np.testing.assert_allclose(aupr(jnp.zeros(positive.shape, jnp.int8), positive), 0.8, rtol=1e-6)
