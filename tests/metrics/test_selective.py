"""Risk and coverage equal plain counting; ties count as the mean over their orders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.metrics import coverage_at_risk, excess_aurc, risk_coverage


def count_in_order(uncertainty, errors):
    order = sorted(range(len(errors)), key=lambda i: uncertainty[i])
    return np.array([np.mean([errors[i] for i in order[: k + 1]]) for k in range(len(order))])


def test_equals_counting_one_by_one():
    rng = np.random.default_rng(0)
    uncertainty, errors = rng.normal(size=100).astype(np.float32), rng.random(100) < 0.3
    curve = jax.jit(risk_coverage)(uncertainty, errors)
    expected = count_in_order(uncertainty, errors)
    np.testing.assert_allclose(curve.risk, expected, rtol=1e-5)
    np.testing.assert_allclose(curve.aurc, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(curve.coverage, np.arange(1, 101) / 100, rtol=1e-6)


def test_ties_count_as_the_mean_over_their_orders():
    uncertainty, losses = np.array([2, 1, 2, 0, 2], np.float32), np.array([4, 8, 0, 1, 2], np.float32)
    orders = [list(order) for order in itertools.permutations(range(5))]
    expected = np.mean([count_in_order(uncertainty[order], losses[order]) for order in orders], axis=0)
    for order in orders[::17]:
        np.testing.assert_allclose(risk_coverage(uncertainty[order], losses[order]).risk, expected, rtol=1e-6)


def test_an_infinite_loss_spoils_the_risk_from_there_on():
    curve = risk_coverage(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, jnp.inf, 2.0]))
    np.testing.assert_array_equal(curve.risk, [1.0, jnp.inf, jnp.inf])


def test_knowing_nothing_leaves_the_risk_at_every_coverage():
    curve = risk_coverage(jnp.zeros(4), jnp.array([True, False, False, False]))
    np.testing.assert_array_equal(curve.risk, np.full(4, 0.25))
    assert curve.aurc == 0.25


def test_nan_is_less_certain_than_any_number():
    curve = risk_coverage(jnp.array([jnp.nan, jnp.inf]), jnp.array([True, False]))
    np.testing.assert_array_equal(curve.risk, [0.0, 0.5])
    # Nor does the order of several matter.
    tied = risk_coverage(jnp.array([jnp.nan, jnp.nan]), jnp.array([True, False]))
    np.testing.assert_array_equal(tied.risk, [0.5, 0.5])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.int32])
def test_takes_uncertainties_of_any_type(dtype):
    curve = risk_coverage((jnp.arange(600) // 300).astype(dtype), jnp.arange(600) >= 300)
    assert curve.risk.dtype == jnp.float32
    np.testing.assert_allclose(curve.risk, np.maximum(0, 1 - 300 / np.arange(1, 601)), rtol=1e-5)


@pytest.mark.parametrize("shapes", [((3,), (2,)), ((3, 1), (3, 1)), ((0,), (0,))])
def test_refuses_arguments_that_are_not_pairs(shapes):
    with pytest.raises(ValueError, match=r"both be \(batch,\) of at least one example"):
        risk_coverage(jnp.zeros(shapes[0]), jnp.zeros(shapes[1]))


def test_excess_area_is_above_the_best_order():
    rng = np.random.default_rng(0)
    for errors in (rng.random(6) < 0.5, rng.random(6).astype(np.float32)):
        uncertainty = rng.random(6).astype(np.float32)
        orders = itertools.permutations(errors)
        best = min(np.mean(np.cumsum(order) / np.arange(1, 7)) for order in orders)
        expected = count_in_order(uncertainty, errors).mean() - best
        np.testing.assert_allclose(jax.jit(excess_aurc)(uncertainty, errors), expected, rtol=1e-5)


def test_excess_area_is_0_for_a_perfect_order_and_for_equal_errors():
    assert excess_aurc(jnp.array([0.1, 0.4, 0.2]), jnp.array([False, True, False])) == 0
    assert excess_aurc(jnp.array([0.1, 0.1]), jnp.array([True, True])) == 0
    assert excess_aurc(jnp.zeros(1), jnp.array([True])) == 0


@pytest.mark.thorough
def test_coverage_at_a_risk_is_the_largest_with_no_more():
    rng = np.random.default_rng(0)
    uncertainty, errors = rng.random(50).astype(np.float32), rng.random(50) < 0.3
    curve, risk = risk_coverage(uncertainty, errors), count_in_order(uncertainty, errors)
    for allowed in (0.0, 0.1, 0.2, 0.3, 1.0):
        expected = max([(k + 1) / 50 for k in range(50) if risk[k] <= allowed], default=0)
        np.testing.assert_allclose(jax.jit(coverage_at_risk)(curve, allowed), expected, rtol=1e-6)


@pytest.mark.thorough
def test_a_risk_that_is_just_reached_is_allowed():
    curve = risk_coverage(jnp.arange(20.0), jnp.arange(20) == 19)
    assert coverage_at_risk(curve, 0.05) == 1
    np.testing.assert_allclose(coverage_at_risk(curve, 0.0499), 0.95, rtol=1e-6)
    tied = jax.vmap(risk_coverage)(jnp.zeros((40, 41)), jnp.arange(41)[None] < jnp.arange(1, 41)[:, None])
    allowed = np.arange(1, 41) / 41
    np.testing.assert_array_equal(jax.jit(jax.vmap(coverage_at_risk))(tied, allowed), np.ones(40))
    assert coverage_at_risk(risk_coverage(jnp.zeros(1), jnp.ones(1)), 0.5) == 0


def test_a_million_ties_are_summed_as_well_as_a_few():
    np.testing.assert_allclose(risk_coverage(jnp.zeros(2**20), jnp.full(2**20, 0.1)).aurc, 0.1, rtol=1e-5)


def test_an_infinite_loss_makes_all_later_risks_infinite():
    curve = risk_coverage(jnp.array([0.0, 0.1, 0.1, 0.2, 0.2]), jnp.array([1.0, np.inf, 1.0, 1.0, 2.0]))
    np.testing.assert_array_equal(curve.risk, [1, *[np.inf] * 4])
