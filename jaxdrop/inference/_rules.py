"""What the primitives of a program do to random arrays."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _masks
from jaxdrop.inference import _gaussian
from jaxdrop.inference._gaussian import Stats
from jaxdrop.inference._random import (
    Random,
    Root,
    Uniform,
    Value,
    as_float,
    as_random,
    at,
    chance,
    crossings,
    is_random,
    mixture,
    innovate,
    normal,
    probability,
    stats,
)

_COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
_KINKED = {"max", "min", "abs", "clamp"}
_LINEAR_ENTRYWISE = {"add", "add_any", "sub", "neg", "convert_element_type", "copy", "copy_p", "stop_gradient"} | {
    "reduce_precision",
    "real",
}
_ENTRYWISE = (
    _COMPARISONS
    | _KINKED
    | _LINEAR_ENTRYWISE
    | set("mul div select_n and or not xor sign floor ceil round integer_pow pow square sqrt rsqrt cbrt".split())
    | set("exp exp2 expm1 log log1p logistic tanh sin cos tan asin acos atan sinh cosh asinh acosh".split())
    | set("atanh erf erfc erf_inv lgamma digamma is_finite rem atan2".split())
)
# Sums of entries, or entries put elsewhere: variances of independent entries add up and move like means.
_SUMS = set("reduce_sum cumsum reduce_window_sum broadcast_in_dim reshape transpose squeeze expand_dims rev".split()) | set(
    "slice concatenate pad gather dynamic_slice dynamic_update_slice scatter scatter-add split tile".split()
)
_BILINEAR = {"dot_general", "conv_general_dilated"}


def apply(eqn: Any, values: list[Value]) -> list[Value] | None:
    """Applies an equation to values of which some are random; returns None where there is no rule."""
    name = eqn.primitive.name
    if name == "optimization_barrier":
        return values
    if any(isinstance(value, Uniform) for value in values):
        result = _on_uniform(eqn, name, values)
        if result is not None:
            return [result]
    values = [as_random(value) for value in values]
    if name in _ENTRYWISE:
        result = _entrywise(eqn, name, values)
    elif name in _SUMS:
        return _sums(eqn, name, values)
    elif name in _BILINEAR:
        result = _bilinear(eqn, values)
    else:
        result = _reduction(eqn, name, values[0])
    return None if result is None else [result]


def bind(eqn: Any, *values: Any, **changes: Any) -> list[jax.Array]:
    """Applies an equation to arrays."""
    params = eqn.primitive.get_bind_params({**eqn.params, **changes})
    results = eqn.primitive.bind(*values, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def _concrete(*values: Any) -> bool:
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def _float32(x: Any) -> Any:
    """Converts a known array; one that is known before tracing stays so."""
    return np.asarray(x, np.float32) if _concrete(x) else as_float(x).astype(jnp.float32)


def _on_uniform(eqn: Any, name: str, values: list[Value]) -> Value | None:
    u = next(value for value in values if isinstance(value, Uniform))
    number = next(i for i, value in enumerate(values) if value is u)
    shape, dtype = eqn.outvars[0].aval.shape, eqn.outvars[0].aval.dtype
    others = [value for value in values if value is not u]
    if any(map(is_random, others)) and name != "select_n" and name not in _COMPARISONS:
        return None
    moved = functools.partial(Uniform, u.root, shape=shape, whole=u.whole)
    known = [value if is_random(value) else _float32(value) for value in others]
    match name:
        case "add":
            return moved(u.shift + known[0], u.scale)
        case "sub":
            return moved(u.shift - known[0], u.scale) if number == 0 else moved(known[0] - u.shift, -u.scale)
        case "neg":
            return moved(-u.shift, -u.scale)
        case "mul" if not u.whole:
            return moved(u.shift * known[0], u.scale * known[0])
        case "div" if not u.whole and number == 0:
            return moved(u.shift / known[0], u.scale / known[0])
        case "convert_element_type":
            whole = not jnp.issubdtype(dtype, jnp.inexact)
            # Whole numbers are half a step below the middle of their steps.
            shift = u.shift - np.float32(0.5) * u.scale / abs(u.scale) if u.whole and not whole else u.shift
            return Uniform(u.root, shift, u.scale, shape, whole)
        case "stop_gradient" | "copy" | "copy_p":
            return u
        case "shift_right_logical" if number == 0:
            return moved(u.shift, u.scale * np.float32(2) ** -known[0])
        case "and":  # the lower bits, which are independent of the others
            return Uniform(Root(u.root.zeros), np.float32(0), known[0] + 1, shape, True)
        case "or":
            return moved(u.shift + known[0], u.scale)
        case "bitcast_convert_type" if jnp.issubdtype(dtype, jnp.floating):  # from 1 to 2, by their bits
            one = np.ones((), dtype).view(f"u{dtype.itemsize}").astype(np.float32)
            steps = np.float32(2.0 ** jnp.finfo(dtype).nmant)
            return Uniform(u.root, (u.shift - one) / steps + 1, u.scale / steps, shape, False)
        case "max" | "min" if _concrete(u.shift, u.scale, known[0]):  # a guard against rounding
            ends = (u.shift, u.shift + u.scale - np.float32(u.whole))
            if np.all(known[0] <= min(ends)) if name == "max" else np.all(known[0] >= max(ends)):
                return u
        case "erf_inv" if _concrete(u.shift, u.scale) and np.allclose(u.shift + 1, 0, atol=1e-6):
            return normal(u.root.zeros, jnp.full_like(u.root.zeros, 0.5))  # how normal numbers are made
        case _ if name in _COMPARISONS:
            return _compare_uniform(u, name, values, number, shape)
        case "select_n" if number > 0 and all(isinstance(case, Uniform) for case in values[1:]):
            return Uniform(Root(u.root.zeros), u.shift, u.scale, shape, u.whole)  # the same distribution, either way
        case _ if name in _SUMS and math.prod(shape) and not name.startswith(("reduce", "cum", "scatter")):
            if len(values) == 1 or name in ("gather", "dynamic_slice"):
                shift, scale = (
                    y
                    if np.size(y) == 1
                    else bind(eqn, *(jnp.broadcast_to(y, u.shape) if value is u else value for value in values))[0]
                    for y in (u.shift, u.scale)
                )
                return Uniform(Root(jnp.zeros(shape, jnp.float32)), shift, scale, shape, u.whole)
    return None


def _compare_uniform(u: Uniform, name: str, values: list[Value], number: int, shape: tuple[int, ...]) -> Value:
    if number == 1:  # c < u is u > c
        name = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}.get(name, name)
    limit = values[1 - number]
    if isinstance(limit, Uniform):
        return None
    if isinstance(limit, Random):
        place = u.place(stats(limit).mean, inclusive=name in ("le", "gt"))
        below = jnp.broadcast_to(jnp.where(u.scale > 0, place, 1 - place), shape)
        return chance(below if name in ("lt", "le") else 1 - below) if name not in ("eq", "ne") else None
    limit = as_float(limit).astype(jnp.float32)
    ends = {"lt": (False,), "ge": (False,), "le": (True,), "gt": (True,)}.get(name, (False, True))
    breaks = {object(): jnp.broadcast_to(u.place(limit, inclusive=end), shape) for end in ends}
    compare = {"lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal}.get(name)
    compare = compare or {"eq": jnp.equal, "ne": jnp.not_equal}[name]
    return Random(u.root, lambda z, memo: compare(u.at(z), limit), shape, 0, breaks)


def _float_dtype(aval: Any) -> Any:
    """What the entries of a random array are computed in; whole numbers are floats too."""
    return _masks.wide(aval.dtype) if jnp.issubdtype(aval.dtype, jnp.inexact) else jnp.float32


def _operand(value: jax.Array, aval: Any) -> jax.Array:
    return jnp.asarray(value) if aval.dtype == bool else jnp.asarray(value).astype(_float_dtype(aval))


def _entrywise(eqn: Any, name: str, values: list[Value]) -> Value | None:
    out = eqn.outvars[0].aval
    avals = [v.aval for v in eqn.invars]
    boolean = all(aval.dtype == bool for aval in avals)
    if name in ("and", "or", "not", "xor") and not boolean:
        return None
    if name in ("eq", "ne") and values[0] is values[1]:  # a test for NaN
        return jnp.full(out.shape, name == "eq")
    randoms = [value for value in values if isinstance(value, Random)]
    if any(value.root is not randoms[0].root for value in randoms):
        return _of_several(eqn, name, values, out)
    root = randoms[0].root

    def evaluate(z: jax.Array, memo: dict) -> jax.Array:
        operands = [_operand(at(value, z, memo), aval) for value, aval in zip(values, avals, strict=True)]
        if name != "convert_element_type":
            return bind(eqn, *operands)[0]
        if jnp.issubdtype(avals[0].dtype, jnp.inexact) and not jnp.issubdtype(out.dtype, jnp.inexact):
            return jnp.trunc(operands[0]).astype(jnp.float32)
        return operands[0].astype(bool if out.dtype == bool else _float_dtype(out))

    breaks = {key: place for value in randoms for key, place in value.breaks.items()}
    degree = _degree(name, values, eqn)
    if degree == 1 and name in _COMPARISONS | _KINKED | {"sign"}:
        for operand, limit, key in _kinks(name, values):
            if key not in breaks:
                difference = functools.partial(_difference, operand, limit)
                places = crossings(difference, root, list(breaks.values()))
                breaks |= {(key if i == 0 else object()): place for i, place in enumerate(places)}
        degree = 0 if name in _COMPARISONS | {"sign"} else 1
    lower = None
    if name == "max":
        lower = next(((a, b) for a, b in (values, values[::-1]) if isinstance(a, Random) and jnp.ndim(b) == 0), None)
    return Random(root, evaluate, out.shape, degree, breaks, lower)


def _degree(name: str, values: list[Value], eqn: Any) -> int | None:
    """The degree of a function between its breaks, those that it adds included, or None."""
    degrees = [value.degree if isinstance(value, Random) else 0 for value in values]
    if all(d == 0 for d in degrees) or next(v for v in values if isinstance(v, Random)).root.certain:
        return 0
    if any(d is None for d in degrees):
        return None
    if name in _LINEAR_ENTRYWISE and not (name == "convert_element_type" and eqn.outvars[0].aval.dtype.kind in "iu"):
        return 1
    if name in _COMPARISONS | _KINKED | {"sign", "select_n"}:
        return 1
    if name == "mul" or (name == "div" and degrees[1] == 0):
        return 1 if sum(degrees) == 1 else None
    return None


def _kinks(name: str, values: list[Value]) -> list[tuple[Value, Value, Any]]:
    """Pairs of values where the function has a kink when they are equal, and a name for the pair."""
    if name in ("abs", "sign"):
        pairs = [(values[0], np.float32(0))]
    elif name == "clamp":
        pairs = [(values[1], values[0]), (values[1], values[2])]
    else:
        pairs = [(values[0], values[1])]

    def label(value: Value) -> Any:
        if isinstance(value, Random):
            return value
        return float(value) if _concrete(value) and np.ndim(value) == 0 else object()

    return [(a, b, (label(a), label(b))) for a, b in pairs]


def _difference(a: Value, b: Value, z: jax.Array) -> jax.Array:
    return as_float(at(a, z, {})) - as_float(at(b, z, {}))


def _stats(value: Value, aval: Any) -> Stats:
    return Stats(*(y.astype(_float_dtype(aval)) for y in stats(value)))


def _result(moments: Stats, out: Any) -> Random:
    mean, variance = (jnp.broadcast_to(y, out.shape) for y in moments)
    return chance(mean) if out.dtype == bool else normal(mean, variance)


def _of_several(eqn: Any, name: str, values: list[Value], out: Any) -> Value | None:
    """Entrywise functions of arrays that are independent, or taken to be."""
    if name == "select_n":
        which, *cases = values
        if isinstance(which, Random):
            return mixture(probability(which), cases[1], cases[0], out) if len(cases) == 2 else None
        means, variances = zip(*(_stats(case, out) for case in cases), strict=True)
        return _result(Stats(bind(eqn, which, *means)[0], bind(eqn, which, *variances)[0]), out)
    if name == "and":
        return _both(eqn, values, out)
    if name == "or":
        p, q = map(probability, values)
        return chance(jnp.broadcast_to(1 - (1 - p) * (1 - q), out.shape))
    if name == "div":
        values = [values[0], _reciprocal(values[1])]
    a, b = (_stats(value, out) for value in values[:2])
    match name:
        case "add" | "add_any" | "sub":
            return _result(Stats(bind(eqn, a.mean, b.mean)[0], a.variance + b.variance), out)
        case "mul" | "div":
            return _result(_product(a, b), out)
        case "max":
            return _result(_maximum(a, b), out)
        case "min":
            return _result(_negative(_maximum(_negative(a), _negative(b))), out)
        case "gt" | "ge":
            return _result(Stats(_gaussian.exceeds(a, b), jnp.zeros(())), out)
        case "lt" | "le":
            return _result(Stats(_gaussian.exceeds(b, a), jnp.zeros(())), out)
    return None


def _both(eqn: Any, values: list[Random], out: Any) -> Random:
    """Whether both of two decisions are True, which may come from decisions that share a root themselves."""
    factors: list[Random] = []
    for new in (factor for value in values for factor in value.factors or (value,)):
        same = next((i for i, old in enumerate(factors) if old.root is new.root), None)
        if same is None:
            factors.append(new)
        else:
            factors[same] = _entrywise(eqn, "and", [factors[same], new])
    both = chance(math.prod((probability(factor) for factor in factors), start=jnp.ones(out.shape)))
    both.factors = tuple(factors)
    return both


def _negative(x: Stats) -> Stats:
    return Stats(-x.mean, x.variance)


def _reciprocal(value: Random) -> Random:
    def function(z: jax.Array, memo: dict) -> jax.Array:
        return 1 / as_float(at(value, z, memo))

    return Random(value.root, function, value.shape, 0 if value.degree == 0 else None, value.breaks)


def _product(a: Stats, b: Stats) -> Stats:
    linear = a.variance * jnp.square(b.mean) + jnp.square(a.mean) * b.variance
    return innovate(Stats(a.mean * b.mean, linear + a.variance * b.variance), lambda: linear)


def _bilinear(eqn: Any, values: list[Value]) -> Value:
    """Sums of products of independent entries."""
    out = eqn.outvars[0].aval
    apply = lambda x, y: bind(eqn, x, y, preferred_element_type=None)[0]
    a, b = (_stats(value, out) for value in values)
    mean, linear = apply(a.mean, b.mean), jnp.zeros((), a.mean.dtype)
    if is_random(values[0]):
        linear += apply(a.variance, jnp.square(b.mean))
    if is_random(values[1]):
        linear += apply(jnp.square(a.mean), b.variance)
    if not all(map(is_random, values)):
        return _result(Stats(mean, linear), out)
    return _result(innovate(Stats(mean, linear + apply(a.variance, b.variance)), lambda: linear), out)


# Operands that hold the entries, and not places, where that is not the first alone.
_HOLDERS = {"pad": (0, 1), "dynamic_update_slice": (0, 1), "scatter": (0, 2), "scatter-add": (0, 2)}


def _sums(eqn: Any, name: str, values: list[Value]) -> list[Value] | None:
    holders = range(len(values)) if name == "concatenate" else _HOLDERS.get(name, (0,))
    if any(is_random(value) and i not in holders for i, value in enumerate(values)):
        return None
    out = eqn.outvars[0].aval
    held = [_stats(value, out) if i in holders else Stats(value, value) for i, value in enumerate(values)]
    means, variances = (bind(eqn, *operands) for operands in zip(*held, strict=True))
    return [_result(Stats(*moments), out) for moments in zip(means, variances, strict=True)]


def _maximum(a: Stats, b: Stats) -> Stats:
    def explained() -> jax.Array:
        by_a = _gaussian.linear(lambda mean: _gaussian.maximum(a._replace(mean=mean), b).mean, a.mean)[1]
        by_b = _gaussian.linear(lambda mean: _gaussian.maximum(a, b._replace(mean=mean)).mean, b.mean)[1]
        return jnp.square(by_a) * a.variance + jnp.square(by_b) * b.variance

    return innovate(_gaussian.maximum(a, b), explained)


def _largest(eqn: Any, value: Random, *, smallest: bool = False) -> Random:
    """The maximum over axes or windows, pair by pair, each maximum taken for normal."""
    out = eqn.outvars[0].aval
    if value.lower is not None and not smallest and isinstance(value.lower[0], Random):
        inner, floor = value.lower  # the rectified maximum is that of the rectified, and nearer to normal
        root, floor = _largest(eqn, inner).root, as_float(floor)
        place = jnp.broadcast_to(floor, out.shape)
        return Random(root, lambda z, memo: jnp.maximum(z, floor), out.shape, 1, {object(): place})
    x = _negative(stats(value)) if smallest else stats(value)
    x = Stats(_entries(eqn, x.mean, -jnp.inf), _entries(eqn, x.variance, 0))
    x = functools.reduce(_maximum, (jax.tree.map(lambda y, i=i: y[..., i], x) for i in range(x.mean.shape[-1])))
    return _result(_negative(x) if smallest else x, out)


def _entries(eqn: Any, x: jax.Array, padding: float) -> jax.Array:
    """Brings what an equation reduces, over axes or windows, to the end."""
    shape = eqn.outvars[0].aval.shape
    if "axes" in eqn.params:
        axes = eqn.params["axes"]
        return jnp.moveaxis(x, axes, range(-len(axes), 0)).reshape(*shape, -1)
    window, strides, dilation = (eqn.params[f"window_{name}"] for name in ("dimensions", "strides", "dilation"))
    low_high = [(low, high, step - 1) for (low, high), step in zip(eqn.params["padding"], eqn.params["base_dilation"])]
    x = lax.pad(x, jnp.asarray(padding, x.dtype), low_high)
    entries = []
    for place in np.ndindex(*window):
        start = [p * d for p, d in zip(place, dilation, strict=True)]
        stop = [a + (size - 1) * step + 1 for a, size, step in zip(start, shape, strides, strict=True)]
        entries.append(lax.slice(x, start, stop, strides))
    return jnp.stack(entries, -1)


def _all(eqn: Any, value: Random, *, some: bool = False) -> Random:
    """The probability that all decisions over axes or windows are True, or that some are."""
    yes = probability(value)
    if some:
        return chance(1 - jnp.prod(_entries(eqn, 1 - yes, 1.0), -1))
    return chance(jnp.prod(_entries(eqn, yes, 1.0), -1))


def _reduction(eqn: Any, name: str, value: Random) -> Random | None:
    boolean = eqn.outvars[0].aval.dtype == bool
    if name == "reduce_window":  # with a function of its own
        (inner,) = eqn.params["jaxpr"].eqns
        name = "reduce_" + inner.primitive.name
    match name:
        case "reduce_or" | "reduce_and" if boolean:
            return _all(eqn, value, some=name == "reduce_or")
        case "reduce_max" | "reduce_window_max":
            return _all(eqn, value, some=True) if boolean else _largest(eqn, value)
        case "reduce_min" | "reduce_window_min":
            return _all(eqn, value) if boolean else _largest(eqn, value, smallest=True)
    return None
