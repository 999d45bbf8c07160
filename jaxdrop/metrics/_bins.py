"""Forecasts and outcomes summed in bins: all that calibration errors and the Brier decomposition are computed from."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _checks


class CalibrationBins(NamedTuple):
    """Sums over the examples in each bin of predicted probability.

    Those of two batches add up, `jax.tree.map(jnp.add, first, second)`, if their bins are the same: equally wide ones.

    Attributes:
      num_examples: Number of examples, (num_bins,), or (classes, num_bins) if class-wise; likewise the others.
      confidence: Sum of the predicted probabilities.
      outcome: How often what was predicted came true.
      squared_error: Sum of squared differences between probability and outcome.
    """

    num_examples: jax.Array
    confidence: jax.Array
    outcome: jax.Array
    squared_error: jax.Array


def equal_width_bins(
    probabilities: jax.Array, labels: jax.Array, num_bins: int = 15, *, class_wise: bool = False
) -> CalibrationBins:
    r"""Sums examples in equally wide bins of predicted probability.

    Bin :math:`b` is :math:`((b - 1) / B, b / B]`, and 0 falls into the first.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers in [0, classes), (batch,).
      num_bins: Number of bins :math:`B`, at least 1; static.
      class_wise: Whether the probability of each class is a forecast of that class, binned by itself, rather than only
        that of the most probable class, a forecast of being right; static.

    Returns:
      `CalibrationBins`, of shape (num_bins,), or (classes, num_bins) if class-wise. They add up over batches.

    Raises:
      ValueError: If `num_bins` is below 1, the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> bins = equal_width_bins(jnp.array([[0.75, 0.25], [0.5, 0.5]]), jnp.array([1, 0]), num_bins=2)
      >>> bins.num_examples.tolist(), bins.confidence.tolist(), bins.outcome.tolist()
      ([1.0, 1.0], [0.5, 0.75], [1.0, 0.0])
    """
    forecasts, outcomes = _forecasts(probabilities, labels, num_bins, class_wise)
    # The floats nearest to b / B, which frequencies of B votes are too; jnp.linspace's may be the next lower ones.
    edges = jnp.asarray(np.arange(1, num_bins) / num_bins, dtype=float)
    inner_edges = jnp.broadcast_to(edges, (*forecasts.shape[:-1], num_bins - 1))
    return CalibrationBins(*_sum_in_bins(forecasts, outcomes, inner_edges))


def equal_mass_bins(
    probabilities: jax.Array, labels: jax.Array, num_bins: int = 15, *, class_wise: bool = False
) -> CalibrationBins:
    r"""Sums examples in bins of predicted probability that hold equally many of them.

    Sizes differ by at most one, as in `numpy.array_split`, unless probabilities are equal: those stay together in the
    lowest of the bins that they would be spread over, so that the result does not depend on the order of the examples.
    Needs all examples at once: the bins of two batches have different edges, and do not add up.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers in [0, classes), (batch,).
      num_bins: Number of bins :math:`B`, at least 1; static. With fewer examples than that, some are empty.
      class_wise: Whether each class's probability is a forecast, binned by itself, as in `equal_width_bins`; static.

    Returns:
      `CalibrationBins`, of shape (num_bins,), or (classes, num_bins) if class-wise.

    Raises:
      ValueError: If `num_bins` is below 1, the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> probabilities = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
      >>> equal_mass_bins(probabilities, jnp.array([0, 0, 1]), num_bins=2).num_examples.tolist()
      [2.0, 1.0]

    References:
      Nixon et al., `Measuring Calibration in Deep Learning <https://arxiv.org/abs/1904.01685>`_, 2019
    """
    forecasts, outcomes = _forecasts(probabilities, labels, num_bins, class_wise)
    size, rest = divmod(forecasts.shape[-1], num_bins)
    last_ranks = [b * size + min(b, rest) - 1 for b in range(1, num_bins)]
    inner_edges = jnp.sort(forecasts, axis=-1)[..., jnp.array(last_ranks, dtype=int)]
    return CalibrationBins(*_sum_in_bins(forecasts, outcomes, inner_edges))


def _forecasts(
    probabilities: jax.Array, labels: jax.Array, num_bins: int, class_wise: bool
) -> tuple[jax.Array, jax.Array]:
    """Returns probabilities and outcomes as (batch,), or as (classes, batch) if class-wise."""
    _checks.class_labels("probabilities", probabilities, labels)
    _checks.at_least("num_bins", num_bins, 1)
    # Labels of few bits may not hold the number of every class.
    probabilities, labels = jnp.asarray(probabilities, dtype=float), jnp.asarray(labels).astype(int)
    if class_wise:
        classes = jnp.arange(probabilities.shape[-1], dtype=labels.dtype)
        return probabilities.T, jnp.asarray(labels[None, :] == classes[:, None], dtype=float)
    return probabilities.max(-1), jnp.asarray(probabilities.argmax(-1) == labels, dtype=float)


@functools.partial(jnp.vectorize, signature="(n),(n),(e)->(b),(b),(b),(b)")
def _sum_in_bins(forecasts: jax.Array, outcomes: jax.Array, inner_edges: jax.Array) -> tuple[jax.Array, ...]:
    bins = jnp.searchsorted(inner_edges, forecasts, side="left")  # an edge belongs to the bin below it
    terms = jnp.ones_like(forecasts), forecasts, outcomes, jnp.square(forecasts - outcomes)
    # One after another, a million terms would be summed to two digits or three. Here it is a thousand, twice.
    num_bins, num_parts = len(inner_edges) + 1, math.isqrt(len(forecasts)) + 1
    part = jnp.arange(len(forecasts), dtype=bins.dtype) // num_parts
    sums = (jax.ops.segment_sum(term, part * num_bins + bins, num_segments=num_parts * num_bins) for term in terms)
    return tuple(each.reshape(num_parts, num_bins).sum(0) for each in sums)
