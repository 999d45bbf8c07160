"""Mean and variance of functions of normal variables: closed forms where there are, else quadrature."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtr, ndtri

from jaxdrop import _safe

# For functions without breaks. The trapezoidal rule converges geometrically on such integrands, and stands steep
# functions better than Gauss-Hermite: for tanh(3 t), 28 nodes give the deviation to 0.1 % where the latter is 2 % off.
_END = 5.5
_NODES = np.linspace(-_END, _END, 28)
_WEIGHTS = np.exp(-np.square(_NODES) / 2) / np.exp(-np.square(_NODES) / 2).sum()
_LEGENDRE = np.polynomial.legendre.leggauss(16)  # from one break to the next
_NOTHING = -60.0  # the logarithm of next to nothing, to which softplus adds without losing digits
_FAR = 8.0  # standard deviations beyond which nothing is left in float32

Function = Callable[[jax.Array], jax.Array]


class Stats(NamedTuple):
    """Mean and variance of each entry of an array."""

    mean: jax.Array
    variance: jax.Array


def tangent(f: Function, at: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns value and slope of an elementwise function."""
    return jax.jvp(f, (at,), (jnp.ones_like(at),))


def of_normal(f: Function, zeros: jax.Array, breaks: Sequence[jax.Array] = (), degree: int | None = None) -> Stats:
    r"""Mean and variance of `f(t)`, elementwise, for standard normal `t`.

    Args:
      f: Elementwise function.
      zeros: Array of the shape of `t`.
      breaks: Where `f` is not smooth, in ascending order.
      degree: 1 for a function that is linear from one break to the next, for which there is a closed form,

        .. math:: \int_l^h \phi = \Phi(h) - \Phi(l), \quad \int_l^h t \phi = \phi(l) - \phi(h), \quad
           \int_l^h t^2 \phi = \int_l^h \phi + l \phi(l) - h \phi(h)

        and which for the rectifier is that of fast dropout; 0 for one that is constant there; None for any other.
    """
    middle = f(zeros)
    # Subtracted throughout, so that a large mean does not drown the variance.
    centre = jnp.where(jnp.isfinite(middle), middle, 0)
    if degree is None:
        return _quadrature(f, centre, [jnp.clip(place, -_END, _END) for place in breaks])
    if not breaks:
        return Stats(middle, jnp.square(tangent(f, zeros)[1]))
    edges = [jnp.clip(place, -_FAR, _FAR) for place in breaks]
    # Place, mass below and density of each edge; the outermost are at infinity, where their place does not matter.
    below = [zeros, *(ndtr(edge) for edge in edges), zeros + 1]
    density = [zeros, *map(_density, edges), zeros]
    edges = [edges[0] - 2, *edges, edges[-1] + 2]
    first = second = left_out = jnp.zeros_like(centre)
    for i in range(len(edges) - 1):
        inside = (edges[i] + edges[i + 1]) / 2
        value, slope = tangent(f, inside)
        value = value - slope * inside - centre
        mass, moment = below[i + 1] - below[i], density[i] - density[i + 1]
        # As in quadrature: what is taken for normal, though it is never below 0, may have no value there.
        defined = jnp.isfinite(value)
        left_out += jnp.where(defined, 0, mass)
        value, slope = jnp.where(defined, value, 0), jnp.where(defined, slope, 0)
        square = mass + edges[i] * density[i] - edges[i + 1] * density[i + 1]
        first += value * mass + slope * moment
        second += value * value * mass + 2 * value * slope * moment + slope * slope * square
    some = left_out < 1 - 1e-6
    share = jnp.where(some, 1 - left_out, 1)
    first, second = first / share, second / share
    return Stats(jnp.where(some, centre + first, middle), jnp.maximum(second - first * first, 0))


def of_uniform(f: Function, zeros: jax.Array, breaks: Sequence[jax.Array], degree: int | None) -> Stats:
    """Mean and variance of `f(u)`, elementwise, for `u` uniform on [0, 1]; the arguments are those of `of_normal`."""
    if degree is None:
        return of_normal(lambda t: f(ndtr(t)), zeros, [ndtri(place) for place in breaks])
    edges = [zeros, *breaks, zeros + 1]
    centre = f(zeros + 0.5)
    first = second = jnp.zeros_like(centre)
    for low, high in itertools.pairwise(edges):
        value, slope = tangent(f, (low + high) / 2)
        value, width = value - centre, high - low
        first += value * width
        second += (value * value + slope * slope * width * width / 12) * width
    return Stats(centre + first, jnp.maximum(second - first * first, 0))


def _density(t: jax.Array) -> jax.Array:
    return jnp.exp(-t * t / 2) / np.sqrt(2 * np.pi).astype(t.dtype)


def _quadrature(f: Function, centre: jax.Array, breaks: Sequence[jax.Array]) -> Stats:
    def along(array: np.ndarray) -> jax.Array:
        return jnp.asarray(array, centre.dtype).reshape(-1, *[1] * centre.ndim)

    if breaks:
        nodes, weights = map(along, _LEGENDRE)
        edges = [jnp.full_like(breaks[0], -_END), *breaks, jnp.full_like(breaks[0], _END)]
        halves = [(high - low)[None] / 2 for low, high in itertools.pairwise(edges)]
        places = [low[None] + half * (1 + nodes) for low, half in zip(edges[:-1], halves, strict=True)]
        t = jnp.concatenate(places)
        weights = jnp.concatenate([half * weights for half in halves]) * _density(t)
    else:
        t, weights = jnp.broadcast_to(along(_NODES), (len(_NODES), *centre.shape)), along(_WEIGHTS)
    values = jax.vmap(f)(t) - centre[None]
    # A variance, say, is taken for normal, but has no logarithm below 0: leave out where the function is not defined.
    defined = jnp.isfinite(values)
    weights, values = jnp.where(defined, weights, 0), jnp.where(defined, values, 0)
    weights = weights / jnp.sum(weights, 0, keepdims=True)
    first, second = jnp.sum(weights * values, 0), jnp.sum(weights * values * values, 0)
    return Stats(centre + first, jnp.maximum(second - first * first, 0))


def maximum(a: Stats, b: Stats) -> Stats:
    r"""Mean and variance of the maximum of two independent normal variables, exact.

    .. math:: E = \mu_b + \delta \Phi(\alpha) + \theta \phi(\alpha), \quad \delta = \mu_a - \mu_b, \;
       \theta^2 = \sigma_a^2 + \sigma_b^2, \; \alpha = \delta / \theta

    References:
      Clark, `The greatest of a finite set of random variables <https://doi.org/10.1287/opre.9.2.145>`_, 1961
    """
    theta = _safe.sqrt(a.variance + b.variance)
    difference = a.mean - b.mean
    close = jnp.abs(difference) < _FAR * theta
    difference = jnp.where(close, difference, 0)
    alpha = difference / jnp.where(close, theta, 1)
    above, density = ndtr(alpha), _density(alpha)
    first = difference * above + theta * density
    second = (difference**2 + a.variance) * above + b.variance * (1 - above) + difference * theta * density
    mixed = Stats(b.mean + first, jnp.maximum(second - first * first, 0))
    larger = a.mean > b.mean
    return Stats(*(jnp.where(close, x, jnp.where(larger, y, z)) for x, y, z in zip(mixed, a, b, strict=True)))


def exceeds(a: Stats, b: Stats) -> jax.Array:
    """The probability that one normal variable is above another, independent one."""
    theta = _safe.sqrt(a.variance + b.variance)
    certain = (a.mean > b.mean).astype(theta.dtype)
    return jnp.where(theta > 0, ndtr((a.mean - b.mean) / jnp.where(theta > 0, theta, 1)), certain)


def log_add_exp(a: Stats, b: Stats) -> Stats:
    """Mean and variance of `log(exp(a) + exp(b))` for independent normal variables, by quadrature over `b - a`."""
    variance = a.variance + b.variance
    sigma = _safe.sqrt(variance)
    share = a.variance / jnp.where(variance > 0, variance, 1)

    def given(t: jax.Array) -> jax.Array:  # the mean of `a` for this difference, plus what `b` adds
        return a.mean - share * sigma * t + jax.nn.softplus(b.mean - a.mean + sigma * t)

    mean, explained = of_normal(given, jnp.zeros_like(sigma))
    return Stats(mean, explained + share * b.variance)


def logsumexp(x: Stats, axis: int) -> Stats:
    """Mean and variance of `log(sum(exp(x)))` for independent normal variables, each partial sum taken for normal."""
    largest = jnp.max(x.mean, axis, keepdims=True)
    sums = _running(Stats(x.mean - largest, x.variance), axis)
    mean, variance = (lax.index_in_dim(y, y.shape[axis] - 1, axis, keepdims=False) for y in sums)
    return Stats(mean + jnp.squeeze(largest, axis), variance)


def _running(x: Stats, axis: int, *, reverse: bool = False) -> Stats:
    """The `logsumexp` of each entry and all before it, or after it: one by one, more accurate than in pairs."""
    terms = jax.tree.map(lambda y: jnp.moveaxis(y, axis, 0), x)
    nothing = Stats(jnp.full_like(terms.mean[0], _NOTHING), jnp.zeros_like(terms.variance[0]))

    def add(total: Stats, term: Stats) -> tuple[Stats, Stats]:
        total = log_add_exp(total, term)
        return total, total

    sums = lax.scan(add, nothing, terms, reverse=reverse)[1]
    return jax.tree.map(lambda y: jnp.moveaxis(y, 0, axis), sums)


def log_softmax(x: Stats, axis: int) -> Stats:
    """Mean and variance of the logarithm of `softmax`, as there."""
    return softmax(x, axis, jax.nn.log_sigmoid)


def softmax(x: Stats, axis: int, logistic: Function = jax.nn.sigmoid) -> Stats:
    r"""Mean and variance of a softmax of independent normal logits, approximately.

    Each output is :math:`\sigma(x_k - L_k)` with :math:`L_k = \log \sum_{j \ne k} e^{x_j}`, which is independent of
    :math:`x_k`. The moments of :math:`L_k` come from adding one term after another, each sum taken for normal.

    Args:
      x: Logits.
      axis: Along which the outputs sum to one.
      logistic: The logistic function, or its logarithm for log-softmax.
    """
    mean = jnp.maximum(x.mean - jnp.max(x.mean, axis, keepdims=True), _NOTHING)
    nothing = Stats(jnp.full_like(mean, _NOTHING), jnp.zeros_like(mean))
    terms = Stats(mean, x.variance)
    before, after = _running(terms, axis), _running(terms, axis, reverse=True)
    others = log_add_exp(_shifted(before, nothing, axis, 1), _shifted(after, nothing, axis, -1))
    sigma = _safe.sqrt(x.variance + others.variance)
    return of_normal(lambda t: logistic(mean - others.mean + sigma * t), jnp.zeros_like(mean))


def _shifted(x: Stats, filling: Stats, axis: int, by: int) -> Stats:
    """Moves entries along an axis by one place."""
    size = x.mean.shape[axis]
    entering, staying = ((0, 1), (0, size - 1)) if by > 0 else ((size - 1, size), (1, size))

    def shifted(y: jax.Array, z: jax.Array) -> jax.Array:
        parts = lax.slice_in_dim(z, *entering, axis=axis), lax.slice_in_dim(y, *staying, axis=axis)
        return jnp.concatenate(parts if by > 0 else parts[::-1], axis)

    return jax.tree.map(shifted, x, filling)
