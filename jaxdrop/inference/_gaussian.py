"""Mean and variance of functions of independent normal variables: closed forms where there are, else quadrature."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtr

# Nodes and weights for the standard normal distribution, and for the uniform one on [-1, 1].
_HERMITE = np.polynomial.hermite_e.hermegauss(20)
_LEGENDRE = np.polynomial.legendre.leggauss(12)
_FAR = 8.0  # standard deviations beyond which nothing is left in float32


class Stats(NamedTuple):
    """Mean and variance of each entry of an array."""

    mean: jax.Array
    variance: jax.Array


def deviation(variance: jax.Array) -> jax.Array:
    """Returns the square root, with a gradient of zero rather than infinity at zero."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)


def density(t: jax.Array) -> jax.Array:
    return jnp.exp(-t * t / 2) / np.sqrt(2 * np.pi).astype(t.dtype)


def linear(f: Callable[[jax.Array], jax.Array], at: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns value and slope of an elementwise function."""
    return jax.jvp(f, (at,), (jnp.ones_like(at),))


def of_function(
    f: Callable[[jax.Array], jax.Array], like: jax.Array, breaks: Sequence[jax.Array], degree: int | None
) -> Stats:
    r"""Mean and variance of `f(t)`, elementwise, for standard normal `t`.

    Args:
      f: Elementwise function.
      like: Array of the shape of `t`, of zeros.
      breaks: Where `f` is not smooth, in ascending order.
      degree: 0 or 1 for a function that is constant or linear between the breaks: closed form,

        .. math:: \int_l^h \phi = \Phi(h) - \Phi(l), \quad \int t \phi = \phi(l) - \phi(h), \quad
           \int t^2 \phi = \int \phi + l \phi(l) - h \phi(h)

        which for the rectifier is that of fast dropout. None for any other: Gauss quadrature, of Hermite without
        breaks and of Legendre from one to the next.
    """
    centre = f(like)  # subtracted, so that a large mean does not drown the variance
    breaks = [jnp.clip(b, -_FAR, _FAR) for b in breaks]
    if degree is None:
        return _quadrature(f, centre, breaks)
    if not breaks:
        value, slope = linear(f, like)
        return Stats(value, jnp.square(slope))
    phi, cdf = [density(b) for b in breaks], [ndtr(b) for b in breaks]
    first = second = jnp.zeros_like(centre)
    for i in range(len(breaks) + 1):
        low = (breaks[i - 1], phi[i - 1], cdf[i - 1]) if i else (jnp.zeros_like(like),) * 3
        high = (breaks[i], phi[i], cdf[i]) if i < len(breaks) else (*low[:1], jnp.zeros_like(like), jnp.ones_like(like))
        inside = (low[0] + high[0]) / 2 if 0 < i < len(breaks) else high[0] - 1 if i == 0 else low[0] + 1
        mass, mean = high[2] - low[2], low[1] - high[1]
        square = mass + low[0] * low[1] - high[0] * high[1]
        value, slope = linear(f, inside)
        value = value - slope * inside - centre
        first += value * mass + slope * mean
        second += value * value * mass + 2 * value * slope * mean + slope * slope * square
    return Stats(centre + first, jnp.maximum(second - first * first, 0))


def of_uniform(
    f: Callable[[jax.Array], jax.Array], like: jax.Array, breaks: Sequence[jax.Array], degree: int | None
) -> Stats:
    """Mean and variance of `f(u)`, elementwise, for `u` uniform on [0, 1]; as `of_function`."""
    if degree is None:
        return of_function(lambda t: f(ndtr(t)), like, [jax.scipy.special.ndtri(b) for b in breaks], None)
    edges = [jnp.zeros_like(like), *breaks, jnp.ones_like(like)]
    centre = f(like + 0.5)
    first = second = jnp.zeros_like(centre)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        value, slope = linear(f, (low + high) / 2)
        value, width = value - centre, high - low
        first += value * width
        second += (value * value + slope * slope * width * width / 12) * width
    return Stats(centre + first, jnp.maximum(second - first * first, 0))


def _quadrature(f: Callable[[jax.Array], jax.Array], centre: jax.Array, breaks: Sequence[jax.Array]) -> Stats:
    if not breaks:
        nodes, weights = (jnp.asarray(array, centre.dtype) for array in _HERMITE)
        return _summed(jax.vmap(lambda t: f(jnp.broadcast_to(t, centre.shape)) - centre)(nodes), weights, centre)
    nodes, weights = (jnp.asarray(array, centre.dtype) for array in _LEGENDRE)
    far = jnp.full_like(breaks[0], _FAR)
    values, masses = [], []
    for low, high in zip([-far, *breaks], [*breaks, far], strict=True):
        middle, half = (high + low) / 2, (high - low) / 2
        t = middle + half * nodes.reshape(-1, *[1] * middle.ndim)
        values.append(jax.vmap(f)(t) - centre)
        masses.append(density(t) * half * weights.reshape(-1, *[1] * middle.ndim))
    return _summed(jnp.concatenate(values), jnp.concatenate(masses), centre)


def _summed(values: jax.Array, weights: jax.Array, centre: jax.Array) -> Stats:
    weights = weights.reshape(*weights.shape, *[1] * (values.ndim - weights.ndim))
    # A variance, say, is taken for normal, but has no logarithm below 0: leave out where the function is not defined.
    defined = jnp.isfinite(values)
    weights = jnp.where(defined, weights, 0)
    weights, values = weights / jnp.sum(weights, 0), jnp.where(defined, values, 0)
    first, second = jnp.sum(weights * values, 0), jnp.sum(weights * values * values, 0)
    return Stats(centre + first, jnp.maximum(second - first * first, 0))


def maximum(a: Stats, b: Stats) -> Stats:
    r"""Mean and variance of the maximum of two independent normal variables, exact.

    .. math:: E = \mu_b + \delta \Phi(\alpha) + \theta \phi(\alpha), \quad \delta = \mu_a - \mu_b, \;
       \theta^2 = \sigma_a^2 + \sigma_b^2, \; \alpha = \delta / \theta

    References:
      Clark, `The greatest of a finite set of random variables <https://doi.org/10.1287/opre.9.2.145>`_, 1961
    """
    theta = deviation(a.variance + b.variance)
    difference = a.mean - b.mean
    near = jnp.abs(difference) < _FAR * theta
    difference = jnp.where(near, difference, 0)
    alpha = difference / jnp.where(near, theta, 1)
    above, phi = ndtr(alpha), density(alpha)
    first = difference * above + theta * phi
    second = (difference**2 + a.variance) * above + b.variance * (1 - above) + difference * theta * phi
    closer = Stats(b.mean + first, jnp.maximum(second - first * first, 0))
    larger = a.mean > b.mean
    return Stats(*(jnp.where(near, x, jnp.where(larger, y, z)) for x, y, z in zip(closer, a, b, strict=True)))


def exceeds(a: Stats, b: Stats) -> jax.Array:
    """The probability that one normal variable is above another, independent one."""
    theta = deviation(a.variance + b.variance)
    random = theta > 0
    probability = ndtr((a.mean - b.mean) / jnp.where(random, theta, 1))
    return jnp.where(random, probability, (a.mean > b.mean).astype(probability.dtype))


def log_add_exp(a: Stats, b: Stats) -> Stats:
    """Mean and variance of `log(exp(a) + exp(b))` for independent normal variables, by quadrature over `b - a`."""
    variance = a.variance + b.variance
    sigma = deviation(variance)
    share = a.variance / jnp.where(variance > 0, variance, 1)

    def given(t: jax.Array) -> jax.Array:
        return a.mean - share * sigma * t + jax.nn.softplus(b.mean - a.mean + sigma * t)

    mean, explained = of_function(given, jnp.zeros_like(sigma), (), None)
    return Stats(mean, explained + share * b.variance)


def softmax(x: Stats, axis: int, function: Callable[[jax.Array], jax.Array] = jax.nn.sigmoid) -> Stats:
    r"""Mean and variance of a softmax of independent normal logits, approximately.

    Each output is :math:`\sigma(x_k - L_k)` with :math:`L_k = \log \sum_{j \ne k} e^{x_j}`. The moments of `L_k`, which
    is independent of `x_k`, come from adding one term after another, each sum taken for normal.

    Args:
      x: Logits.
      axis: Along which the outputs sum to one.
      function: The logistic function, or its logarithm for log-softmax.
    """
    # exp(-60) counts for nothing, and 60 + softplus(-60) is still exact to float32's last digits.
    mean = jnp.maximum(x.mean - jnp.max(x.mean, axis, keepdims=True), -60)
    terms = Stats(mean, x.variance)
    nothing = Stats(jnp.full_like(mean, -60), jnp.zeros_like(mean))

    def before(terms: Stats, reverse: bool) -> Stats:
        """Sums of all terms on one side of each."""
        sums = lax.associative_scan(log_add_exp, terms, reverse=reverse, axis=axis)
        size = mean.shape[axis]
        first, rest = (slice(0, 1), slice(0, size - 1)) if not reverse else (slice(1, size), slice(0, 1))
        parts = (nothing, sums) if not reverse else (sums, nothing)
        index = (slice(None),) * (axis % mean.ndim)
        cut = [jax.tree.map(lambda y, s=s: y[(*index, s)], p) for p, s in zip(parts, (first, rest), strict=True)]
        return jax.tree.map(lambda y, z: jnp.concatenate([y, z], axis), *cut)

    others = log_add_exp(before(terms, False), before(terms, True))
    sigma = deviation(terms.variance + others.variance)
    return of_function(lambda t: function(mean - others.mean + sigma * t), jnp.zeros_like(mean), (), None)
