"""Selective prediction: how good the answers are when the least certain ones are referred to somebody else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _checks
from jaxdrop.metrics._ties import group_ties


class RiskCoverage(NamedTuple):
    """What remains wrong when only the most certain examples are answered.

    Attributes:
      coverage: Fraction of examples answered, (batch,): 1/batch, 2/batch, ..., 1.
      risk: Mean error of those answered, (batch,); with 0/1 errors, 1 minus their accuracy.
      aurc: Area under the risk-coverage curve, the mean of `risk`; a scalar, lower is better.
    """

    coverage: jax.Array
    risk: jax.Array
    aurc: jax.Array


def risk_coverage(uncertainty: jax.Array, errors: jax.Array) -> RiskCoverage:
    r"""Mean error of the :math:`k` most certain examples, for every :math:`k`.

    .. math:: r_k = \frac{1}{k} \sum_{i=1}^{k} e_{(i)}, \quad \mathrm{AURC} = \frac{1}{N} \sum_{k=1}^{N} r_k

    with :math:`(i)` the example of the :math:`i`-th smallest uncertainty; NaN is the largest. Examples of equal
    uncertainty all count with their mean error: this is the expectation over the orders of the tied ones, and does not
    depend on the order given. Ranking needs all examples at once: curves of batches do not add up.

    Args:
      uncertainty: Any number that is larger for the less certain, (batch,).
      errors: What each example's answer costs, (batch,): booleans (wrong or not) or real losses.

    Returns:
      A `RiskCoverage`, ordered from the most certain example to the least.

    Raises:
      ValueError: If the arguments are not one-dimensional, of one length and at least one example.

    Examples:
      >>> curve = risk_coverage(jnp.array([0.3, 0.1, 0.2, 0.4]), jnp.array([False, False, False, True]))
      >>> curve.risk.tolist()  # the one error is the least certain: referring a quarter removes it
      [0.0, 0.0, 0.0, 0.25]

    References:
      El-Yaniv and Wiener, `On the Foundations of Noise-free Selective Classification
      <https://jmlr.org/papers/v11/el-yaniv10a.html>`_, 2010; Geifman et al., `Bias-Reduced Uncertainty Estimation
      <https://arxiv.org/abs/1805.08206>`_, 2019 (AURC)
    """
    _checks.to_rank(uncertainty, "errors", errors)
    uncertainty, errors = jax.lax.sort_key_val(jnp.asarray(uncertainty), jnp.asarray(errors, dtype=float))
    size = len(errors)
    group, place = group_ties(uncertainty), jnp.arange(size, dtype=jnp.int32)
    first, last = (
        of_group(place, group, num_segments=size)[group] for of_group in (jax.ops.segment_min, jax.ops.segment_max)
    )
    # The errors of the groups before, and a share of its own group's: all of it where a threshold can be.
    total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(errors)])
    before, after = total[first], total[last + 1]
    share = (place - first + 1).astype(float) / (last - first + 1).astype(float)
    # With an infinite loss among the groups before, the difference would be NaN.
    partly = jnp.where(jnp.isinf(before), before, before + share * (after - before))
    risk = jnp.where(share == 1, after, partly) / jnp.arange(1, size + 1, dtype=float)
    return RiskCoverage(coverage=jnp.asarray(np.arange(1, size + 1) / size, dtype=float), risk=risk, aurc=risk.mean())


def excess_aurc(uncertainty: jax.Array, errors: jax.Array) -> jax.Array:
    """By how much the area under the risk-coverage curve exceeds that of an uncertainty that ranks errors perfectly.

    Unlike the area itself it does not grow with the number of errors alone. The best area is that of these very errors
    in ascending order, not its approximation for many examples.

    Args:
      uncertainty: Any number that is larger for the less certain, (batch,).
      errors: What each example's answer costs, (batch,): booleans (wrong or not) or real losses.

    Returns:
      A scalar, 0 if no example is ranked above one of smaller error.

    Raises:
      ValueError: If the arguments are not one-dimensional, of one length and at least one example.

    Examples:
      >>> float(excess_aurc(jnp.array([0.3, 0.1, 0.2]), jnp.array([True, False, False])))
      0.0
      >>> float(excess_aurc(jnp.array([0.1, 0.2]), jnp.array([True, False])))  # (1 + 1/2) / 2 - (0 + 1/2) / 2
      0.5

    References:
      Geifman et al., `Bias-Reduced Uncertainty Estimation <https://arxiv.org/abs/1805.08206>`_, 2019 (E-AURC)
    """
    best = jnp.asarray(errors, dtype=float)
    return risk_coverage(uncertainty, errors).aurc - risk_coverage(best, errors).aurc


def coverage_at_risk(curve: RiskCoverage, risk: jax.typing.ArrayLike) -> jax.Array:
    """Largest fraction of the examples that can be answered at no more than a given mean error.

    Args:
      curve: As `risk_coverage` returns it.
      risk: The mean error that is allowed, a scalar.

    Returns:
      A scalar in [0, 1]; 0 if even the most certain example is too risky. A larger coverage may come after a smaller
      one that is too risky, and may answer some of equally uncertain examples, drawn at random.

    Examples:
      >>> curve = risk_coverage(jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([False, True, False, False]))
      >>> [round(float(risk), 2) for risk in curve.risk]
      [0.0, 0.5, 0.33, 0.25]
      >>> float(coverage_at_risk(curve, 0.4)), float(coverage_at_risk(curve, 0.2))
      (1.0, 0.25)

    References:
      Geifman and El-Yaniv, `Selective Classification for Deep Neural Networks
      <https://arxiv.org/abs/1705.08500>`_, 2017
    """
    allowed = curve.risk <= jnp.asarray(risk, dtype=curve.risk.dtype)
    return jnp.where(allowed, curve.coverage, 0.0).max()
