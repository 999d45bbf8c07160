"""The calibration error equals a plain loop over bins, at the edges too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.metrics import expected_calibration_error


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
