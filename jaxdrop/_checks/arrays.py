"""Checks of arrays: their dtypes, shapes and axes."""

import numbers
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop._checks.numeric import at_least


def inexact(name: str, x: jax.typing.ArrayLike) -> jax.Array:
    """Returns `x` as an array; raises unless it is real or complex floating point."""
    array = jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise TypeError(f"{name} must be floating point, got dtype {array.dtype}.")
    return array


def real(name: str, x: jax.typing.ArrayLike) -> jax.Array:
    """Returns `x` as an array; raises unless it is real floating point."""
    array = inexact(name, x)
    if jnp.iscomplexobj(array):
        raise TypeError(f"{name} must be real, got dtype {array.dtype}.")
    return array


def integers(name: str, x: jax.typing.ArrayLike) -> jax.Array:
    """Returns `x` as an array; raises unless it holds integers."""
    array = jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be integers, got dtype {array.dtype}.")
    return array


def booleans(name: str, x: jax.Array) -> None:
    """Raises unless `x` holds booleans."""
    if x.dtype != bool:
        raise TypeError(f"{name} must be booleans, got {x.dtype}.")


def prng_key(name: str, key: jax.Array | None) -> jax.Array:
    """Returns `key`; raises unless it is one PRNG key, typed or legacy."""
    if isinstance(key, np.ndarray):
        key = jnp.asarray(key)
    if isinstance(key, jax.Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if key.ndim == (0 if typed else 1) and (typed or key.dtype == jnp.uint32):
            return key
    got = f"{key.dtype} of shape {key.shape}" if isinstance(key, jax.Array) else repr(key)
    raise TypeError(f"{name} must be one PRNG key, as jax.random.key makes it, got {got}.")


def axes(name: str, dims: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Returns `dims` as sorted non-negative axes of an array with `ndim` axes."""
    for dim in dims:
        if not -ndim <= dim < ndim:
            raise ValueError(f"{name} must be axes in [{-ndim}, {ndim}), got {dim} for an array with {ndim} axes.")
    return tuple(sorted({dim % ndim for dim in dims}))


def spatial_axes(num_spatial_dims: int | None, ndim: int) -> tuple[int, ...]:
    """Returns the `num_spatial_dims` axes before the last of an array, or all but the first and the last for None."""
    number = ndim - 2 if num_spatial_dims is None else num_spatial_dims
    if not 1 <= number < ndim:
        raise ValueError(
            f"num_spatial_dims must leave 1 or more spatial axes before the channels, got {num_spatial_dims} for an "
            f"array with {ndim} axes."
        )
    return tuple(range(ndim - 1 - number, ndim - 1))


def sizes(name: str, value: int | Sequence[int], number: int) -> tuple[int, ...]:
    """Returns `number` positive integers, given one for all or one each."""
    each = tuple(value) if isinstance(value, Sequence | np.ndarray) else (value,) * number
    for size in each:
        if isinstance(size, bool) or not isinstance(size, numbers.Integral):
            raise TypeError(f"{name} must be an integer or one for each spatial axis, got {value!r}.")
        at_least(name, int(size), 1)
    if len(each) != number:
        raise ValueError(f"{name} must be an integer or one for each of {number} spatial axes, got {value!r}.")
    return tuple(int(size) for size in each)


def pads(name: str, value: int | Sequence[int | Sequence[int]], number: int) -> tuple[tuple[int, int], ...]:
    """Returns `number` pairs of integers, at least 0, given one integer for all, or an integer or a pair each."""
    each = tuple(value) if isinstance(value, Sequence | np.ndarray) else (value,) * number
    pairs = tuple(tuple(pair) if isinstance(pair, Sequence | np.ndarray) else (pair, pair) for pair in each)
    if len(pairs) != number or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name} must be an integer, or one or a pair for each of {number} axes, got {value!r}.")
    for size in (size for pair in pairs for size in pair):
        if isinstance(size, bool) or not isinstance(size, numbers.Integral):
            raise TypeError(f"{name} must be of integers, got {value!r}.")
        at_least(name, int(size), 0)
    return tuple((int(low), int(high)) for low, high in pairs)


def one_shape(**arrays: jax.typing.ArrayLike) -> None:
    """Raises unless all arrays have one shape and are not empty."""
    shapes = {name: jnp.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(0 in shape for shape in shapes.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{' and '.join(shapes)} must have the same shape and not be empty, got {listed}.")


def same_shape(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    """Raises unless both arrays have one shape."""
    if x.shape != other.shape:
        raise ValueError(f"{name} and {other_name} must have the same shape, got {x.shape} and {other.shape}.")


def same_dtype(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    """Raises unless both arrays have one dtype."""
    if x.dtype != other.dtype:
        raise TypeError(f"{name} and {other_name} must have the same dtype, got {x.dtype} and {other.dtype}.")


def not_empty(name: str, x: jax.typing.ArrayLike) -> None:
    """Raises if `x` has no entries."""
    if jnp.size(x) == 0:
        raise ValueError(f"{name} must not be empty, got shape {jnp.shape(x)}.")


def vector(name: str, x: jax.typing.ArrayLike) -> None:
    """Raises unless `x` has one axis and is not empty."""
    if jnp.ndim(x) != 1 or jnp.size(x) == 0:
        raise ValueError(f"{name} must have one axis and not be empty, got shape {jnp.shape(x)}.")


def pictures(name: str, x: np.ndarray) -> None:
    """Raises unless `x` has two or three axes and is not empty."""
    if x.ndim not in (2, 3) or x.size == 0:
        raise ValueError(f"{name} must have two or three axes and not be empty, got shape {x.shape}.")


def examples(name: str, leaves: Sequence[jax.typing.ArrayLike]) -> None:
    """Raises unless all leaves of a batch have a first axis, of one length, and none holds PRNG keys."""
    shapes = [jnp.shape(leaf) for leaf in leaves]
    if not all(shapes) or len({shape[0] for shape in shapes}) > 1:
        listed = ", ".join(map(str, shapes))
        raise ValueError(f"{name} must be of arrays (batch, ...) with as many examples each, got shapes {listed}.")
    if any(isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves):
        raise TypeError(f"{name} must not hold PRNG keys, whose copies would draw the same noise.")
