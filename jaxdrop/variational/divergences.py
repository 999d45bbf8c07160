r"""Kullback-Leibler divergences of noisy weights from their priors, in nats, as functions of :math:`\log\alpha`.

A weight has the posterior :math:`N(\theta, \alpha\theta^2)`; what its prior is decides the divergence. Each of these
functions is elementwise, decreases in :math:`\log\alpha`, and may be given wherever an argument is called `kl`. Sum
them over all weights, not over all rates: a rate that several weights share counts as many times.
"""

import math
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _checks, _masks


class Divergence(Protocol):
    """A divergence of each weight, elementwise in log alpha."""

    def __call__(self, log_alpha: jax.Array) -> jax.Array: ...


def kl_log_uniform(log_alpha: jax.typing.ArrayLike) -> jax.Array:
    r"""The divergence from the log-uniform prior by the three-constant approximation of Molchanov et al.

    .. math:: k_1 \sigma(-k_2 - k_3 \log\alpha) + \tfrac12 \log(1 + \alpha^{-1})

    with :math:`k = (0.63576, 1.87320, 1.48695)`. The improper prior leaves it undefined up to a constant, which is
    chosen so that it vanishes as :math:`\alpha` grows. It is within 0.0094 of `kl_log_uniform_exact` everywhere in
    [-8, 8].

    Args:
      log_alpha: Floating-point array.

    Returns:
      An array of its shape, in float32, or float64 for such.

    Raises:
      TypeError: If `log_alpha` is not real floating point.

    Examples:
      >>> kl = jaxdrop.variational.kl_log_uniform(jnp.array([-4.0, 0.0, 4.0]))
      >>> [round(float(value), 3) for value in kl]
      [2.634, 0.431, 0.009]

    References:
      Molchanov et al., `Variational dropout sparsifies deep neural networks <https://arxiv.org/abs/1701.05369>`_, 2017,
      equation 14; the constants are those of the authors' code
    """
    log_alpha = _wide(log_alpha)
    return 0.63576 * jax.nn.sigmoid(-1.87320 - 1.48695 * log_alpha) + jax.nn.softplus(-log_alpha) / 2


def kl_log_uniform_exact(log_alpha: jax.typing.ArrayLike) -> jax.Array:
    r"""The divergence from the log-uniform prior.

    .. math:: 2 \int_0^{\sqrt u} D(t)\,dt, \quad u = \frac{1}{2\alpha}, \qquad
      \frac{d\,\mathrm{KL}}{d\log\alpha} = -\sqrt u\, D(\sqrt u)

    where D is Dawson's function (Hron et al. 2018). The value comes from its power series, from Rybicki's sum, or from
    its asymptotic series, whichever suits :math:`u`, and the derivatives from theirs. The error is below 1e-6 for all
    :math:`\log\alpha` in [-8, 8].

    Args:
      log_alpha: Floating-point array.

    Returns:
      An array of its shape, in float32, or float64 for such.

    Raises:
      TypeError: If `log_alpha` is not real floating point.

    Examples:
      >>> kl = jaxdrop.variational.kl_log_uniform_exact(jnp.array([-4.0, 0.0, 4.0]))
      >>> [round(float(value), 3) for value in kl]
      [2.626, 0.427, 0.009]

    References:
      Hron et al., `Variational Bayesian dropout: pitfalls and fixes <https://arxiv.org/abs/1807.01969>`_, 2018
    """
    log_alpha = _wide(log_alpha)
    # exp(-log_alpha) overflows below -88, where the asymptotic series has long been log(u) / 2 and a constant.
    u = jnp.exp(-jnp.maximum(log_alpha, -80)) / 2
    small, large = u < 1, u > 16
    middle = ~(small | large)
    # Where a branch is not taken it gets an argument at which it and its derivative are harmless.
    by_series = _power_series(jnp.where(small, u, 0.5))
    by_sum = _rybicki_sum(jnp.sqrt(jnp.where(middle, u, 4.0)))
    by_asymptotics = _asymptotic_series(jnp.where(large, u, 32.0), jnp.where(large, -log_alpha - math.log(2), 1.0))
    return jnp.where(small, by_series, jnp.where(large, by_asymptotics, by_sum))


def _power_series(u: jax.Array) -> jax.Array:
    r""":math:`\sum_k (-2)^k u^{k+1} / ((2k+1)!!\,(k+1))`, for :math:`u \le 1`."""
    coefficients, double_factorial = [], 1.0
    for k in range(12):
        double_factorial *= 2 * k + 1
        coefficients.append((-2.0) ** k / (double_factorial * (k + 1)))
    return u * jnp.polyval(jnp.asarray(coefficients[::-1], u.dtype), u)


def _rybicki_sum(t: jax.Array, h: float = 0.35) -> jax.Array:
    r"""The integral of Rybicki's :math:`D(t) = \pi^{-1/2} \sum_n e^{-(t-nh)^2}/n`, n odd, for :math:`t \le 4`.

    Its error is about :math:`e^{-(\pi/2h)^2}`, 2e-9.
    """
    total = jnp.zeros_like(t)
    for n in range(1, math.ceil(8 / h), 2):
        total += (jax.lax.erf(t - n * h) - jax.lax.erf(t + n * h) + 2 * math.erf(n * h)) / n
    return total


def _asymptotic_series(u: jax.Array, log_u: jax.Array) -> jax.Array:
    r""":math:`(\log 4u + \gamma)/2 - \sum_k (2k-1)!!/(2^{k+1} k)\,u^{-k}`, for :math:`u \ge 16`."""
    coefficients, double_factorial = [0.0], 1.0
    for k in range(1, 9):
        double_factorial *= 2 * k - 1
        coefficients.append(double_factorial / (2 ** (k + 1) * k))
    return (log_u + math.log(4) + np.euler_gamma) / 2 - jnp.polyval(jnp.asarray(coefficients[::-1], u.dtype), 1 / u)


def kl_ard(log_alpha: jax.typing.ArrayLike) -> jax.Array:
    r"""The divergence from a normal prior with the best variance for each weight: automatic relevance determination.

    .. math:: \tfrac12 \log(1 + \alpha^{-1})

    which is what :math:`N(0, \theta^2 + \sigma^2)` gives. The prior is proper, so that a posterior exists.

    Args:
      log_alpha: Floating-point array.

    Returns:
      An array of its shape, in float32, or float64 for such.

    Raises:
      TypeError: If `log_alpha` is not real floating point.

    Examples:
      >>> kl = jaxdrop.variational.kl_ard(jnp.array([-4.0, 0.0, 4.0]))
      >>> [round(float(value), 3) for value in kl]
      [2.009, 0.347, 0.009]

    References:
      Kharitonov et al., `Variational dropout via empirical Bayes <https://arxiv.org/abs/1811.00596>`_, 2018
    """
    return jax.nn.softplus(-_wide(log_alpha)) / 2


def kl_kingma(log_alpha: jax.typing.ArrayLike) -> jax.Array:
    r"""The divergence from the log-uniform prior by the cubic approximation of Kingma et al., for :math:`\alpha \le 1`.

    .. math:: C - \tfrac12 \log\alpha - c_1\alpha - c_2\alpha^2 - c_3\alpha^3

    with :math:`c = (1.16145124, -1.50204118, 0.58629921)`. The constant :math:`C = (\gamma + \log 2)/2 = 0.63518` is
    that of `kl_log_uniform_exact`. Above :math:`\alpha = 1`, where the cubic is no approximation, this is constant,
    and does not vanish. It is 0.037 too small at 1, and exact towards 0.

    Args:
      log_alpha: Floating-point array.

    Returns:
      An array of its shape, in float32, or float64 for such.

    Raises:
      TypeError: If `log_alpha` is not real floating point.

    Examples:
      >>> kl = jaxdrop.variational.kl_kingma(jnp.array([-4.0, 0.0, 4.0]))
      >>> [round(float(value), 3) for value in kl]
      [2.614, 0.389, 0.389]

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, appendix C
    """
    log_alpha = jnp.minimum(_wide(log_alpha), 0)
    alpha = jnp.exp(log_alpha)
    cubic = alpha * (1.16145124 + alpha * (-1.50204118 + alpha * 0.58629921))
    return (np.euler_gamma + math.log(2)) / 2 - log_alpha / 2 - cubic


def _wide(log_alpha: jax.typing.ArrayLike) -> jax.Array:
    array = _checks.real("log_alpha", log_alpha)
    return array.astype(_masks.wide(array.dtype))
