"""Whether confidence equals the frequency of being right."""

import jax
import jax.numpy as jnp

from jaxdrop import _checks


def expected_calibration_error(probabilities: jax.Array, labels: jax.Array, num_bins: int = 15) -> jax.Array:
    r"""Mean gap between confidence and accuracy over equally wide bins of the top class's probability.

    .. math:: \sum_{b=1}^{B} \frac{n_b}{N} | \mathrm{accuracy}_b - \mathrm{confidence}_b |

    Bin :math:`b` is :math:`((b - 1) / B, b / B]`: a confidence of exactly 1 falls into the last. An empty bin has
    weight 0 and adds nothing. The estimate is biased upwards, the more so the fewer examples a bin holds, so compare
    values at equal `num_bins` and batch size only.

    Args:
      probabilities: Class probabilities, (batch, classes).
      labels: True classes as integers, (batch,).
      num_bins: Number of bins :math:`B`, at least 1; static.

    Returns:
      A scalar in [0, 1].

    Raises:
      ValueError: If `num_bins` is below 1, the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> p = jnp.array([[0.9, 0.1], [0.9, 0.1]])  # sure to 0.9, right in half of the cases
      >>> round(float(expected_calibration_error(p, jnp.array([0, 1]))), 4)
      0.4

    References:
      Guo et al., `On Calibration of Modern Neural Networks <https://arxiv.org/abs/1706.04599>`_, 2017
    """
    _checks.class_labels(probabilities, labels)
    _checks.at_least("num_bins", num_bins, 1)
    confidence = jnp.asarray(probabilities.max(-1), dtype=float)
    correct = jnp.asarray(probabilities.argmax(-1) == labels, dtype=float)
    inner_edges = jnp.linspace(0, 1, num_bins + 1)[1:-1]
    bins = jnp.searchsorted(inner_edges, confidence, side="left")
    # Multiplying a bin's gap by n_b leaves the sum of its differences: no count to divide by, hence none to be 0.
    gaps = jax.ops.segment_sum(correct - confidence, bins, num_segments=num_bins)
    return jnp.abs(gaps).sum() / len(labels)
