"""Arrays of random numbers, as `moments` follows them through a program."""

import contextvars
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

from jaxdrop import _safe
from jaxdrop.inference._propagation import gaussian
from jaxdrop.inference._propagation.gaussian import Stats


class Part(NamedTuple):
    """One of the distributions that a mixture consists of: normal, or one value where `variance` is None."""

    weight: jax.Array | float
    mean: jax.Array
    variance: jax.Array | None


@dataclasses.dataclass(eq=False)
class Root:
    """An array of independent random variables: a mixture, or uniform on [0, 1] where there are no parts.

    Attributes:
      zeros: Of its shape and dtype.
      parts: What it is a mixture of.
      explained: Of the weight of the first of two parts, the variance that comes linearly of what it depends on.
    """

    zeros: jax.Array
    parts: tuple[Part, ...] = ()
    explained: Callable[[], jax.Array] | None = None

    @property
    def discrete(self) -> bool:
        """Whether it has but a few values."""
        return bool(self.parts) and all(part.variance is None for part in self.parts)


@dataclasses.dataclass(eq=False)
class Random:
    """A function of a root, entry by entry, whose mean and variance wait until somebody asks for them.

    So `x * sigmoid(x)` is one function of `x`, and not a product of factors that would be taken for independent.

    Attributes:
      root: What it is a function of.
      function: `(z, memo) -> value`, elementwise.
      shape: Of the values.
      degree: 0 if the function is constant between breaks, 1 if it is linear, None if it is neither.
      breaks: Where the function is not smooth, in the root's coordinate, by what the break is for.
      rectifies: The random array and the number of which this is the larger, if it is made so.
      factors: The decisions, of independent roots, of which this is the conjunction, if it is made so.
    """

    root: Root
    function: Callable[[jax.Array, dict], jax.Array]
    shape: tuple[int, ...]
    degree: int | None = 1
    breaks: dict[Any, jax.Array] = dataclasses.field(default_factory=dict)
    rectifies: tuple["Random", Any] | None = None
    factors: tuple["Random", ...] = ()
    cached: Stats | None = None


Value = Any  # a known array, a Random, a Uniform of uniform.py, or KEY


class _Key:
    """Stands for every key: what is drawn from one is taken to be independent of all else."""


KEY = _Key()

# Nothing is drawn from such a key. It marks where a traced program draws: by jax.random's primitive, also for jaxdrop's
# own noise, and by another type of its argument, which jax.jit compares, than the same function had before.
SYMBOLIC = define_prng_impl(
    key_shape=(2,),
    seed=lambda seed: jnp.zeros(2, jnp.uint32),
    split=lambda key, shape: jnp.zeros((*shape, 2), jnp.uint32),
    random_bits=lambda key, bits, shape: jnp.zeros(shape, f"uint{bits}"),
    fold_in=lambda key, data: key,
    name="symbolic",
    tag="sym",
)


def bare(root: Root) -> Random:
    """The root itself."""
    return Random(root, lambda z, memo: z, root.zeros.shape)


def normal(moments: Stats) -> Random:
    """An array of independent normal variables."""
    return bare(Root(jnp.zeros_like(moments.mean), (Part(1.0, *moments),)))


def chance(probability: jax.Array, explained: Callable[[], jax.Array] | None = None) -> Random:
    """An array of independent decisions, each True with a probability, of whose variance `Root` says what is explained.

    That is what is followed back to the arrays that the probability depends on, and is no noise of the decision's own.
    """
    yes, no = (jnp.full(probability.shape, value) for value in (True, False))
    return bare(Root(no, (Part(probability, yes, None), Part(1 - probability, no, None)), explained))


def mixture(decision: Value, yes: Value, no: Value, out: Any) -> Random:
    """An array, of the type `out`, that is the one where a decision is True, entry by entry, and else the other."""
    weight = jnp.broadcast_to(probability(decision), out.shape)
    explained = functools.partial(_explained, decision) if isinstance(decision, Random) else None

    def part(weight: jax.Array, value: Value) -> Part:
        mean, variance = stats(value) if isinstance(value, Random) else (as_float(value), None)
        return Part(weight, jnp.broadcast_to(mean, out.shape), variance)

    parts = part(weight, yes), part(1 - weight, no)
    if out.dtype == bool:
        return chance(weight * parts[0].mean + (1 - weight) * parts[1].mean)
    return bare(Root(jnp.zeros_like(parts[0].mean), parts, explained))


def as_float(x: Any) -> jax.Array:
    """Converts a known array to what moments are computed in."""
    x = jnp.asarray(x)
    if jnp.iscomplexobj(x):
        raise TypeError(f"sample must compute with real numbers where they are random, got dtype {x.dtype}.")
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
    if not isinstance(value, Random):
        mean = as_float(value)
        return Stats(mean, jnp.zeros_like(mean))
    if value.cached is None:
        moments = _stats(value, value.root.parts)
        linear = value.degree == 1 and not value.breaks and len(value.root.parts) == 1
        value.cached = moments if linear else innovate(moments, functools.partial(_explained, value))
    return value.cached


def settle(value: Value) -> None:
    """Computes the moments now that are asked for later, inside a loop maybe, whose tracers must not stay here."""
    if isinstance(value, Random):
        stats(value)
        if value.rectifies is not None:
            settle(value.rectifies[0])


def probability(decision: Value) -> jax.Array:
    """The probability that a decision is True."""
    return _stats(decision, decision.root.parts).mean if isinstance(decision, Random) else as_float(decision)


def _stats(value: Random, parts: Sequence[Part]) -> Stats:
    def function(z: jax.Array) -> jax.Array:
        return as_float(value.function(z, {}))

    breaks = ascending(value.breaks.values())
    if not parts:
        moments = [gaussian.of_uniform(function, value.root.zeros, breaks, value.degree)]
    else:
        moments = [_of_part(function, part, breaks, value.degree) for part in parts]
    moments = [Stats(*(jnp.broadcast_to(y, value.shape) for y in each)) for each in moments]
    if len(moments) == 1:
        return moments[0]
    weights = [as_float(part.weight) for part in parts]

    def average(terms: list[jax.Array]) -> jax.Array:
        # Not 0 * infinity where an alternative that never happens is infinite.
        terms = [jnp.where(w > 0, w * term, 0) for w, term in zip(weights, terms, strict=True)]
        return jnp.sum(jnp.stack(terms), 0)

    mean = average([each.mean for each in moments])
    return Stats(mean, average([each.variance + jnp.square(each.mean - mean) for each in moments]))


def _of_part(function: gaussian.Function, part: Part, breaks: list[jax.Array], degree: int | None) -> Stats:
    mean = part.mean
    if part.variance is None:
        value = function(mean)
        return Stats(value, jnp.zeros_like(value))
    sigma = _safe.sqrt(part.variance)
    standard = [(place - mean) / jnp.where(sigma > 0, sigma, 1) for place in breaks]
    moments = gaussian.of_normal(lambda t: function(mean + sigma * t), jnp.zeros_like(mean), standard, degree)
    if not breaks:
        return moments
    return Stats(jnp.where(sigma > 0, moments.mean, function(mean)), jnp.where(sigma > 0, moments.variance, 0))


def ascending(arrays: Any) -> list[jax.Array]:
    """Sorts entry by entry; there are never more than a few."""
    arrays = list(arrays)
    for end in range(len(arrays), 1, -1):
        for i in range(end - 1):
            arrays[i], arrays[i + 1] = jnp.minimum(arrays[i], arrays[i + 1]), jnp.maximum(arrays[i], arrays[i + 1])
    return arrays


class Innovations:
    """What each step's noise adds to that of its inputs: a list that is written the first time, and then read.

    On reading, every mean gets a zero added, in which the results can be differentiated, and variances are those that
    were written: they do not depend on that zero.
    """

    def __init__(self, written: Sequence[tuple[jax.Array, jax.Array]] = (), added: Sequence[jax.Array] | None = None):
        self.written = list(written)
        self._unread = None if added is None else iter(zip(self.written, added, strict=True))

    def __call__(self, moments: Stats, explained: Callable[[], jax.Array]) -> Stats:
        if self._unread is None:
            self.written.append((moments.variance, jnp.maximum(moments.variance - explained(), 0)))
            return moments
        (variance, _), added = next(self._unread)
        return Stats(moments.mean + added, variance)


INNOVATIONS: contextvars.ContextVar[Innovations | None] = contextvars.ContextVar("innovations", default=None)


def innovate(moments: Stats, explained: Callable[[], jax.Array]) -> Stats:
    """Passes on the moments of a result of which only the variance `explained()` is linear in random inputs.

    Each step that is not linear must call it, so that covariances can be followed back.
    """
    innovations = INNOVATIONS.get()
    return moments if innovations is None else innovations(moments, explained)


def _explained(value: Random) -> jax.Array:
    """The squared mean slopes of a function of a root, times the variances that the root's parts have."""
    explained, parts = jnp.zeros(value.shape), value.root.parts
    for i, part in enumerate(parts):
        if part.variance is not None:

            def mean(at: jax.Array, i=i, part=part) -> jax.Array:
                return _stats(value, [*parts[:i], part._replace(mean=at), *parts[i + 1 :]]).mean

            explained += jnp.square(gaussian.tangent(mean, part.mean)[1]) * part.variance
    if value.root.explained is not None:
        yes, no = (_stats(value, [part._replace(weight=1.0)]).mean for part in parts)
        explained += jnp.square(yes - no) * value.root.explained()
    return explained
