"""Checks of single numbers and options."""

import math
import numbers
from collections.abc import Sequence

import jax
import numpy as np


def at_least(name: str, value: int | None, minimum: int) -> None:
    """Raises if a number is below `minimum`; None is let through."""
    if value is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}.")


def integer_between(name: str, value: int, minimum: int, maximum: int) -> None:
    """Raises unless `value` is an integer from `minimum` to `maximum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} must be from {minimum} to {maximum}, got {value}.")


def inside_unit_interval(name: str, value: float) -> float:
    """Returns a number strictly between 0 and 1."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a Python number, got {value!r}.")
    if not 0 < float(value) < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value!r}.")
    return float(value)


def interval(name: str, value: Sequence[float]) -> tuple[float, float]:
    """Returns two ascending finite numbers."""
    ends = tuple(value)
    if len(ends) != 2 or not all(isinstance(end, numbers.Real) for end in ends):
        raise ValueError(f"{name} must be two numbers, got {value!r}.")
    low, high = float(ends[0]), float(ends[1])
    if not -math.inf < low <= high < math.inf:  # false for NaN as well
        raise ValueError(f"{name} must be ascending and finite, got {value!r}.")
    return low, high


def positive(name: str, value: jax.typing.ArrayLike, *, or_zero: bool = False) -> None:
    """Raises unless a number is finite and above 0, or 0 where that is allowed; arrays are let through."""
    if isinstance(value, numbers.Real) and not (0 < float(value) < math.inf or (or_zero and value == 0)):
        raise ValueError(f"{name} must be {'at least' if or_zero else 'above'} 0 and finite, got {value!r}.")


def finite(name: str, value: jax.typing.ArrayLike) -> None:
    """Raises unless `value` is a finite number; arrays are let through."""
    if isinstance(value, jax.Array | np.ndarray):
        return
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number or an array, got {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}.")


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises unless `value` is among the `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")


def kind(name: str, value: object, allowed: Sequence[type]) -> None:
    """Raises unless `value` is an instance of one of the classes."""
    if not isinstance(value, tuple(allowed)):
        names = ", ".join(cls.__name__ for cls in allowed)
        raise TypeError(f"{name} must be one of {names}, got {type(value).__name__}.")


def unused(name: str, value: object, where: str) -> None:
    """Raises if an option is given that means nothing `where` it is given."""
    if value is not None:
        raise ValueError(f"{name} must be None {where}, got {value!r}.")
