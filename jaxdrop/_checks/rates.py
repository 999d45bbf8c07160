"""Checks of rates, and of what follows from them."""

import math
import numbers
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxdrop._checks.arrays import axes, inexact


def static_rate(name: str, rate: jax.typing.ArrayLike) -> float | None:
    """Returns a rate known before tracing as a float in [0, 1], and None for an array.

    The values of a NumPy array are checked too; those of a JAX array, which may be traced, are not.
    """
    if isinstance(rate, bool | np.bool_):
        raise TypeError(f"{name} must be a number in [0, 1] or an array, got {rate!r}.")
    if isinstance(rate, numbers.Real):
        value = float(rate)
        if not 0.0 <= value <= 1.0:  # false for NaN as well
            raise ValueError(f"{name} must be in [0, 1], got {rate!r}.")
        return value
    if isinstance(rate, np.ndarray):
        if rate.size and not (rate.min() >= 0 and rate.max() <= 1):
            raise ValueError(f"{name} must be in [0, 1], got values from {rate.min()} to {rate.max()}.")
        return None
    if isinstance(rate, jax.Array):
        return None
    raise TypeError(f"{name} must be a number in [0, 1] or an array, got {type(rate).__name__}: {rate!r}.")


def known_rate(name: str, rate: float) -> float:
    """Returns a rate in [0, 1]; raises for an array as well, where the rate decides a shape."""
    value = static_rate(name, rate)
    if value is None:
        raise TypeError(f"{name} must be a Python number, as it decides a shape, got an array: {rate!r}.")
    return value


def rate_shape(name: str, shape: tuple[int, ...], target: tuple[int, ...], shared: tuple[int, ...]) -> tuple[int, ...]:
    """Returns `shape` padded with leading ones to the rank of `target`.

    Raises unless it broadcasts against `target` without enlarging it and is constant along the `shared` axes.
    """
    padded = (1,) * (len(target) - len(shape)) + shape
    if len(shape) > len(target) or any(p not in (1, t) for p, t in zip(padded, target, strict=True)):
        raise ValueError(f"{name} must broadcast against the shape {target}, got shape {shape}.")
    if any(padded[axis] != 1 for axis in shared):
        raise ValueError(f"{name} must be constant along shared axes {shared}, got shape {shape} against {target}.")
    return padded


def random_bits(bits: int | None, rate: float | None, allowed: Sequence[int] = (8, 16, 32)) -> int:
    """Returns how many random bits decide one element, given a static rate or None.

    Raises if `bits` is not among the `allowed`, or so few that they would turn `rate` into 0 or 1.
    """
    if bits is not None and bits not in allowed:
        *others, last = allowed
        raise ValueError(f"bits must be None, {', '.join(map(str, others))} or {last}, got {bits!r}.")
    if rate is None:
        return 16 if bits is None else bits
    if bits is None:
        return _default_bits(rate, allowed)
    if 0 < rate < 1 and round(rate * 2**bits) in (0, 2**bits):
        raise ValueError(
            f"bits={bits} rounds the rate {rate!r} to {round(rate * 2**bits) // 2**bits}; use more bits or bits=None."
        )
    return bits


def _default_bits(rate: float, allowed: Sequence[int]) -> int:
    for bits in allowed:
        if bits <= 8 and (rate * 2**bits).is_integer():
            return bits
    # Rounding to 16 bits moves a rate by at most 2**-17, which only a very small or a very large one could notice.
    rounded = round(rate * 2**16) / 2**16
    return 16 if math.isclose(rounded, rate, rel_tol=0.01) and math.isclose(1 - rounded, 1 - rate, rel_tol=0.01) else 32


class Masked(NamedTuple):
    """Checked arguments of a method that drops entries: the array, a static rate or None, shared axes and bits."""

    x: jax.Array
    static_rate: float | None
    shared: tuple[int, ...]
    bits: int


def masked(
    x: jax.typing.ArrayLike, rate: jax.typing.ArrayLike, broadcast_dims: Sequence[int], bits: int | None
) -> Masked:
    """Checks what every method that drops entries by a mask is given."""
    array = inexact("x", x)
    known = static_rate("rate", rate)
    return Masked(array, known, axes("broadcast_dims", broadcast_dims, array.ndim), random_bits(bits, known))
