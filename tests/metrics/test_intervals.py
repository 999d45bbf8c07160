"""Intervals equal NumPy's quantiles, and their coverage plain counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.metrics import Interval, central_interval, interval_coverage, interval_width


def test_central_interval_equals_numpy():
    samples = np.random.default_rng(0).normal(size=(37, 5, 2)).astype(np.float32)
    for level in (0.5, 0.95):
        interval = jax.jit(central_interval, static_argnums=1)(samples, level)
        expected = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
        np.testing.assert_allclose(interval, expected, rtol=1e-4, atol=1e-6)
    interval = central_interval(samples[:1])
    np.testing.assert_array_equal(interval.lower, interval.upper)
    assert interval_width(interval) == 0


def test_coverage_and_width_count():
    interval = Interval(jnp.array([0.0, 0.0, 0.0, 0.0]), jnp.array([1.0, 1.0, 4.0, jnp.inf]))
    assert jax.jit(interval_coverage)(interval, jnp.array([0.0, 1.0, 5.0, 1e30])) == 0.75
    assert interval_coverage(interval, jnp.array([-1.0, 2.0, 5.0, -jnp.inf])) == 0
    assert interval_width(interval) == jnp.inf
    assert interval_width((interval.lower[:3], interval.upper[:3])) == 2


def test_refuses_other_arguments():
    for level in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="level must be above 0 and below 1"):
            central_interval(jnp.zeros(3), level)
    with pytest.raises(ValueError, match="samples must have 1 or more axes"):
        central_interval(jnp.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"not be empty, got lower \(2,\), upper \(2,\), targets \(1,\)"):
        interval_coverage((jnp.zeros(2), jnp.ones(2)), jnp.zeros(1))
    with pytest.raises(ValueError, match="same shape and not be empty"):
        interval_width((jnp.zeros(0), jnp.zeros(0)))
