"""The numbers about where dropout fails are what they say, and what the report makes of them follows from them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import report
from experiments.common import data
from experiments.where_it_fails import equal_cost, line
from experiments.where_it_fails.equal_cost import DIFFERENCE
from experiments.where_it_fails.line import GRID, NOISE, Beliefs, Table, truth
from experiments.where_it_fails.report import away, verdict
from experiments.where_it_fails.train import Config, _cost_settings, by_task, run

pytestmark = pytest.mark.thorough

TINY = Config(
    line_width=4, line_depth=1, line_epochs=2, line_samples=4, width=4, depth=1, epochs=1, members=2, num_seeds=2
)
SETTINGS = line.Settings(
    width=30,
    depth=1,
    rate=0.1,
    length_scale=1.0,
    epochs=60,
    batch_size=20,
    learning_rate=0.05,
    members=2,
    samples=50,
)


def test_examples_are_in_both_intervals_and_have_the_noise(getkey):
    x, y = map(np.asarray, line.draw(getkey(), 50))
    assert x.shape == (50, line.NUM_EXAMPLES)
    assert (np.abs(x) >= line.INSIDE[0]).all()
    assert (np.abs(x) <= line.INSIDE[1]).all()
    n = x.size
    assert abs((x > 0).sum() - n / 2) < 5 * np.sqrt(n / 4)
    residuals = y - truth(x)
    assert abs(residuals.mean()) < 5 * NOISE / np.sqrt(n)
    assert abs(residuals.std() / NOISE - 1) < 5 / np.sqrt(2 * n)


def test_the_weight_decay_is_the_bayesian_one():
    # l^2 / (2 N tau (1 - p)), survivors being rescaled, with a precision of 1 / noise^2
    assert line.decay(SETTINGS._replace(length_scale=3.0), 0.2) == pytest.approx(9 / (2 * 100 * 100 * 0.8))


def test_measures_beliefs_by_region():
    rng = np.random.default_rng(0)
    wrong, deviation = np.array([[0.05], [0.2]]), np.abs(GRID)[None] * np.array([[0.1], [0.05]])
    numbers = line.measure(Beliefs(truth(GRID)[None] + wrong, deviation))
    assert len(numbers) == 2
    for each, off, slope in zip(numbers, (0.05, 0.2), (0.1, 0.05), strict=True):
        assert each["error, gap"] == pytest.approx(off)
        assert each["growth of error, far"] == pytest.approx(1)
        assert each["deviation, inside"] == pytest.approx(2 * slope)
        assert each["growth of deviation, far"] == pytest.approx(5.5 / 2)
        assert each["growth of deviation, gap"] == pytest.approx(0.125, rel=0.05)
        for region, (low, high) in line.REGIONS.items():
            x = rng.choice(GRID[(abs(GRID) >= low) & (abs(GRID) <= high)], 100_000)
            targets = truth(x) + NOISE * rng.normal(size=x.size)
            half = stats.norm.ppf(0.975) * np.sqrt((slope * x) ** 2 + NOISE**2)
            inside = np.abs(targets - truth(x) - off) <= half
            error = 5 * inside.std() / np.sqrt(x.size)
            assert each[f"coverage, {region}"] == pytest.approx(inside.mean(), abs=error)


def test_the_gaussian_process_knows_where_it_has_no_data(getkey):
    beliefs = line.gaussian_process(line.draw(getkey(), 2))
    for each in line.measure(beliefs):
        assert each["error, inside"] < 0.05
        assert each["growth of deviation, far"] > 10
        assert 0.9 < each["coverage, inside"] < 1


def test_networks_learn_the_data_set_of_their_own(getkey, tmp_path):
    x, _ = line.draw(getkey(), 2)
    table = Table(x, jnp.broadcast_to(jnp.array([[1.0], [-1.0]]), x.shape))
    among = (abs(GRID) >= 1) & (abs(GRID) <= 3)
    for name, beliefs in (
        ("dropout", line._dropout(SETTINGS, "ReLU", getkey(), table, tmp_path)),
        ("ensemble", line._ensemble(SETTINGS, "tanh", getkey(), table, tmp_path)),
    ):
        assert beliefs.mean.shape == beliefs.deviation.shape == (2, len(GRID))
        np.testing.assert_allclose(beliefs.mean[0, among], 1, atol=0.5, err_msg=name)
        np.testing.assert_allclose(beliefs.mean[1, among], -1, atol=0.5, err_msg=name)
        assert (beliefs.deviation > 0).all()


def test_classes_are_left_out_in_turn_and_strange_pictures_are_made_of_test_pictures():
    test, left_out = data.load("digits", "test"), set()
    for seed in range(5):
        digits = equal_cost.task(seed)
        classes = set(range(10)) - set(digits.train.labels)
        assert len(classes) == 2
        assert classes == set(range(10)) - set(digits.test.labels)
        left_out |= classes
        new, turned, shuffled = digits.strange.values()
        np.testing.assert_array_equal(new, test.images[np.isin(test.labels, list(classes))])
        np.testing.assert_array_equal(turned[3], digits.test.images[3].T[::-1])
        np.testing.assert_array_equal(np.sort(shuffled[3].ravel()), np.sort(digits.test.images[3].ravel()))
        assert (shuffled != digits.test.images).any((1, 2)).all()
    assert left_out == set(range(10))


def test_seeds_with_the_same_pictures_count_once():
    seeds = [{"NLL": float(number)} for number in range(7)]
    assert by_task(seeds) == [{"NLL": 2.5}, {"NLL": 3.5}, {"NLL": 2.0}, {"NLL": 3.0}, {"NLL": 4.0}]
    assert by_task(seeds[:2]) == seeds[:2]
    np.testing.assert_array_equal(equal_cost.task(1).test.images, equal_cost.task(6).test.images)


def test_scores_the_mean_of_the_passes():
    # Two passes that are sure, and right, of two pictures of three; and that contradict each other on strange ones.
    known = jnp.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]]])
    strange = [jnp.array([[[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2])] * 3
    scores = equal_cost.score(known, np.array([0, 1, 1]), strange)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["NLL"] == pytest.approx(-np.log([0.8, 0.8, 0.4]).mean())
    assert scores["ECE"] == pytest.approx((2 * 0.2 + 0.6) / 3)
    assert {scores[f"AUROC, {name}, {kind}"] for name in equal_cost.STRANGE for kind in ("entropy", "information")} == {
        1
    }
    alone = equal_cost.score(known[:1], np.array([0, 1, 1]), [each[:1] for each in strange])
    assert alone["AUROC, turned, entropy"] == 0  # surer than of any other
    assert not any("information" in name for name in alone)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("where_it_fails")
    return workdir, run(TINY, workdir)


@pytest.mark.slow
def test_dropout_costs_as_much_as_the_ensemble(finished):
    workdir, _ = finished
    for seed in range(2):
        epochs = {
            kind: max(int(path.name) for path in (workdir / f"seed {seed}, {kind}" / "checkpoints").iterdir())
            for kind in ("ensemble", "dropout")
        }
        assert epochs == {"ensemble": TINY.epochs, "dropout": TINY.members * TINY.epochs}


@pytest.mark.slow
def test_reports_every_method_and_the_differences(finished):
    workdir, metrics = finished
    for picture in ("line.png", "equal_cost.png"):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")
    names = list(metrics)
    assert names[:5] == ["dropout, ReLU", "ensemble, ReLU", "dropout, tanh", "ensemble, tanh", "Gaussian process"]
    assert names[5:] == ["one network", "ensemble", "MC dropout", "MC dropout, 100 passes", DIFFERENCE]
    for score in ("NLL", "AUROC, shuffled, information"):
        expected = metrics["ensemble"][score] - metrics["MC dropout"][score]
        assert metrics[DIFFERENCE][score] == pytest.approx(expected)
    assert metrics["MC dropout"]["NLL"] != metrics["MC dropout, 100 passes"]["NLL"]


@pytest.mark.slow
def test_networks_that_are_trained_are_taken_from_their_checkpoints(finished):
    workdir, metrics = finished
    key = jax.random.fold_in(jax.random.split(jax.random.key(TINY.seed))[1], 1)
    for method, scores in equal_cost.compare(_cost_settings(TINY), 1, key, workdir).items():
        for name, value in scores.items():
            mean, error = (metrics[method][key] for key in (name, f"{name}, error"))
            # Of two numbers, the standard error is what each differs from their mean by.
            assert abs(value - mean) == pytest.approx(error, abs=1e-6)


@pytest.mark.slow
def test_the_report_has_the_numbers_and_the_pictures(finished, tmp_path):
    _, metrics = finished
    path = tmp_path / "one.json"
    result = {"metrics": metrics, "config": dataclasses.asdict(TINY), "seed": 7, "versions": {"jax": "1"}}
    result |= {"device": {"kind": "abacus"}, "wall_seconds": 90}
    text = report.SECTIONS["where_it_fails"](path, result, "there/")
    process, difference = metrics["Gaussian process"], metrics[DIFFERENCE]
    assert (
        f"| Gaussian process | {process['deviation, inside']:.3f} ± {process['deviation, inside, error']:.3f} |" in text
    )
    coverage = f"{100 * process['coverage, far']:.0f} ± {100 * process['coverage, far, error']:.0f} |\n"
    assert coverage in text
    assert f"| {difference['NLL']:.4f} ± {difference['NLL, error']:.4f} |" in text
    assert "an ensemble of 2 at equal cost" in text
    assert "one_line.png" not in text
    for kind in ("line", "equal_cost"):
        path.with_name(f"one_{kind}.png").write_bytes(b"")
    text = report.SECTIONS["where_it_fails"](path, result, "there/")
    assert "(there/one_line.png)" in text
    assert "(there/one_equal_cost.png)" in text


def test_the_verdict_goes_to_whoever_is_better_by_a_t_test():
    difference = {"accuracy": 0.03, "NLL": 0.03, "ECE": -0.03, "AUROC, turned, entropy": -0.03, "AUROC, new": 0.027}
    errors = dict.fromkeys([f"{name}, error" for name in difference], 0.01)
    assert verdict(difference | errors, list(difference), 5) == (
        "The ensemble is better in accuracy; ECE. MC dropout is better in NLL; AUROC, turned, entropy. "
        "Within 2.8 standard errors of each other: AUROC, new."
    )


def test_says_of_each_method_whether_it_knows_that_it_is_far_away():
    values = {"growth of deviation, far": 1.23, "growth of error, far": 45.6, "coverage, far": 0.123}
    assert away({"dropout, tanh": values}).endswith("interval: dropout, tanh: 1.2 against 45.6 times, and 12 %.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, "rate must be above 0 and below 1, got 1.0"),
        ({"line_rate": 0.0}, "line_rate must be above 0 and below 1, got 0.0"),
        ({"members": 1}, "members must be at least 2, got 1"),
        ({"line_batch_size": 101}, "line_batch_size must be at most 100, got 101"),
        ({"num_seeds": 1}, "num_seeds must be at least 2, for standard errors, got 1"),
    ],
)
def test_refuses_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Config(**arguments)
