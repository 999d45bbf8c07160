"""Exact tests of random claims, at a stated false-failure rate.

Every bound comes from the number of draws. A test of this kind fails by chance once in `1 / FALSE_FAILURE` runs with
fresh keys (with the fixed keys of the suite: never, once it has passed), and each function says which deviation it is
able to see.
"""

import math

import numpy as np
from scipy import stats

FALSE_FAILURE = 1e-6


def assert_frequency(count, num_draws: int, probability: float) -> None:
    """Exact two-sided binomial test that `count` of `num_draws` independent draws happened with `probability`.

    It sees (with a chance of a half) a probability that is off by `detectable_frequency(num_draws, probability)`.
    """
    count = int(count)
    p_value = stats.binomtest(count, num_draws, probability).pvalue
    assert p_value >= FALSE_FAILURE, (
        f"{count} of {num_draws} is {count / num_draws:.6f}, not {probability}: p-value {p_value:.1e}; "
        f"detectable deviation {detectable_frequency(num_draws, probability):.6f}"
    )


def detectable_frequency(num_draws: int, probability: float) -> float:
    """The deviation from `probability` that `assert_frequency` finds half of the time."""
    return _critical_z() * math.sqrt(probability * (1 - probability) / num_draws)


def assert_mean(draws, expected, *, standard_deviation=None) -> None:
    """z test that independent `draws`, along axis 0, have the mean `expected`, in every other entry at once.

    The standard deviation of one draw is estimated unless it is given. The false-failure rate is divided by the number
    of entries (Bonferroni). It sees a deviation of about 5 standard errors, `z * standard_deviation / sqrt(n)`.
    """
    draws = np.asarray(draws, np.float64)
    standard_deviation = draws.std(axis=0, ddof=1) if standard_deviation is None else standard_deviation
    error = np.abs(draws.mean(axis=0) - np.asarray(expected, np.float64))
    bound = _critical_z(draws[0].size) * np.asarray(standard_deviation) / math.sqrt(len(draws))
    # Rounding in float32 is a deviation too, where the draws hardly vary.
    bound = bound + 4 * np.finfo(np.float32).eps * np.abs(expected)
    assert np.all(error <= bound), f"mean off by up to {np.max(error - bound)} beyond the bound {np.max(bound)}"


def assert_moments(draws, mean, variance) -> None:
    """z tests that independent `draws`, along axis 0, have this mean and this variance, in every other entry at once.

    The squared deviations from the stated mean have their own spread, which gives the standard error of the variance:
    `draws` need not be normal.
    """
    assert_mean(draws, mean, standard_deviation=np.sqrt(variance))
    assert_mean(np.square(np.asarray(draws, np.float64) - np.asarray(mean, np.float64)), variance)


def assert_independent(first, second) -> None:
    """Test that two boolean arrays of one shape are independent, element by element, given their own frequencies."""
    first, second = np.asarray(first).ravel(), np.asarray(second).ravel()
    assert_frequency(np.sum(first & second), int(first.sum()), float(second.mean()))


def assert_uniform(counts) -> None:
    """Chi-square test that `counts` are of equally probable cells, at the same false-failure rate."""
    p_value = stats.chisquare(np.asarray(counts)).pvalue
    assert p_value >= FALSE_FAILURE, f"not uniform: p-value {p_value:.1e}"


def _critical_z(num_tests: int = 1) -> float:
    return float(stats.norm.isf(FALSE_FAILURE / 2 / num_tests))
