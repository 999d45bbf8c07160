"""Arrays of random numbers, as `moments` follows them through a program."""

import contextvars
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop.inference import _gaussian
from jaxdrop.inference._gaussian import Stats


class Part(NamedTuple):
    """One of the distributions that a mixture consists of: normal, or certain where `variance` is None."""

    weight: jax.Array | float
    mean: jax.Array
    variance: jax.Array | None


@dataclasses.dataclass(eq=False)
class Root:
    """An array of independent random variables: a mixture, or uniform on [0, 1] where there are no parts."""

    zeros: jax.Array  # of its shape and dtype
    parts: tuple[Part, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether it has but a few values, all of them known."""
        return bool(self.parts) and all(part.variance is None for part in self.parts)


@dataclasses.dataclass(eq=False)
class Random:
    """A function of a root, each entry of one entry, whose mean and variance wait until somebody asks.

    So `x * sigmoid(x)` is one function of `x`, and not a product of two independent factors.

    Attributes:
      root: What it is a function of.
      function: `(z, memo) -> value`, elementwise.
      shape: Of the values.
      breaks: Where `function` is not smooth, in the root's coordinate, by what the break is for.
      degree: 0 if it is constant between breaks, 1 if it is linear, None if neither is known.
      factors: The decisions, of independent roots, that this is the conjunction of; empty where it is not.
      lower: The random array and the number, if this is the larger of the two, as a rectifier is.
    """

    root: Root
    function: Callable[[jax.Array, dict], jax.Array]
    shape: tuple[int, ...]
    degree: int | None = 1
    breaks: dict[Any, jax.Array] = dataclasses.field(default_factory=dict)
    lower: tuple[Any, Any] | None = None
    factors: tuple["Random", ...] = ()
    cached: Stats | None = None


@dataclasses.dataclass(eq=False)
class Uniform:
    """Uniform numbers from `shift` to `shift + scale`, or `shift + floor(scale * u)` if `whole`.

    Random bits begin as whole ones, and become others by shifts and scalings, whose ends stay exact.
    """

    root: Root
    shift: Any
    scale: Any
    shape: tuple[int, ...]
    whole: bool
    cached: Stats | None = None

    def place(self, limit: Any, *, inclusive: bool) -> jax.Array:
        """The `u` in [0, 1] on whose one side the numbers are below a limit, or up to it."""
        if not self.whole:
            return jnp.clip((limit - self.shift) / self.scale, 0, 1)
        # shift + k < c means k < c - shift, and shift - k < c means not k < shift - c + 1.
        up = limit - self.shift + np.float32(inclusive)
        down = self.shift - limit + np.float32(not inclusive)
        return jnp.clip(jnp.where(self.scale > 0, up, down) / abs(self.scale), 0, 1)

    def at(self, u: jax.Array) -> jax.Array:
        steps = u * jnp.abs(self.scale) if self.whole else u * self.scale
        return self.shift + (jnp.sign(self.scale) * jnp.floor(steps) if self.whole else steps)


class Innovations:
    """A list of what noise each step adds to that of its inputs: the first time it is written, then it is read.

    Reading, each mean gets a zero added, in which the results can be differentiated, and variances are those written.
    """

    def __init__(self, written: list[tuple[jax.Array, jax.Array]] | None = None, added: Any = None):
        self.written = [] if written is None else written
        self.added = None if added is None else iter(zip(self.written, added, strict=True))

    def __call__(self, moments: Stats, explained: Callable[[], jax.Array]) -> Stats:
        if self.added is None:
            self.written.append((moments.variance, jnp.maximum(moments.variance - explained(), 0)))
            return moments
        (variance, _), added = next(self.added)
        return Stats(moments.mean + added, variance)


INNOVATIONS: contextvars.ContextVar[Innovations | None] = contextvars.ContextVar("innovations", default=None)


def innovate(moments: Stats, explained: Callable[[], jax.Array]) -> Stats:
    """Notes, if somebody wants to know, which part of a variance is not linear in what has been random before."""
    innovations = INNOVATIONS.get()
    return moments if innovations is None else innovations(moments, explained)


Value = Any  # a known array, a Random, a Uniform, or KEY


class _Key:
    """Stands for all keys: what is drawn from one is taken to be independent of all else."""


KEY = _Key()


def is_random(value: Value) -> bool:
    return isinstance(value, Random | Uniform)


def bare(root: Root) -> Random:
    """The root itself."""
    return Random(root, lambda z, memo: z, root.zeros.shape)


def normal(mean: jax.Array, variance: jax.Array, shape: tuple[int, ...] | None = None) -> Random:
    """An array of independent normal variables."""
    shape = jnp.shape(mean) if shape is None else shape
    mean, variance = jnp.broadcast_to(mean, shape), jnp.broadcast_to(variance, shape)
    return bare(Root(jnp.zeros_like(mean), (Part(1.0, mean, variance),)))


def chance(probability: jax.Array) -> Random:
    """An array of independent decisions, each True with a probability."""
    yes, no = (jnp.full(probability.shape, value) for value in (True, False))
    return bare(Root(no, (Part(probability, yes, None), Part(1 - probability, no, None))))


def mixture(probability: jax.Array, yes: Value, no: Value, out: Any) -> Random:
    """An array, of the type `out`, that is the one with a probability, decided entry by entry, and else the other."""

    def part(weight: jax.Array, value: Value) -> Part:
        mean, variance = stats(value) if is_random(value) else (as_float(value), None)
        return Part(weight, jnp.broadcast_to(mean, out.shape), variance)

    parts = part(probability, yes), part(1 - probability, no)
    if out.dtype == bool:
        return chance(probability * parts[0].mean + (1 - probability) * parts[1].mean)
    return bare(Root(jnp.zeros_like(parts[0].mean), parts))


def draw(shape: tuple[int, ...], levels: float) -> Uniform:
    """Whole numbers that are uniform on `[0, levels)`."""
    return Uniform(Root(jnp.zeros(shape, jnp.float32)), np.float32(0), np.float32(levels), shape, True)


def as_random(value: Value) -> Random:
    """Forgets that a uniform array is one."""
    if isinstance(value, Uniform):
        return Random(value.root, lambda u, memo: value.at(u), value.shape, None if value.whole else 1)
    return value


def as_float(x: Any) -> jax.Array:
    """Converts a known array to what moments are computed in."""
    x = jnp.asarray(x)
    if jnp.iscomplexobj(x):
        raise TypeError(f"moments takes real numbers only, got dtype {x.dtype}.")
    return x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def at(value: Value, z: jax.Array, memo: dict) -> jax.Array:
    """The value where its root is `z`; `memo` is for one `z`, so that what is shared is computed once."""
    if not isinstance(value, Random):
        return value
    if value not in memo:
        memo[value] = value.function(z, memo)
    return memo[value]


def stats(value: Value) -> Stats:
    """Mean and variance of each entry; 0 and 1 stand for False and True."""
    if not is_random(value):
        mean = as_float(value)
        return Stats(mean, jnp.zeros_like(mean))
    if value.cached is None:
        moments = _stats(value)
        linear = isinstance(value, Random) and value.degree == 1 and not value.breaks and len(value.root.parts) == 1
        value.cached = moments if linear else innovate(moments, functools.partial(_explained, value))
    return value.cached


def probability(decision: Value) -> jax.Array:
    """The probability that a decision is True."""
    return _stats(decision).mean if is_random(decision) else as_float(decision)


def _stats(value: Random | Uniform, parts: tuple[Part, ...] | None = None) -> Stats:
    if isinstance(value, Uniform):
        whole = np.float32(value.whole)
        mean = value.shift + (value.scale - whole * value.scale / abs(value.scale)) / 2
        return Stats(*(jnp.full(value.shape, y) for y in (mean, (value.scale**2 - whole) / 12)))

    def function(z: jax.Array) -> jax.Array:
        return as_float(value.function(z, {}))

    breaks = ascending(list(value.breaks.values()))
    parts = value.root.parts if parts is None else parts
    if not parts:
        moments = [_gaussian.of_uniform(function, value.root.zeros, breaks, value.degree)]
    else:
        moments = [_of_part(function, part, breaks, value.degree) for part in parts]
    moments = [Stats(*(jnp.broadcast_to(y, value.shape) for y in each)) for each in moments]
    if len(moments) == 1:
        return moments[0]
    weights = [as_float(part.weight) for part in parts]
    mean = sum(weight * part.mean for weight, part in zip(weights, moments, strict=True))
    spread = [part.variance + jnp.square(part.mean - mean) for part in moments]
    # Not 0 * infinity where an alternative that never happens is infinite.
    terms = [jnp.where(weight > 0, weight * s, 0) for weight, s in zip(weights, spread, strict=True)]
    return Stats(jnp.asarray(mean), sum(terms, jnp.zeros_like(mean)))


def _explained(value: Random | Uniform) -> jax.Array:
    """The part of a variance that is linear in the root: the squared mean slope, times the variance of the root."""
    explained = jnp.zeros(value.shape)
    parts = value.root.parts
    for i, part in enumerate(parts):
        if part.variance is not None:

            def mean(at: jax.Array, i=i, part=part) -> jax.Array:
                return _stats(value, (*parts[:i], part._replace(mean=at), *parts[i + 1 :])).mean

            explained += jnp.square(_gaussian.linear(mean, part.mean)[1]) * part.variance
    return explained


def _of_part(function: Callable, part: Part, breaks: list[jax.Array], degree: int | None) -> Stats:
    if part.variance is None:
        value = function(part.mean)
        return Stats(value, jnp.zeros_like(value))
    mean, sigma = part.mean, _gaussian.deviation(part.variance)
    scale = jnp.where(sigma > 0, sigma, 1)
    standard = [(b - mean) / scale for b in breaks]
    result = _gaussian.of_function(lambda t: function(mean + sigma * t), jnp.zeros_like(mean), standard, degree)
    if not breaks:
        return result
    value = function(mean)
    return Stats(jnp.where(sigma > 0, result.mean, value), jnp.where(sigma > 0, result.variance, 0))


def ascending(arrays: list[jax.Array]) -> list[jax.Array]:
    """Sorts entry by entry; there are never more than a few."""
    arrays = list(arrays)
    for end in range(len(arrays), 1, -1):
        for i in range(end - 1):
            arrays[i], arrays[i + 1] = jnp.minimum(arrays[i], arrays[i + 1]), jnp.maximum(arrays[i], arrays[i + 1])
    return arrays


def crossings(difference: Callable[[jax.Array], jax.Array], value: Root, breaks: list[jax.Array]) -> list[jax.Array]:
    """Where a function that is linear between breaks is zero: one place in each interval."""
    breaks = ascending(breaks)
    if value.parts:
        centre, unit = value.parts[0].mean, jnp.ones_like(value.zeros)
        edges = [breaks[0] - 2 * unit, *breaks, breaks[-1] + 2 * unit] if breaks else [centre, centre]
    else:
        edges = [value.zeros, *breaks, value.zeros + 1]
    found = []
    for i in range(len(edges) - 1):
        inside = (edges[i] + edges[i + 1]) / 2
        height, slope = _gaussian.linear(difference, inside)
        zero = inside - height / jnp.where(slope == 0, 1, slope)
        zero = jnp.where(slope == 0, inside, zero)
        # The outermost intervals of a normal variable have no end.
        if i > 0 or not value.parts:
            zero = jnp.maximum(zero, edges[i])
        if i < len(edges) - 2 or not value.parts:
            zero = jnp.minimum(zero, edges[i + 1])
        found.append(zero)
    return found
