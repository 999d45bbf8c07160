"""What the primitives of a program do to random arrays."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxdrop.inference._propagation import gaussian
from jaxdrop.inference._propagation.entrywise import decide, entrywise, maximum, negative, result, stats_as
from jaxdrop.inference._propagation.equations import (
    DECISIONS,
    ENTRYWISE,
    PRODUCTS,
    SUMS,
    apply,
    is_constant,
    out_type,
    out_types,
)
from jaxdrop.inference._propagation.gaussian import Stats
from jaxdrop.inference._propagation.random import (
    Random,
    Value,
    as_float,
    chance,
    innovate,
    normal,
    probability,
    stats,
)
from jaxdrop.inference._propagation.softmaxes import Softmax
from jaxdrop.inference._propagation.uniform import REFUSED, Uniform, as_random, on_uniform

# Operands that hold entries, rather than places, where that is not the first alone.
_HOLDERS = {"pad": (0, 1), "dynamic_update_slice": (0, 1), "scatter": (0, 2), "scatter-add": (0, 2)}


def evaluate(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    """Applies an equation to values of which some are random; returns None where there is no rule."""
    name = eqn.primitive.name
    if name == "optimization_barrier":
        return values
    if any(isinstance(value, Uniform) for value in values):
        uniform = on_uniform(eqn, values)
        if uniform is not None:
            return None if uniform is REFUSED else uniform if isinstance(uniform, list) else [uniform]
    values = [as_random(value) for value in values]
    if name in SUMS:
        return _sums(eqn, values)
    if name in ENTRYWISE:
        done = entrywise(eqn, values)
    elif name in DECISIONS:
        done = decide(eqn, values)
    elif name in PRODUCTS:
        done = _products(eqn, values)
    else:
        done = _reduction(eqn, *values)
    return None if done is None else [done]


def _sums(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    """Sums of independent entries, and moves of entries."""
    name, out = eqn.primitive.name, out_type(eqn)
    holders = range(len(values)) if name in ("concatenate", "stack") else _HOLDERS.get(name, (0,))
    if any(isinstance(value, Random) and i not in holders for i, value in enumerate(values)):
        return None
    held = [stats_as(value, out) if i in holders else Stats(value, value) for i, value in enumerate(values)]
    means, variances = zip(*held, strict=True)
    # What fills the places of entries that are not there is known.
    means, variances = apply(eqn, *means), apply(eqn, *variances, **({"fill_value": 0} if name == "gather" else {}))
    return [result(Stats(*each), out) for *each, out in zip(means, variances, out_types(eqn), strict=True)]


def _products(eqn: core.JaxprEqn, values: list[Value]) -> Value:
    """Sums of products of independent entries: dense layers, convolutions, attention."""
    out = out_type(eqn)
    product = functools.partial(apply, eqn, preferred_element_type=None)
    a, b = (stats_as(value, out) for value in values)
    (mean,), linear = product(a.mean, b.mean), jnp.zeros((), a.mean.dtype)
    if isinstance(values[0], Random):
        linear += product(a.variance, jnp.square(b.mean))[0]
    if isinstance(values[1], Random):
        linear += product(jnp.square(a.mean), b.variance)[0]
    if not all(isinstance(value, Random) for value in values):
        return result(Stats(mean, linear), out)
    moments = Stats(mean, linear + product(a.variance, b.variance)[0])
    return result(innovate(moments, lambda: linear), out)


def _reduction(eqn: core.JaxprEqn, value: Value, *starts: Value) -> Random | None:
    """The largest or smallest entry along axes or in windows; of decisions, whether some or all are True."""
    name = eqn.primitive.name
    if name == "reduce_window":  # with a function of its own, and a value to start from
        name = "reduce_" + "_".join(inner.primitive.name for inner in eqn.params["jaxpr"].eqns)
        nothing = {"reduce_max": -np.inf, "reduce_or": False, "reduce_min": np.inf, "reduce_and": True}.get(name)
        if not all(is_constant(start) and not isinstance(start, Random) and start == nothing for start in starts):
            return None
    decisions = out_type(eqn).dtype == bool
    match name.replace("window_", ""):
        case "reduce_or" | "reduce_max" if decisions:
            return chance(1 - jnp.prod(_entries(eqn, 1 - probability(value), 1), -1))
        case "reduce_and" | "reduce_min" if decisions:
            return chance(jnp.prod(_entries(eqn, probability(value), 1), -1))
        case "reduce_max":
            return _largest(eqn, value)
        case "reduce_min":
            return normal(negative(_largest_of(eqn, negative(stats(value)))))
    return None


def _largest(eqn: core.JaxprEqn, value: Random) -> Random:
    if value.rectifies is None or value.rectifies[0].rectifies is not None:
        return normal(_largest_of(eqn, stats(value)))
    # The same as the largest of the numbers before they were rectified, which are closer to normal, rectified.
    before, floor = value.rectifies
    root, floor = normal(_largest_of(eqn, stats(before))).root, as_float(floor)
    place = jnp.broadcast_to(floor, root.zeros.shape)
    return Random(root, lambda z, memo: jnp.maximum(z, floor), place.shape, 1, {object(): place})


def _largest_of(eqn: core.JaxprEqn, x: Stats) -> Stats:
    """Adds entry after entry, each maximum taken for normal, which is more accurate than to pair them."""
    mean, variance = _entries(eqn, x.mean, -jnp.inf), _entries(eqn, x.variance, 0)
    return functools.reduce(maximum, (Stats(mean[..., i], variance[..., i]) for i in range(mean.shape[-1])))


def _entries(eqn: core.JaxprEqn, x: jax.Array, padding: float) -> jax.Array:
    """Puts what an equation reduces, along axes or in windows, along a last axis."""
    shape = out_type(eqn).shape
    if "axes" in eqn.params:
        axes = eqn.params["axes"]
        return jnp.moveaxis(x, axes, range(-len(axes), 0)).reshape(*shape, -1)
    window, strides, dilation = (eqn.params[f"window_{name}"] for name in ("dimensions", "strides", "dilation"))
    edges = zip(eqn.params["padding"], eqn.params["base_dilation"], strict=True)
    x = lax.pad(x, jnp.asarray(padding, x.dtype), [(*low_high, step - 1) for low_high, step in edges])
    entries = []
    for place in np.ndindex(*window):
        start = [p * step for p, step in zip(place, dilation, strict=True)]
        stop = [first + (size - 1) * stride + 1 for first, size, stride in zip(start, shape, strides, strict=True)]
        entries.append(lax.slice(x, start, stop, strides))
    return jnp.stack(entries, -1)


def softmax(x: Value, softmax: Softmax) -> Value:
    """A softmax of independent logits, its logarithm, or the logarithm of its denominator."""
    axis, kind = softmax.axis, softmax.kind
    if not isinstance(x, Random):
        return getattr(jax.nn, kind)(x, axis).reshape(softmax.shape)
    logits = stats(x)

    def moments(mean: jax.Array) -> Stats:
        return Stats(*(y.reshape(softmax.shape) for y in getattr(gaussian, kind)(logits._replace(mean=mean), axis)))

    def explained() -> jax.Array:
        def by_one(number: jax.Array) -> jax.Array:
            one = lax.broadcasted_iota(jnp.int32, logits.mean.shape, axis) == number
            slope = jax.jvp(lambda mean: moments(mean).mean, (logits.mean,), (one.astype(logits.mean.dtype),))[1]
            variance = lax.dynamic_index_in_dim(logits.variance, number, axis, keepdims=kind != "logsumexp")
            return jnp.square(slope) * variance.reshape(slope.shape if kind == "logsumexp" else variance.shape)

        return jnp.sum(jax.vmap(by_one)(jnp.arange(logits.mean.shape[axis])), 0)

    return normal(innovate(moments(logits.mean), explained))
