r"""The standard normal distribution truncated to an interval, stable where nearly nothing of it is left.

The interval is :math:`(\alpha, \beta)` with :math:`\alpha \le 0`. Far in the lower tail its mass is
:math:`\tfrac12 e^{-\beta^2/2} D` with :math:`D = \mathrm{erfcx}(x) - e^{x^2 - y^2}\,\mathrm{erfcx}(y)`,
:math:`x = -\beta/\sqrt2`, :math:`y = -\alpha/\sqrt2`, and :math:`D` is computed without that factor, which underflows.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

TAIL = -3.0  # below, the continued fraction is better than 1e-7
_ROOT_PI = math.sqrt(math.pi)
_LARGEST_BELOW_ONE = 1 - 2**-24


def log_mass(alpha: jax.Array, beta: jax.Array) -> jax.Array:
    r"""Returns the logarithm of the mass and, where `beta` is below `TAIL`, adds :math:`\beta^2/2` to it."""
    tail = beta < TAIL
    _, _, _, _, scaled = _in_tail(alpha, beta, tail)
    return jnp.where(tail, jnp.log(scaled / 2), jnp.log(_mass(alpha, beta, tail)))


def entropy_term(alpha: jax.Array, beta: jax.Array) -> jax.Array:
    r"""Returns :math:`-\log Z + (\beta\varphi(\beta) - \alpha\varphi(\alpha)) / 2Z`, in which squares cancel."""
    tail = beta < TAIL
    x, y, tail_of_x, decay, scaled = _in_tail(alpha, beta, tail)
    # 1 - sqrt(pi) x erfcx(x), without the cancellation.
    complement = tail_of_x / (x + tail_of_x)
    missing = complement + _ROOT_PI * x * decay * _erfcx(y)
    in_tail = (y * decay - x * missing) / (_ROOT_PI * scaled) - jnp.log(scaled / 2)
    a, b = jnp.where(tail, -1, alpha), jnp.where(tail, 1, beta)
    mass = _mass(alpha, beta, tail)
    return jnp.where(tail, in_tail, (b * _density(b) - a * _density(a)) / (2 * mass) - jnp.log(mass))


@jax.custom_jvp
def below_end(uniform: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
    r"""Returns how far below :math:`\beta` a sample is, given a sample of the uniform distribution on (0, 1).

    The ends may have fewer entries, which are shared. The uniform sample gets no gradient.
    """
    tail = beta < TAIL
    x, y, _, decay, scaled = _in_tail(alpha, beta, tail)
    # The equation for the distance d: its left side is energy(d), nearly linear.
    start = math.sqrt(2) * x
    target = jnp.log(_erfcx(x)) - jnp.log(uniform * scaled + decay * _erfcx(y))
    distance = 2 * target / (jnp.sqrt(jnp.square(start) + 2 * target) + start)
    for _ in range(2):
        there = _erfcx(x + distance / math.sqrt(2))
        energy = distance * (2 * start + distance) / 2 + jnp.log(_erfcx(x)) - jnp.log(there)
        distance -= (energy - target) * there * (_ROOT_PI / math.sqrt(2))
    a, b = jnp.where(tail, -1, alpha), jnp.where(tail, 1, beta)
    probability = ndtr(a) + uniform * (ndtr(b) - ndtr(a))
    return jnp.where(tail, distance, b - ndtri(jnp.minimum(probability, _LARGEST_BELOW_ONE)))


@below_end.defjvp
def _below_end_jvp(primals, tangents) -> tuple[jax.Array, jax.Array]:
    # The sample t has Phi(t) = (1 - u) Phi(alpha) + u Phi(beta): far cheaper than through the iterations.
    uniform, alpha, beta = primals
    _, alpha_dot, beta_dot = tangents
    distance = below_end(uniform, alpha, beta)
    sample = beta - distance
    by_beta = 1 - uniform * jnp.exp(distance * (distance - 2 * beta) / 2)
    by_alpha = -(1 - uniform) * jnp.exp((sample - alpha) * (sample + alpha) / 2)
    return distance, by_alpha * alpha_dot + by_beta * beta_dot


def _in_tail(alpha, beta, tail) -> tuple[jax.Array, ...]:
    """Returns x, y, K(x), exp(x^2 - y^2) and D, and harmless numbers where `beta` is not in the tail."""
    x, y = jnp.where(tail, -beta, 4) / math.sqrt(2), jnp.where(tail, -alpha, 8) / math.sqrt(2)
    decay = jnp.exp(-(y - x) * (y + x))
    return x, y, _continued_fraction(x), decay, _erfcx(x) - decay * _erfcx(y)


def _mass(alpha, beta, tail) -> jax.Array:
    return ndtr(jnp.where(tail, 1, beta)) - ndtr(jnp.where(tail, -1, alpha))


def _density(t: jax.Array) -> jax.Array:
    return jnp.exp(-jnp.square(t) / 2) / math.sqrt(2 * math.pi)


def _erfcx(x: jax.Array) -> jax.Array:
    return 1 / (_ROOT_PI * (x + _continued_fraction(x)))


def _continued_fraction(x: jax.Array) -> jax.Array:
    r"""Returns Laplace's :math:`K(x) = \frac{1/2}{x+}\frac{1}{x+}\frac{3/2}{x+}\cdots`.

    It is :math:`1/(\sqrt\pi\,\mathrm{erfcx}(x)) - x`.
    """
    value = x
    for half in range(8, 1, -1):
        value = x + half / 2 / value
    return 1 / (2 * value)
