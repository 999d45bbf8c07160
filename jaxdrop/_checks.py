"""The one place that raises on the values of arguments.

Every message names the argument, the condition that it breaks and the value that was given.
"""

import math
import numbers
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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


def _default_bits(rate: float, allowed: Sequence[int]) -> int:
    for bits in allowed:
        if bits <= 8 and (rate * 2**bits).is_integer():
            return bits
    # Rounding to 16 bits moves a rate by at most 2**-17, which only a very small or a very large one could notice.
    rounded = round(rate * 2**16) / 2**16
    return 16 if math.isclose(rounded, rate, rel_tol=0.01) and math.isclose(1 - rounded, 1 - rate, rel_tol=0.01) else 32


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


def unused(name: str, value: object, where: str) -> None:
    """Raises if an option is given that means nothing `where` it is given."""
    if value is not None:
        raise ValueError(f"{name} must be None {where}, got {value!r}.")


def interval(name: str, value: Sequence[float]) -> tuple[float, float]:
    """Returns two ascending finite numbers."""
    ends = tuple(value)
    if len(ends) != 2 or not all(isinstance(end, numbers.Real) for end in ends):
        raise ValueError(f"{name} must be two numbers, got {value!r}.")
    low, high = float(ends[0]), float(ends[1])
    if not -math.inf < low <= high < math.inf:  # false for NaN as well
        raise ValueError(f"{name} must be ascending and finite, got {value!r}.")
    return low, high


def kind(name: str, value: object, allowed: Sequence[type]) -> None:
    """Raises unless `value` is an instance of one of the classes."""
    if not isinstance(value, tuple(allowed)):
        names = ", ".join(cls.__name__ for cls in allowed)
        raise TypeError(f"{name} must be one of {names}, got {type(value).__name__}.")


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises unless `value` is among the `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")


def weights(
    kernel: jax.typing.ArrayLike, bias: jax.typing.ArrayLike | None, x: jax.Array, ranks: Sequence[int], groups: int = 1
) -> tuple[jax.Array, jax.Array | None]:
    """Returns a kernel (..., in / groups, out), of one of the `ranks`, and a bias (out,) or None as arrays.

    Raises unless they fit each other and the `groups` of the last axis of `x`.
    """
    array = real("kernel", kernel)
    if array.ndim not in ranks:
        raise ValueError(f"kernel must have {' or '.join(map(str, ranks))} axes, got shape {array.shape}.")
    at_least("feature_group_count", groups, 1)
    if x.ndim < array.ndim - 1 or x.shape[-1] != array.shape[-2] * groups or array.shape[-1] % groups:
        raise ValueError(
            "kernel must be (..., in / groups, out) for x (..., in), in and out multiples of the groups, got shapes"
            f" {array.shape} and {x.shape} and {groups} groups."
        )
    if bias is None:
        return array, None
    offset = real("bias", bias)
    if offset.shape != array.shape[-1:]:
        raise ValueError(f"bias must have shape {array.shape[-1:]}, got {offset.shape}.")
    return array, offset


def kernel(name: str, value: jax.typing.ArrayLike) -> jax.Array:
    """Returns `value` as an array; raises unless it is real floating point of two or more axes."""
    array = real(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name} must have 2 or more axes, got shape {array.shape}.")
    return array


def kernel_of_layer(layer: object, kernel: jax.Array | None) -> jax.Array:
    """Returns the kernel of a layer; raises if it has none."""
    if kernel is None:
        raise ValueError(
            f"layer must have a parameter 'kernel' (..., in, out), as Dense and Conv have, got {type(layer).__name__}."
        )
    return kernel


def class_labels(name: str, scores: jax.Array, labels: jax.Array) -> None:
    """Raises unless `scores` of classes are (batch, classes) and `labels` is (batch,) of integers, not empty."""
    if jnp.ndim(scores) != 2 or jnp.shape(labels) != jnp.shape(scores)[:1]:
        raise ValueError(
            f"{name} must be (batch, classes) and labels (batch,), got shapes {jnp.shape(scores)} and "
            f"{jnp.shape(labels)}."
        )
    _integers("labels", labels)
    if len(labels) == 0:
        raise ValueError("labels must hold at least one example, got none.")


def _integers(name: str, x: jax.Array) -> None:
    dtype = jnp.asarray(x).dtype
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"{name} must be integers, got {dtype}.")


def samples(name: str, x: jax.Array, min_ndim: int) -> None:
    """Raises unless `x` has at least `min_ndim` axes, the first over samples of which there is one or more."""
    if jnp.ndim(x) < min_ndim or jnp.shape(x)[0] == 0:
        raise ValueError(
            f"{name} must have {min_ndim} or more axes, the first over at least one sample, got shape {jnp.shape(x)}."
        )


def class_samples(name: str, x: jax.Array, labels: jax.Array) -> None:
    """Raises unless `x` is (num_samples, batch, classes) and `labels` is (batch,) of integers, not empty."""
    if jnp.ndim(x) != 3 or jnp.shape(labels) != jnp.shape(x)[1:2] or 0 in jnp.shape(x)[:2]:
        raise ValueError(
            f"{name} must be (num_samples, batch, classes) and labels (batch,), of at least one sample and example, "
            f"got shapes {jnp.shape(x)} and {jnp.shape(labels)}."
        )
    _integers("labels", labels)


def sample_targets(x: jax.Array, targets: jax.Array) -> None:
    """Raises unless `x` is (num_samples, batch, ...) and `targets` is (batch, ...), neither empty."""
    shape = jnp.shape(x)
    if len(shape) < 2 or jnp.shape(targets) != shape[1:] or 0 in shape:
        raise ValueError(
            "samples must be (num_samples, batch, ...) and targets (batch, ...), neither empty, got shapes "
            f"{shape} and {jnp.shape(targets)}."
        )


def one_shape(**arrays: jax.typing.ArrayLike) -> None:
    """Raises unless all arrays have one shape and are not empty."""
    shapes = {name: jnp.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(0 in shape for shape in shapes.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{' and '.join(shapes)} must have the same shape and not be empty, got {listed}.")


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


def inside_unit_interval(name: str, value: float) -> float:
    """Returns a number strictly between 0 and 1."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a Python number, got {value!r}.")
    if not 0 < float(value) < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value!r}.")
    return float(value)


def to_rank(uncertainty: jax.Array, name: str, other: jax.Array) -> None:
    """Raises unless `uncertainty` and the `other` array are (batch,) of the same, non-zero length."""
    if jnp.ndim(uncertainty) != 1 or jnp.shape(other) != jnp.shape(uncertainty) or len(uncertainty) == 0:
        raise ValueError(
            f"uncertainty and {name} must both be (batch,) of at least one example, got shapes "
            f"{jnp.shape(uncertainty)} and {jnp.shape(other)}."
        )


def booleans(name: str, x: jax.Array) -> None:
    """Raises unless `x` holds booleans."""
    if x.dtype != bool:
        raise TypeError(f"{name} must be booleans, got {x.dtype}.")


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


def same_shape(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    """Raises unless both arrays have one shape."""
    if x.shape != other.shape:
        raise ValueError(f"{name} and {other_name} must have the same shape, got {x.shape} and {other.shape}.")


def same_dtype(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    """Raises unless both arrays have one dtype."""
    if x.dtype != other.dtype:
        raise TypeError(f"{name} and {other_name} must have the same dtype, got {x.dtype} and {other.dtype}.")


def labels_of_logits(name: str, labels: jax.Array, logits_name: str, logits: jax.Array) -> None:
    """Raises unless `labels` are integers of shape (...), for `logits` of shape (..., classes)."""
    if logits.ndim == 0 or labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"{logits_name} must be (..., classes) and {name} (...), got shapes {logits.shape} and {labels.shape}."
        )
    _integers(name, labels)


def samples_of_logits(name: str, samples: jax.Array, logits_name: str, logits: jax.Array) -> None:
    """Raises unless `samples` are (num_samples, ..., classes), at least one, for `logits` of shape (..., classes)."""
    if samples.shape[1:] != logits.shape or logits.ndim == 0 or logits.shape[-1] == 0 or len(samples) == 0:
        raise ValueError(
            f"{logits_name} must be (..., classes) and {name} (num_samples, ..., classes), of at least one sample and "
            f"class, got shapes {logits.shape} and {samples.shape}."
        )


def examples(name: str, leaves: Sequence[jax.typing.ArrayLike]) -> None:
    """Raises unless all leaves of a batch have a first axis, of one length, and none holds PRNG keys."""
    shapes = [jnp.shape(leaf) for leaf in leaves]
    if not all(shapes) or len({shape[0] for shape in shapes}) > 1:
        listed = ", ".join(map(str, shapes))
        raise ValueError(f"{name} must be of arrays (batch, ...) with as many examples each, got shapes {listed}.")
    if any(isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves):
        raise TypeError(f"{name} must not hold PRNG keys, whose copies would draw the same noise.")


def params_given(params: object) -> None:
    """Raises what optax does where a transformation needs `params` and gets None."""
    if params is None:
        raise ValueError(
            "You are using a transformation that requires the current value of parameters, but you are not passing"
            " `params` when calling `update`."
        )


def some_chosen(name: str, chosen: Sequence[bool], paths: Sequence[Sequence[str]]) -> None:
    """Raises if a predicate on paths chooses none of them."""
    if not any(chosen):
        raise ValueError(f"{name} must choose at least one leaf, got none of {', '.join(map('/'.join, paths))}.")
