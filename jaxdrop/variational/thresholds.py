"""Which threshold to prune at: the curve of a score against what is left."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdrop import _checks
from jaxdrop.variational.prune import prune


class ThresholdCurve(NamedTuple):
    """What thresholds cost and save.

    Attributes:
      thresholds: Of log alpha, (number,), descending: from little pruned to much.
      scores: What the pruned parameters score at each, (number,).
      compressions: All weights over those that are left at each, (number,).
    """

    thresholds: np.ndarray
    scores: np.ndarray
    compressions: np.ndarray

    def choose(self, max_loss: float = 0.0) -> float:
        """The lowest threshold whose score is within `max_loss` of the best.

        Args:
          max_loss: What may be lost, in the units of the score; at least 0.

        Raises:
          ValueError: If `max_loss` is negative or not finite.
        """
        _checks.positive("max_loss", max_loss, or_zero=True)
        return float(self.thresholds[np.flatnonzero(self.scores >= self.scores.max() - max_loss)[-1]])


def trace_thresholds(
    params: Mapping[str, Any],
    score: Callable[[dict[str, Any]], Any],
    thresholds: Iterable[float] = tuple(range(8, -5, -1)),
) -> ThresholdCurve:
    """Prunes at several thresholds and scores each: the curve of accuracy against sparsity.

    Args:
      params: As for `prune`.
      score: Pruned parameters -> a number, larger for better. Let it be accuracy on validation data: on the
        data that choose a threshold, its result means nothing.
      thresholds: Of log alpha. The authors take 3 for small networks, Gale et al. 0.5 for a ResNet-50.

    Returns:
      The curve, whose `choose` picks a threshold.

    Raises:
      ValueError: If there is no layer with learned noise, or no threshold.

    Examples:
      >>> layer = {"kernel": jnp.array([3.0, 1.0, 0.1]), "log_sigma2": jnp.zeros(3)}
      >>> curve = jaxdrop.variational.trace_thresholds({"dense": layer}, lambda params: params["dense"]["kernel"].sum())
      >>> threshold = curve.choose(max_loss=0.2)
      >>> threshold, float(curve.compressions[curve.thresholds == threshold][0])
      (1.0, 1.5)

    References:
      Gale et al., `The state of sparsity in deep neural networks <https://arxiv.org/abs/1902.09574>`_, 2019
    """
    ordered = sorted(thresholds, reverse=True)
    _checks.at_least("the number of thresholds", len(ordered), 1)
    pruned_at = [prune(params, threshold) for threshold in ordered]
    scores = np.array([float(score(each.params)) for each in pruned_at])
    return ThresholdCurve(np.array(ordered, float), scores, np.array([each.report.compression for each in pruned_at]))
