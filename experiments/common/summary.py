"""Numbers of several networks or splits as differences, and as means with standard errors."""

import math
from collections.abc import Mapping, Sequence

import numpy as np


def with_differences(columns: Mapping[str, Mapping[str, float]], baseline: str) -> dict[str, dict[str, float]]:
    """Adds to each column its differences to one of them.

    Numbers of the same network or the same examples vary together from seed to seed: their differences vary less.

    Args:
      columns: Numbers by name, for each thing that is compared.
      baseline: The column to compare the others with.

    Returns:
      The columns, each but the baseline with its number less the baseline's for every name that both have, under the
      name with ", difference" after it.

    Examples:
      >>> with_differences({"plain": {"NLL": 2.0}, "sampled": {"NLL": 1.5, "ms": 9.0}}, "plain")
      {'plain': {'NLL': 2.0}, 'sampled': {'NLL': 1.5, 'ms': 9.0, 'NLL, difference': -0.5}}
    """
    reference = columns[baseline]
    return {
        column: dict(numbers)
        if column == baseline
        else {
            **numbers,
            **{f"{name}, difference": numbers[name] - reference[name] for name in numbers if name in reference},
        }
        for column, numbers in columns.items()
    }


def means_and_errors(scores: Sequence[Mapping[str, float]], *, held_out: float = 0.0) -> dict[str, float]:
    r"""Mean and standard error of each number.

    .. math:: \mathrm{error}^2 = (1 + n r) s^2 / n

    with the variance :math:`s^2` of the :math:`n` numbers. Where each is of another random split of the same examples,
    they are not independent, and :math:`r` is what `held_out` says.

    Args:
      scores: Numbers by name, the same names for each of two or more seeds.
      held_out: Of random splits, the number of test examples for each training example; 0 for independent numbers.

    Returns:
      For each name the mean, and under the name with ", error" after it the standard error.

    Examples:
      >>> means_and_errors([{"accuracy": 1.0}, {"accuracy": 3.0}])
      {'accuracy': 2.0, 'accuracy, error': 1.0}

    References:
      Nadeau & Bengio, `Inference for the generalization error <https://doi.org/10.1023/A:1024068626366>`_, 2003
    """
    summary = {}
    for name in scores[0]:
        values = np.array([score[name] for score in scores], float)
        summary[name] = float(values.mean())
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        summary[f"{name}, error"] = error * math.sqrt(1 + len(values) * held_out)
    return summary
