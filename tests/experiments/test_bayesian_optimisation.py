"""Bayesian optimisation: known minima, closed forms, what networks propose, and that a killed run goes on alike."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import jaxdrop.linen
from experiments.bayesian_optimisation import gaussian_process, network, train
from experiments.bayesian_optimisation.acquisition import (
    candidates,
    expected_improvement,
    gaussian_expected_improvement,
    minimise,
)
from experiments.bayesian_optimisation.objectives import OBJECTIVES
from tests.statistical import assert_mean

pytestmark = pytest.mark.thorough


MINIMISERS = {
    "branin": [[(5 - np.pi) / 15, 12.275 / 15], [(5 + np.pi) / 15, 2.275 / 15], [(5 + 3 * np.pi) / 15, 2.475 / 15]],
    "hartmann6": [[0.20168952, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730054]],
}


@pytest.mark.parametrize(("name", "minimum"), [("branin", 0.397887), ("hartmann6", -3.32237)])
def test_functions_have_their_published_minima(name, minimum):
    objective, minimisers = OBJECTIVES[name], np.array(MINIMISERS[name])
    assert objective.minimum == pytest.approx(minimum, abs=3e-6)
    assert minimisers.shape[1] == objective.dims
    np.testing.assert_allclose(objective.evaluate(minimisers), objective.minimum, atol=1e-8)
    around = minimisers[:, None] + 1e-3 * np.concatenate([np.eye(objective.dims), -np.eye(objective.dims)])
    assert (objective.evaluate(around) > objective.minimum + 1e-6).all()
    points = np.random.default_rng(0).uniform(size=(10_000, objective.dims))
    assert objective.evaluate(points).min() > objective.minimum


def test_branin_is_the_published_formula():
    first, second = 1.5, 4.0
    expected = (second - 5.1 / (4 * np.pi**2) * first**2 + 5 / np.pi * first - 6) ** 2
    expected += 10 * (1 - 1 / (8 * np.pi)) * np.cos(first) + 10
    value = OBJECTIVES["branin"].evaluate(np.array([(first + 5) / 15, second / 15]))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_gaussian_expected_improvement_equals_quadrature(getkey):
    for mean, deviation, best in ((0.3, 0.5, 0.1), (-1.0, 0.2, 0.0), (2.0, 1.5, -1.0)):
        density = stats.norm(mean, deviation).pdf
        expected, _ = integrate.quad(lambda f, best=best, density=density: (best - f) * density(f), -20, best)
        value = gaussian_expected_improvement(np.array([mean]), np.array([deviation]), best)
        np.testing.assert_allclose(value, expected, rtol=1e-8)
        draws = mean + deviation * jax.random.normal(getkey(), (20_000, 1))
        assert_mean(np.maximum(best - np.asarray(draws), 0), value)
        np.testing.assert_allclose(expected_improvement(draws, best), np.maximum(best - draws, 0).mean(0), rtol=1e-5)


def test_candidates_are_in_the_cube_and_some_near_the_best(getkey):
    best = jnp.array([0.99, 0.5, 0.2])
    points = candidates(getkey(), best, 400)
    assert points.shape == (400, 3)
    assert ((points >= 0) & (points <= 1)).all()
    near = jnp.linalg.norm(points - best[None], axis=1) < 0.3
    assert near[300:].mean() > 0.99
    assert near[:300].mean() < 0.2


def test_minimise_ends_at_the_least_value_also_on_the_border():
    points = jax.random.uniform(jax.random.key(0), (50, 2))
    found = minimise(
        lambda x: jnp.square(x - jnp.array([[0.3, 2.0]])).sum(-1), points, starts=3, steps=200, step_size=0.05
    )
    np.testing.assert_allclose(found, [0.3, 1.0], atol=1e-3)
    flat = minimise(lambda x: jnp.zeros(len(x)), points, starts=3, steps=5, step_size=0.05)
    np.testing.assert_array_equal(flat, points[0])


SETTINGS = network.Settings(16, 2, 0.02, 300, 0.01, 8, 100, 3, 20)


def test_fits_what_is_known_and_nothing_else():
    points = jax.random.uniform(jax.random.key(0), (12, 2))
    targets = jnp.where(jnp.arange(12) < 8, jnp.sin(5 * points[:, 0]), 1e6)
    settings = SETTINGS._replace(rate=0.01, steps=800)
    fit = jax.jit(functools.partial(network._fit, settings))
    variables = fit(jax.random.key(1), points, targets, jnp.arange(12) < 8)
    outputs = network.Network(16, 2, 0.01).apply(variables, points[:8])
    np.testing.assert_allclose(outputs, targets[:8], atol=0.2)


@pytest.mark.parametrize("method", [network.THOMPSON, network.EXPECTED_IMPROVEMENT])
def test_proposes_where_a_known_function_is_least(method):
    # A quarter of the square is low, and all but there is known: a network that has learnt it proposes to look there.
    key = jax.random.key(0)
    points = jax.random.uniform(key, (2, 40, 2))
    values = jnp.square(points - 0.25).sum(-1)
    values = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    propose = functools.partial(network.propose, method, SETTINGS, jax.random.split(key, 2))
    chosen = propose(points, values, 40)
    assert chosen.shape == (2, 2)
    assert (jnp.abs(chosen - 0.25) < 0.2).all()
    assert (chosen[0] != chosen[1]).any()
    # What is not known yet has no influence.
    spoilt = propose(points.at[:, 30:].set(0.9), values.at[:, 30:].set(-50.0), 30)
    np.testing.assert_array_equal(spoilt, propose(points.at[:, 30:].set(0.1), values.at[:, 30:].set(50.0), 30))


def test_a_thompson_sample_is_one_function():
    model = network.Network(16, 2, 0.5)
    variables = model.init(jax.random.key(0), jnp.ones((1, 2)))
    sample = jaxdrop.linen.sampler(model, variables, jnp.ones((20, 2)) * 0.3, share_masks=True)
    first, second = sample(jax.random.key(1)), sample(jax.random.key(2))
    np.testing.assert_allclose(first, np.full(20, first[0]), rtol=1e-6)
    assert first[0] != second[0]


def test_a_gaussian_process_proposes_near_the_minimum():
    points = np.random.default_rng(0).uniform(size=(25, 2))
    values = np.square(points - 0.4).sum(-1)
    chosen = gaussian_process.propose(jax.random.key(0), points, values, num_candidates=100, num_starts=2)
    assert np.abs(chosen - 0.4).max() < 0.05


TINY = train.Config(num_initial=37, num_evaluations=40, num_seeds=2, **SETTINGS._asdict())


def test_all_methods_begin_alike_and_a_killed_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = train.run(TINY, tmp_path / "whole")
    assert list(whole) == list(train.METHODS)
    for values in whole.values():
        assert values["medians"][:37] == whole["random"]["medians"][:37]
        assert values["medians"] == sorted(values["medians"], reverse=True)
        assert values["lower quartile"] <= values["median regret"] <= values["upper quartile"]
        assert values["median regret"] == values["medians"][-1] >= 0
        assert values["median after half"] == values["medians"][19]
    files = [tmp_path / "whole" / "evaluations" / f"{name}.json" for name in train.METHODS]
    points = np.array([json.loads(path.read_text())["points"] for path in files])
    assert points.shape == (4, 2, 40, 2)
    assert (points[:, :, :37] == points[:1, :, :37]).all()
    assert len(np.unique(points[:, :, 37:], axis=0)) == 4
    assert (points[:, 0, 37:] != points[:, 1, 37:]).any((1, 2)).all()
    assert (tmp_path / "whole" / "regret.png").stat().st_size > 10_000

    class Killed(BaseException):
        pass

    calls = []

    def die(workdir):
        calls.append(workdir)
        if len(calls) == 2 * 40 + 39:  # in the middle of the third method
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train, "sign_of_life", die)
        with pytest.raises(Killed):
            train.run(TINY, tmp_path / "killed")
    assert train.run(TINY, tmp_path / "killed") == whole
    assert len(calls) == 2 * 40 + 39


def test_networks_see_standardised_values():
    values = np.array([[1.0, 2.0, 6.0, 0.0], [3.0, 3.5, 1.0, 0.0]])
    scaled = np.asarray(train._standardised(values, 3))
    np.testing.assert_allclose(scaled[:, :3].mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[:, :3].std(1), 1, rtol=1e-6)
    assert (scaled[:, 3] == 0).all()
    assert (scaled.argsort(1)[:, -1] == [2, 1]).all()


def test_equal_values_are_no_reason_to_stop():
    np.testing.assert_array_equal(train._standardised(np.array([[2.0, 2.0, 0.0]]), 2), 0)


def test_refuses_values_that_are_not_finite(tmp_path, monkeypatch):
    nowhere = train.OBJECTIVES["branin"]._replace(evaluate=lambda points: np.full(points.shape[:-1], np.nan))
    monkeypatch.setitem(train.OBJECTIVES, "branin", nowhere)
    with pytest.raises(ValueError, match=r"branin must be finite, got .*nan"):
        train.run(dataclasses.replace(TINY, methods="random"), tmp_path)


def test_summarises_regret():
    regret = np.array([[4.0, 3.0], [8.0, 1.0], [6.0, 2.0], [5.0, 0.5]])
    values = train.summary(regret, np.array([[9.0, 1.5]] * 4))
    assert values["median regret"] == 1.5
    assert values["lower quartile"] == 0.875
    assert values["upper quartile"] == 2.25
    assert values["median after half"] == 5.5
    assert values["runs below random"] == 0.5
    assert values["regrets"] == [0.5, 1.0, 2.0, 3.0]
    assert "runs below random" not in train.summary(regret, regret)


def test_a_step_is_the_distance_to_the_nearest_point_before():
    points = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.2], [1.0, 0.5], [0.1, 0.0]]])
    np.testing.assert_allclose(train.median_step(points), 0.2)  # of 0.2, 0.5 and 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "ackley"}, "objective must be one of branin, hartmann6, got 'ackley'"),
        ({"methods": "best"}, "methods must be 'all' or among random; "),
        ({"num_evaluations": 5}, "num_evaluations must be at least 6, got 5"),
        ({"num_starts": 9, "num_candidates": 8}, "num_candidates must be at least 9, got 8"),
        ({"rate": 0.0}, "rate must be above 0 and below 1, got 0.0"),
        ({"num_seeds": 0}, "num_seeds must be at least 1"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        train.Config(**settings)
