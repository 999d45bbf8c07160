"""How good the predictions for all pixels of some scenes are, and which of their uncertainties find unseen objects."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.common.scores import of_classes
from experiments.perception.scenes import Scenes
from jaxdrop import metrics


class Maps(NamedTuple):
    """What is predicted of each pixel.

    Attributes:
      probabilities: Class probabilities, (scenes, height, width, classes).
      uncertainties: By name, (scenes, height, width), larger for the less certain.
    """

    probabilities: np.ndarray
    uncertainties: Mapping[str, np.ndarray]


def of_known(maps: Maps, scenes: Scenes) -> dict[str, float]:
    """Scores over the pixels that are not of unseen objects.

    Returns:
      Mean intersection over union of the classes, accuracy, expected calibration error and, in nats, negative
      log-likelihood.
    """
    known = ~np.asarray(scenes.unseen)
    probabilities, labels = jnp.asarray(maps.probabilities[known]), jnp.asarray(np.asarray(scenes.labels)[known])
    return {
        "mIoU": mean_intersection_over_union(
            np.asarray(probabilities.argmax(-1)), np.asarray(labels), probabilities.shape[-1]
        ),
        **of_classes(probabilities, labels),
    }


def of_unseen(maps: Maps, scenes: Scenes) -> dict[str, dict[str, float]]:
    """How well each uncertainty tells the pixels of unseen objects from all others, and from those of digits.

    Returns:
      For each uncertainty "AUROC", "AUPR", "AUROC among objects" and "AUPR among objects".
    """
    unseen = np.asarray(scenes.unseen)
    among = {"": np.ones_like(unseen), " among objects": unseen | (np.asarray(scenes.labels) > 0)}
    return {
        kind: {
            f"{name}{where}": float(measure(jnp.asarray(uncertainty[chosen]), jnp.asarray(unseen[chosen])))
            for where, chosen in among.items()
            for name, measure in (("AUROC", metrics.auroc), ("AUPR", metrics.aupr))
        }
        for kind, uncertainty in maps.uncertainties.items()
    }


def mean_intersection_over_union(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> float:
    r"""Mean over classes c of the pixels that are c and predicted as c, over those that are either.

    .. math:: \frac{1}{C} \sum_c \frac{|P_c \cap L_c|}{|P_c \cup L_c|}

    Args:
      predicted: Predicted classes, (pixels,), integers.
      labels: True classes, (pixels,), integers.
      num_classes: Number of classes; those that are nowhere, neither true nor predicted, are left out of the mean.
    """
    pairs = np.bincount(num_classes * labels + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)
    both = np.diag(pairs)
    either = pairs.sum(0) + pairs.sum(1) - both
    return float(np.mean(both[either > 0] / either[either > 0]))
