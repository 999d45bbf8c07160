"""Functions to be minimised, on the unit cube."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Objective(NamedTuple):
    """A function and its least value.

    Attributes:
      evaluate: Points (..., dims) of the unit cube -> values (...), float64.
      dims: Dimensions.
      minimum: The least value, which regret is counted from.
    """

    evaluate: Callable[[np.ndarray], np.ndarray]
    dims: int
    minimum: float


def branin(points: np.ndarray) -> np.ndarray:
    """The Branin function, whose first variable is from -5 to 10 and whose second is from 0 to 15."""
    first, second = np.moveaxis(np.asarray(points, float) * 15 + np.array([-5.0, 0.0]), -1, 0)
    curve = second - 5.1 / (4 * np.pi**2) * first**2 + 5 / np.pi * first - 6
    return curve**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(first) + 10


def hartmann6(points: np.ndarray) -> np.ndarray:
    """The Hartmann function of six variables from 0 to 1: four wells."""
    distances = np.square(np.asarray(points, float)[..., None, :] - _CENTRES)
    return -np.exp(-(_SHAPES * distances).sum(-1)) @ _DEPTHS


_DEPTHS = np.array([1.0, 1.2, 3.0, 3.2])
_SHAPES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)

OBJECTIVES = {
    "branin": Objective(branin, 2, 5 / (4 * np.pi)),
    "hartmann6": Objective(hartmann6, 6, -3.322368011),
}
