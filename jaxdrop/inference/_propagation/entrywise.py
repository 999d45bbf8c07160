"""Functions of one entry of each operand."""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxdrop import _safe
from jaxdrop.inference._propagation import gaussian
from jaxdrop.inference._propagation.equations import (
    COMPARISONS,
    KINKED,
    LINEAR_ENTRYWISE,
    apply,
    float_dtype,
    in_types,
    is_constant,
    out_type,
)
from jaxdrop.inference._propagation.gaussian import Stats
from jaxdrop.inference._propagation.random import (
    Random,
    Root,
    Value,
    as_float,
    ascending,
    at,
    chance,
    innovate,
    mixture,
    normal,
    probability,
    stats,
)


def result(moments: Stats, out: Any) -> Random:
    """An array of the type `out` with these moments; for decisions, the mean is their probability."""
    mean, variance = (jnp.broadcast_to(y, out.shape) for y in moments)
    return chance(mean) if out.dtype == bool else normal(Stats(mean, variance))


def _exceeds(a: Stats, b: Stats, out: Any) -> Random:
    """Whether one normal variable is above another, independent one."""

    def explained() -> jax.Array:
        of_a = gaussian.tangent(lambda mean: gaussian.exceeds(a._replace(mean=mean), b), a.mean)[1]
        of_b = gaussian.tangent(lambda mean: gaussian.exceeds(a, b._replace(mean=mean)), b.mean)[1]
        return jnp.broadcast_to(jnp.square(of_a) * a.variance + jnp.square(of_b) * b.variance, out.shape)

    return chance(jnp.broadcast_to(gaussian.exceeds(a, b), out.shape), explained)


def stats_as(value: Value, aval: Any) -> Stats:
    """Mean and variance in the precision for `aval`."""
    return Stats(*(y.astype(float_dtype(aval)) for y in stats(value)))


def entrywise(eqn: core.JaxprEqn, values: list[Value]) -> Value | None:
    """Applies an entrywise equation; returns None where there is no rule."""
    name, out = eqn.primitive.name, out_type(eqn)
    randoms = [value for value in values if isinstance(value, Random)]
    if any(value.root is not randoms[0].root for value in randoms):
        return _of_several(eqn, values)
    if name in ("eq", "ne") and values[0] is values[1]:  # a test for NaN
        return jnp.full(out.shape, name == "eq")
    if name == "convert_element_type" and _is_float(in_types(eqn)[0]) and not _is_float(out):
        return None
    if name == "div" and not _is_float(out):  # which cuts at the point
        return None
    if name in ("log", "sqrt", "rsqrt") and _is_normal(values[0]):
        return _of_positive(eqn, values[0])
    avals = in_types(eqn)

    def function(z: jax.Array, memo: dict) -> jax.Array:
        operands = [_operand(at(value, z, memo), aval) for value, aval in zip(values, avals, strict=True)]
        if name == "convert_element_type":
            return _operand(operands[0], out)
        return apply(eqn, *operands)[0]

    breaks = {key: place for value in randoms for key, place in value.breaks.items()}
    degree = _degree(name, values)
    if name in COMPARISONS | KINKED | {"sign"} and not randoms[0].root.discrete:
        find = _crossings if degree == 1 else _crossings_of_curves
        for a, b, key in _kinks(name, values):
            if key not in breaks:
                places = find(functools.partial(_difference, a, b), randoms[0].root, list(breaks.values()))
                breaks |= {key if i == 0 else object(): place for i, place in enumerate(places)}
        if name not in KINKED:
            degree = 0
    rectifies = None
    if name == "max":
        rectifies = next(((a, b) for a, b in (values, values[::-1]) if isinstance(a, Random) and _is_number(b)), None)
    return Random(randoms[0].root, function, out.shape, degree, breaks, rectifies)


def _of_positive(eqn: core.JaxprEqn, value: Random) -> Random:
    """Takes what has a logarithm or a square root, a variance say, for log-normal: a normal one may be below zero.

    The logarithm is a linear function of it, so that `x log x` is a function of one array.
    """
    mean, variance = stats_as(value, in_types(eqn)[0])
    known = variance <= 0  # the norm of an example of zeros, say, which has no logarithm, and whose root has no slope
    constant = jax.lax.stop_gradient(apply(eqn, mean)[0])
    safe = jnp.where(known, 1, mean)
    spread = jnp.log1p(jnp.where(known, 1, variance) / jnp.square(safe))
    middle, slope = jnp.log(safe) - spread / 2, jnp.sqrt(spread / jnp.where(known, 1, variance))

    def function(z: jax.Array, memo: dict) -> jax.Array:
        logarithm = middle + slope * (at(value, z, memo).astype(mean.dtype) - mean)
        return jnp.where(known, constant, apply(eqn, jnp.exp(logarithm))[0])

    return Random(value.root, function, value.shape, None)


def _is_normal(value: Random) -> bool:
    return value.degree == 1 and not value.breaks and [part.variance is None for part in value.root.parts] == [False]


def _is_number(value: Value) -> bool:
    return not isinstance(value, Random) and not np.ndim(value)


def _is_float(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jnp.inexact)


def _operand(value: jax.Array, aval: Any) -> jax.Array:
    return jnp.asarray(value).astype(bool if aval.dtype == bool else float_dtype(aval))


def _degree(name: str, values: list[Value]) -> int | None:
    """The degree of a function between its breaks, those that it adds included, or None."""
    degrees = [value.degree if isinstance(value, Random) else 0 for value in values]
    if all(d == 0 for d in degrees) or any(isinstance(value, Random) and value.root.discrete for value in values):
        return 0
    linear = name in LINEAR_ENTRYWISE | COMPARISONS | KINKED | {"sign", "select_n"}
    if name == "mul" or (name == "div" and degrees[1] == 0):
        linear = sum(d == 1 for d in degrees) == 1
    return 1 if linear and None not in degrees else None


def _kinks(name: str, values: list[Value]) -> list[tuple[Value, Value, Any]]:
    """Pairs of values such that a function has a kink where they are equal, and a name for the pair."""
    pairs = [(values[0], values[-1])]
    if name in ("abs", "sign"):
        pairs = [(values[0], np.float32(0))]
    elif name == "clamp":
        pairs = [(values[1], values[0]), (values[1], values[2])]

    def label(value: Value) -> Any:
        if isinstance(value, Random):
            return value
        return float(value) if is_constant(value) and not np.ndim(value) else object()

    return [(a, b, (label(a), label(b))) for a, b in pairs]


def _difference(a: Value, b: Value, z: jax.Array) -> jax.Array:
    memo: dict = {}
    return as_float(at(a, z, memo)) - as_float(at(b, z, memo))


def _crossings(difference: gaussian.Function, root: Root, breaks: list[jax.Array]) -> list[jax.Array]:
    """Where a function that is linear between breaks is zero: one place in each interval."""
    breaks = ascending(breaks)
    if root.parts:  # the outermost intervals have no end
        edges = [breaks[0] - 2, *breaks, breaks[-1] + 2] if breaks else [root.parts[0].mean] * 2
    else:
        edges = [root.zeros, *breaks, root.zeros + 1]
    last, places = len(edges) - 2, []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (low + high) / 2
        value, slope = gaussian.tangent(difference, inside)
        place = jnp.where(slope == 0, inside, inside - value / jnp.where(slope == 0, 1, slope))
        place = place if root.parts and i == 0 else jnp.maximum(place, low)
        places.append(place if root.parts and i == last else jnp.minimum(place, high))
    return places


# Where curves cross is looked for between neighbours among so many values of the root, at most so many times.
_SEARCHED, _FOUND = 73, 6


def _crossings_of_curves(difference: gaussian.Function, root: Root, breaks: list[jax.Array]) -> list[jax.Array]:
    """Where a function that is neither constant nor linear changes its sign: the first few places, by bisection."""
    del breaks  # a kink is no obstacle
    if root.parts:
        spreads = [0.0 if part.variance is None else 4.5 * _safe.sqrt(part.variance) for part in root.parts]
        parts = list(zip(root.parts, spreads, strict=True))
        low = functools.reduce(jnp.minimum, [part.mean - spread for part, spread in parts])
        high = functools.reduce(jnp.maximum, [part.mean + spread for part, spread in parts])
    else:
        low, high = root.zeros, root.zeros + 1
    low, high = jnp.broadcast_to(low, root.zeros.shape), jnp.broadcast_to(high, root.zeros.shape)

    def above(number: jax.Array) -> jax.Array:
        return difference(low + (high - low) * jnp.broadcast_to(number / (_SEARCHED - 1), low.shape)) > 0

    # Not all at once, which would hold many times the array.
    def search(
        carry: tuple[jax.Array, jax.Array, jax.Array], number: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        before, count, starts = carry
        now = above(number)
        changed = now != before
        place = jnp.arange(_FOUND).reshape(-1, *[1] * now.ndim)
        starts = jnp.where(changed[None] & (place == count[None]), number - 1, starts)
        return (now, count + changed.astype(count.dtype), starts), None

    first = above(jnp.zeros((), low.dtype))
    none = jnp.full((_FOUND, *first.shape), -1, low.dtype)
    numbers = jnp.arange(1, _SEARCHED).astype(low.dtype)
    (_, _, starts), _ = jax.lax.scan(search, (first, jnp.zeros(first.shape, jnp.int32), none), numbers)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        below, beyond = ends
        middle = (below + beyond) / 2
        same = jax.vmap(above)(middle) == at_start
        return jnp.where(same, middle, below), jnp.where(same, beyond, middle)

    # The sign alternates.
    at_start = jnp.stack([first, ~first] * (_FOUND // 2))
    below, beyond = jax.lax.fori_loop(0, 16, halve, (starts, starts + 1))
    found = jax.lax.stop_gradient(low[None] + (high - low)[None] * ((below + beyond) / 2 / (_SEARCHED - 1)))
    # A step of Newton's, of which derivatives know how places move.
    value, slope = jax.vmap(functools.partial(gaussian.tangent, difference))(found)
    step = value / jax.lax.stop_gradient(jnp.where(slope == 0, 1, slope))
    close = jnp.abs(step) < (high - low)[None] / _SEARCHED
    places = jnp.where(close, found - jnp.where(close, step, 0), found)
    # Where there are fewer, the rest is at the lower end, beyond which there is nothing.
    return list(jnp.where(starts < 0, low[None], places))


def _of_several(eqn: core.JaxprEqn, values: list[Value]) -> Value | None:
    """Functions of arrays that are independent, or taken to be."""
    name, out = eqn.primitive.name, out_type(eqn)
    if name == "select_n":
        which, *cases = values
        if isinstance(which, Random):
            return mixture(which, cases[1], cases[0], out) if len(cases) == 2 else None
        means, variances = zip(*(stats_as(case, out) for case in cases), strict=True)
        return result(Stats(apply(eqn, which, *means)[0], apply(eqn, which, *variances)[0]), out)
    if len(values) != 2:
        return None
    if name == "div":
        values = [values[0], _reciprocal(values[1])]
    a, b = (stats_as(value, in_types(eqn)[0]) for value in values)
    match name:
        case "add" | "add_any" | "sub":
            return result(Stats(apply(eqn, a.mean, b.mean)[0], a.variance + b.variance), out)
        case "mul" | "div":
            linear = a.variance * jnp.square(b.mean) + jnp.square(a.mean) * b.variance
            product = Stats(a.mean * b.mean, linear + a.variance * b.variance)
            return result(innovate(product, lambda: linear), out)
        case "max":
            return result(maximum(a, b), out)
        case "min":
            return result(negative(maximum(negative(a), negative(b))), out)
        case "gt" | "ge":
            return _exceeds(a, b, out)
        case "lt" | "le":
            return _exceeds(b, a, out)
    return None


def _reciprocal(value: Random) -> Random:
    def function(z: jax.Array, memo: dict) -> jax.Array:
        return 1 / as_float(at(value, z, memo))

    return Random(value.root, function, value.shape, 0 if value.degree == 0 else None, value.breaks)


def negative(x: Stats) -> Stats:
    return Stats(-x.mean, x.variance)


def maximum(a: Stats, b: Stats) -> Stats:
    """`gaussian.maximum`, of which the linear part is noted."""

    def explained() -> jax.Array:
        of_a = gaussian.tangent(lambda mean: gaussian.maximum(a._replace(mean=mean), b).mean, a.mean)[1]
        of_b = gaussian.tangent(lambda mean: gaussian.maximum(a, b._replace(mean=mean)).mean, b.mean)[1]
        return jnp.square(of_a) * a.variance + jnp.square(of_b) * b.variance

    return innovate(gaussian.maximum(a, b), explained)


def decide(eqn: core.JaxprEqn, values: list[Value]) -> Value | None:
    """Applies `and`, `or` and `not` to decisions; returns None for integers, and where there is no rule."""
    name, out = eqn.primitive.name, out_type(eqn)
    if out.dtype != bool:
        return None
    randoms = [value for value in values if isinstance(value, Random)]
    if name == "and" and len(randoms) == 2:
        return _both(eqn, randoms)
    if all(value.root is randoms[0].root for value in randoms):
        return entrywise(eqn, values)
    p, q = map(probability, values)
    return chance(jnp.broadcast_to(p + q - p * q, out.shape)) if name == "or" else None


def _both(eqn: core.JaxprEqn, values: list[Random]) -> Random:
    """Whether both of two decisions are True: conjunctions themselves, maybe, that have roots in common."""
    factors: list[Random] = []
    for new in (factor for value in values for factor in value.factors or (value,)):
        same = next((i for i, old in enumerate(factors) if old.root is new.root), None)
        if same is None:
            factors.append(new)
        else:
            both: Any = entrywise(eqn, [factors[same], new])
            factors[same] = both
    if len(factors) == 1:
        return factors[0]
    shape = out_type(eqn).shape
    conjunction = chance(jnp.broadcast_to(math.prod(map(probability, factors), start=jnp.ones(())), shape))
    conjunction.factors = tuple(factors)
    return conjunction
