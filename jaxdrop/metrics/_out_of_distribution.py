"""How well an uncertainty tells what to be unsure of: out-of-distribution inputs, or wrong answers.

All examples are needed at once: values of batches do not add up. NaN is the largest uncertainty.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _checks
from jaxdrop.metrics._ties import group_ties


def auroc(uncertainty: jax.Array, positive: jax.Array) -> jax.Array:
    r"""Area under the receiver operating characteristic.

    .. math:: P(u_+ > u_-) + \tfrac{1}{2} P(u_+ = u_-)

    for a positive and a negative example at random: 1/2 if the uncertainty says nothing.

    Args:
      uncertainty: Any number that is larger for the less certain, (batch,).
      positive: Which examples should be the uncertain ones, (batch,) of booleans: those out of distribution, or those
        answered wrongly.

    Returns:
      A scalar in [0, 1]; NaN without both kinds of examples.

    Raises:
      ValueError: If the arguments are not one-dimensional, of one length and at least one example.
      TypeError: If `positive` are not booleans.

    Examples:
      >>> float(auroc(jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([False, True, False, True])))
      0.75

    References:
      Hendrycks and Gimpel, `A Baseline for Detecting Misclassified and Out-of-Distribution Examples
      <https://arxiv.org/abs/1610.02136>`_, 2017
    """
    ranked = _rank(uncertainty, positive)
    negatives_below = ranked.total_negatives - ranked.negatives_from + ranked.negatives / 2  # ties count a half
    return (ranked.positives * (negatives_below / ranked.total_negatives)).sum() / ranked.total_positives


def aupr(uncertainty: jax.Array, positive: jax.Array) -> jax.Array:
    r"""Area under the precision-recall curve, as the average precision.

    .. math:: \sum_t (R_t - R_{t-1}) P_t

    over the distinct uncertainties :math:`t` from the largest on, with the precision :math:`P_t` and the recall
    :math:`R_t` of those at least as uncertain. There is no interpolation, which would be too optimistic. An uncertainty
    that says nothing has the fraction of positive examples: which of the two kinds is called positive matters.

    Args:
      uncertainty: Any number that is larger for the less certain, (batch,).
      positive: Which examples should be the uncertain ones, (batch,) of booleans.

    Returns:
      A scalar in [0, 1]; NaN without positive examples.

    Raises:
      ValueError: If the arguments are not one-dimensional, of one length and at least one example.
      TypeError: If `positive` are not booleans.

    Examples:
      >>> float(aupr(jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([True, False, False, True])))  # (1 + 2/4) / 2
      0.75
    """
    ranked = _rank(uncertainty, positive)
    precision = ranked.positives_from / jnp.maximum(ranked.positives_from + ranked.negatives_from, 1.0)
    return (ranked.positives * precision).sum() / ranked.total_positives


def false_positive_rate(
    uncertainty: jax.Array, positive: jax.Array, true_positive_rate: jax.typing.ArrayLike = 0.95
) -> jax.Array:
    """Fraction of negative examples that are flagged when a given fraction of the positive ones has to be.

    Flagged is what is at least as uncertain as a threshold, the highest that flags enough of the positive examples.

    Args:
      uncertainty: Any number that is larger for the less certain, (batch,).
      positive: Which examples should be the uncertain ones, (batch,) of booleans.
      true_positive_rate: Fraction of the positive examples to be flagged at least, above 0 and up to 1.

    Returns:
      A scalar in [0, 1], lower is better; NaN without both kinds of examples.

    Raises:
      ValueError: If the arguments are not one-dimensional, of one length and at least one example, or the rate is a
        Python number that is not above 0 and up to 1.
      TypeError: If `positive` are not booleans.

    Examples:
      >>> uncertainty, positive = jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([False, True, False, True])
      >>> float(false_positive_rate(uncertainty, positive)), float(false_positive_rate(uncertainty, positive, 0.5))
      (0.5, 0.0)

    References:
      Liang et al., `Enhancing the Reliability of Out-of-distribution Image Detection
      <https://arxiv.org/abs/1706.02690>`_, 2018 (FPR at 95 % TPR)
    """
    _checks.static_rate("true_positive_rate", true_positive_rate)
    _checks.positive("true_positive_rate", true_positive_rate)
    ranked = _rank(uncertainty, positive)
    # Compiled, a quotient becomes a product with a reciprocal, and 5 / 41 comes out below the nearest float.
    slack = 1 - 4 * jnp.finfo(ranked.positives.dtype).eps
    enough = ranked.positives_from / ranked.total_positives >= jnp.asarray(true_positive_rate, dtype=float) * slack
    rate = jnp.where(enough, ranked.negatives_from / ranked.total_negatives, jnp.inf).min()
    return jnp.where(ranked.total_positives > 0, rate, jnp.nan)


class _Ranked(NamedTuple):
    """Numbers of examples by distinct uncertainty, ascending, (batch,), of which the last may be empty.

    `_from` counts those at least as uncertain.
    """

    positives: jax.Array
    negatives: jax.Array
    positives_from: jax.Array
    negatives_from: jax.Array
    total_positives: jax.Array
    total_negatives: jax.Array


def _rank(uncertainty: jax.Array, positive: jax.Array) -> _Ranked:
    _checks.to_rank(uncertainty, "positive", positive)
    _checks.booleans("positive", positive)
    ascending, is_positive = jax.lax.sort_key_val(jnp.asarray(uncertainty), jnp.asarray(positive, dtype=jnp.int32))
    group, size = group_ties(ascending), len(ascending)
    # Counted in integers: float32 cannot count beyond 2**24.
    positives = jax.ops.segment_sum(is_positive, group, num_segments=size)
    negatives = jax.ops.segment_sum(1 - is_positive, group, num_segments=size)
    positives_from, negatives_from = (jnp.cumsum(counts[::-1])[::-1] for counts in (positives, negatives))
    totals = positives_from[:1].sum(), negatives_from[:1].sum()
    counts = positives, negatives, positives_from, negatives_from, *totals
    return _Ranked(*(jnp.asarray(each, dtype=float) for each in counts))
