"""The calibration error equals a plain loop over bins, at the edges too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdrop.metrics import (
    CalibrationBins,
    calibration_error,
    equal_mass_bins,
    equal_width_bins,
    expected_calibration_error,
    maximum_calibration_error,
)


def loop_over_bins(probabilities, labels, num_bins):
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == labels
    error = 0.0
    for b in range(num_bins):
        inside = (confidence > b / num_bins) & (confidence <= (b + 1) / num_bins)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("num_bins", [1, 3, 15, 1000])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 10.0])
def test_equals_a_loop_over_bins(num_bins, sharpness):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(4, 1 / sharpness), size=300).astype(np.float32)
    labels = rng.integers(4, size=300).astype(np.int32)
    error = jax.jit(expected_calibration_error, static_argnums=2)(probabilities, labels, num_bins)
    np.testing.assert_allclose(error, loop_over_bins(probabilities, labels, num_bins), rtol=1e-4, atol=1e-6)


def test_is_zero_for_certain_and_right_and_one_for_certain_and_wrong():
    certain = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    assert expected_calibration_error(certain, jnp.array([0, 0])) == 0
    assert expected_calibration_error(certain, jnp.array([1, 1])) == 1


def test_gaps_of_different_bins_do_not_cancel():
    # Overconfident by 0.9 in one bin, underconfident by 0.4 in another: 1.3 / 2, where a signed sum gives 0.5 / 2.
    probabilities = jnp.array([[0.9, 0.1], [0.6, 0.4]])
    np.testing.assert_allclose(expected_calibration_error(probabilities, jnp.array([1, 0])), 0.65, rtol=1e-6)


def test_an_upper_edge_belongs_to_its_bin():
    # Of two bins (0, 0.5] holds only the first example, which is right: gaps 0.5 / 2 + 0.75 / 2. Were the edge in the
    # upper bin, the two would partly cancel: |0.5 - 0.75| / 2.
    probabilities = jnp.array([[0.5, 0.5], [0.75, 0.25]])
    np.testing.assert_allclose(expected_calibration_error(probabilities, jnp.array([0, 1]), 2), 0.625, rtol=1e-6)


def test_refuses_less_than_one_bin():
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        expected_calibration_error(jnp.ones((1, 1)), jnp.zeros(1, jnp.int32), 0)


def bins_of(num_examples, confidence, frequency):
    """Bins with these numbers of examples, mean confidences and frequencies."""
    num_examples, confidence, frequency = map(np.asarray, (num_examples, confidence, frequency))
    fields = num_examples, num_examples * confidence, num_examples * frequency, np.zeros_like(confidence)
    return CalibrationBins(*(jnp.asarray(field, dtype=float) for field in fields))


BINS = bins_of([0, 1, 10, 40, 4], [0.0, 0.2, 0.4, 0.65, 0.9], [0.0, 1.0, 0.3, 0.65, 1.0])
WEIGHT, GAP = np.array([1, 10, 40, 4]) / 55, np.array([0.8, 0.1, 0.0, 0.1])


def test_norms_weigh_the_bins_by_their_examples():
    np.testing.assert_allclose(calibration_error(BINS), np.sum(WEIGHT * GAP), rtol=1e-5)
    np.testing.assert_allclose(calibration_error(BINS, norm=2), np.sqrt(np.sum(WEIGHT * GAP**2)), rtol=1e-5)
    np.testing.assert_allclose(maximum_calibration_error(BINS), 0.8, rtol=1e-6)


@pytest.mark.thorough
def test_class_wise_bins_give_the_error_of_each_class():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=90).astype(np.float32)
    labels = rng.integers(3, size=90).astype(np.int32)
    for binned in (equal_width_bins, equal_mass_bins):
        errors = calibration_error(binned(probabilities, labels, 5, class_wise=True))
        largest = maximum_calibration_error(binned(probabilities, labels, 5, class_wise=True))
        assert errors.shape == (3,)
        for c in range(3):
            p, is_c = probabilities[:, c], labels == c
            edges = np.linspace(0, 1, 6)[1:-1]
            if binned is equal_mass_bins:
                edges = np.sort(p)[[17, 35, 53, 71]]
            chosen = [np.digitize(p, edges, right=True) == b for b in range(5)]
            gaps = [abs(p[inside].mean() - is_c[inside].mean()) if inside.any() else 0 for inside in chosen]
            expected = sum(inside.mean() * gap for inside, gap in zip(chosen, gaps, strict=True))
            np.testing.assert_allclose(errors[c], expected, rtol=1e-5)
            np.testing.assert_allclose(largest[c], max(gaps), rtol=1e-5)


def test_debiased_square_is_right_on_average():
    # Sure of 4 examples and right in a fraction of 0.3: over all numbers of right ones, each with its probability, the
    # mean square is 0.7^2. None is below 0, where it would be cut.
    right = np.arange(5)
    bins = bins_of(np.full((5, 1), 4), np.ones((5, 1)), right[:, None] / 4)
    squares = np.square(calibration_error(bins, norm=2, debiased=True))
    np.testing.assert_allclose(stats.binom(4, 0.3).pmf(right) @ squares, 0.7**2, rtol=1e-6)


@pytest.mark.thorough
def test_debiased_gap_is_less_the_folded_normals_excess():
    deviation = np.sqrt(np.array([0.3 * 0.7 / 10, 0.65 * 0.35 / 40]))
    folded = stats.foldnorm(GAP[1:3] / deviation, scale=deviation).mean()
    expected = np.sum(WEIGHT * GAP) - np.sum(WEIGHT[1:3] * (folded - GAP[1:3]))
    np.testing.assert_allclose(calibration_error(BINS, debiased=True), expected, rtol=1e-5)


def test_debiased_square_skips_bins_of_one_example_and_is_never_below_0():
    expected = WEIGHT[1:] @ (GAP[1:] ** 2 - np.array([0.3 * 0.7 / 9, 0.65 * 0.35 / 39, 0]))
    assert expected < 0
    assert calibration_error(BINS, norm=2, debiased=True) == 0
    one = equal_width_bins(jnp.array([[1.0, 0.0]]), jnp.array([1]))
    assert calibration_error(one, norm=2, debiased=True) == 0
    assert calibration_error(one, norm=2) == 1


def test_refuses_another_norm():
    with pytest.raises(ValueError, match="norm must be 1 or 2, got 3"):
        calibration_error(BINS, norm=3)  # pyright: ignore[reportArgumentType]
