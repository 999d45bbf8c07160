"""Intervals that should hold the target with a given probability."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _checks


class Interval(NamedTuple):
    """Ends of an interval for each target, of one shape."""

    lower: jax.Array
    upper: jax.Array


def central_interval(samples: jax.Array, level: float = 0.95) -> Interval:
    r"""Interval between the quantiles :math:`(1 - \ell) / 2` and :math:`(1 + \ell) / 2` of the samples.

    Quantiles are interpolated linearly between samples, as `numpy.quantile` does. Samples of a network's mean have no
    noise; add it to get intervals for targets.

    Args:
      samples: Predictions, (num_samples, ...).
      level: Probability :math:`\ell` between the ends, above 0 and below 1; static.

    Returns:
      An `Interval` of the shape (...).

    Raises:
      ValueError: If there are no samples, or `level` is not above 0 and below 1.
      TypeError: If `level` is not a Python number.

    Examples:
      >>> [float(end) for end in central_interval(jnp.arange(5.0), 0.5)]
      [1.0, 3.0]
    """
    _checks.samples("samples", samples, 1)
    level = _checks.inside_unit_interval("level", level)
    ends = jnp.quantile(jnp.asarray(samples, dtype=float), jnp.array([(1 - level) / 2, (1 + level) / 2]), axis=0)
    return Interval(lower=ends[0], upper=ends[1])


def interval_coverage(interval: Interval, targets: jax.Array) -> jax.Array:
    """Fraction of the targets that lie in their interval, ends included.

    Args:
      interval: An `Interval`, or any pair of lower and upper ends.
      targets: Of the shape of the ends.

    Returns:
      A scalar in [0, 1].

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> float(interval_coverage((jnp.array([0.0, 0.0]), jnp.array([1.0, 1.0])), jnp.array([1.0, 2.0])))
      0.5
    """
    lower, upper = interval
    _checks.one_shape(lower=lower, upper=upper, targets=targets)
    lower, upper, targets = (jnp.asarray(array, dtype=float) for array in (lower, upper, targets))
    return jnp.mean((lower <= targets) & (targets <= upper), dtype=float)


def interval_width(interval: Interval) -> jax.Array:
    """Mean difference between the ends.

    Args:
      interval: An `Interval`, or any pair of lower and upper ends.

    Returns:
      A scalar, in the unit of the targets.

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> float(interval_width((jnp.array([0.0, 0.0]), jnp.array([1.0, 2.0]))))
      1.5
    """
    lower, upper = interval
    _checks.one_shape(lower=lower, upper=upper)
    return jnp.mean(jnp.asarray(upper, dtype=float) - jnp.asarray(lower, dtype=float))
