"""Metrics over batches: a batch gives sums, sums of batches add up, and a function finishes them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _checks


class Totals(NamedTuple):
    """Sums over examples, of which the means are metrics.

    Attributes:
      sums: A pytree of arrays.
      num_examples: How many examples they are sums of, a scalar.
    """

    sums: Any
    num_examples: jax.Array


def totals(batch_means: Any, num_examples: jax.typing.ArrayLike) -> Totals:
    r"""Turns metrics of one batch into sums, which add up over batches; `means` turns them back.

    This is how to measure what does not fit into memory at once. All that adds up does so alike, in a loop, in a
    `lax.scan` or across devices by `lax.psum`: `jax.tree.map(jnp.add, first, second)`, for `Totals`, for
    `CalibrationBins` and for any pytree of them. The result is that of all examples at once, up to rounding.

    Of the functions here, those that average over examples can be given to `totals`: accuracy, likelihoods, Brier
    score, CRPS, coverage and width of intervals, the frequencies of `calibration_curve`, and the mean of anything that
    is one number for each example. So can the squares of `root_mean_squared_error` and `sharpness`; take the root of
    their means. Calibration errors and the Brier decomposition are finished from the added `CalibrationBins` of
    `equal_width_bins`. What ranks examples needs all of them at once: `equal_mass_bins`, `risk_coverage` and what
    builds on it, `auroc`, `aupr`, `false_positive_rate`, `conformal_quantile`; and so does `fit_temperature`. For those
    collect one uncertainty or score, and one error or label, for each example, and concatenate.

    Args:
      batch_means: A pytree of means over the examples of a batch, such as a dictionary of metrics.
      num_examples: Number of examples in the batch, above 0.

    Returns:
      `Totals`.

    Raises:
      ValueError: If `num_examples` is a Python number that is not above 0.

    Examples:
      >>> from jaxdrop.metrics import accuracy, brier_score, calibration_error, equal_width_bins
      >>> def measure(probabilities, labels):
      ...     scores = {"accuracy": accuracy(probabilities, labels), "Brier": brier_score(probabilities, labels)}
      ...     return totals(scores, len(labels)), equal_width_bins(probabilities, labels)
      >>> one = measure(jnp.array([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25]]), jnp.array([0, 1, 1]))
      >>> other = measure(jnp.array([[0.5, 0.5]]), jnp.array([0]))
      >>> sums, bins = jax.tree.map(jnp.add, one, other)
      >>> {name: float(value) for name, value in means(sums).items()}
      {'Brier': 0.71875, 'accuracy': 0.5}
      >>> float(calibration_error(bins))  # (|3 * 0.75 - 1| + |0.5 - 1|) / 4
      0.4375
    """
    _checks.positive("num_examples", num_examples)
    count = jnp.asarray(num_examples, dtype=float)
    return Totals(jax.tree.map(lambda mean: jnp.asarray(mean, dtype=float) * count, batch_means), count)


def means(sums: Totals) -> Any:
    """Means over all the examples that `sums` were added up from.

    Args:
      sums: `Totals`, of one batch or added over several.

    Returns:
      A pytree like the one given to `totals`; NaN if there were no examples.

    Examples:
      >>> batches = totals(1.0, 3), totals(0.0, 1)  # 3 of 3 right, 0 of 1 right
      >>> float(means(jax.tree.map(jnp.add, *batches)))
      0.75
    """
    return jax.tree.map(lambda leaf: leaf / sums.num_examples, sums.sums)
