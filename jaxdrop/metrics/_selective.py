"""Selective prediction: how good the answers are when the least certain ones are referred to somebody else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _checks


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
    depend on the order given.

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
    _checks.uncertainty_and_errors(uncertainty, errors)
    uncertainty, errors = jax.lax.sort_key_val(jnp.asarray(uncertainty), jnp.asarray(errors, dtype=float))
    size = len(errors)
    changes = (uncertainty[1:] != uncertainty[:-1]).astype(jnp.int32)
    group = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(changes)])
    total = jax.ops.segment_sum(errors, group, num_segments=size)
    count = jax.ops.segment_sum(jnp.ones_like(errors), group, num_segments=size)
    expected_errors = (total / jnp.maximum(count, 1.0))[group]
    answered = jnp.arange(1, size + 1, dtype=float)
    risk = jnp.cumsum(expected_errors) / answered
    return RiskCoverage(coverage=answered / size, risk=risk, aurc=risk.mean())
