"""Numbers of several networks or splits as means with standard errors."""

import math
from collections.abc import Sequence

import numpy as np


def means_and_errors(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean and standard error of each number.

    Args:
      scores: Numbers by name, the same names for each of two or more seeds.

    Returns:
      For each name the mean, and under the name with ", error" after it the standard error.

    Examples:
      >>> means_and_errors([{"accuracy": 1.0}, {"accuracy": 3.0}])
      {'accuracy': 2.0, 'accuracy, error': 1.0}
    """
    summary = {}
    for name in scores[0]:
        values = np.array([score[name] for score in scores], float)
        summary[name] = float(values.mean())
        summary[f"{name}, error"] = float(values.std(ddof=1)) / math.sqrt(len(values))
    return summary
