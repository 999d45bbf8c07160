"""Structured Bayesian pruning: factors of whole units with a log-normal posterior, zeroed where they are noisy."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _bits, _checks, _masks
from jaxdrop.variational import _truncated_normal

# The authors' truncation of log(theta), and their bounds on the parameters.
LOG_RANGE = (-20.0, 0.0)
MU_RANGE = (-20.0, 5.0)
LOG_SIGMA_RANGE = (-20.0, 5.0)


class LogNormalFactors(NamedTuple):
    r"""Factors in (0, 1) of units: :math:`\log\theta \sim N(\mu, \sigma^2)`, truncated to [-20, 0].

    Attributes:
      mu: Means before truncation, of any shape; clipped to [-20, 5].
      log_sigma: Logarithms of the standard deviations before truncation, of the same shape; clipped to [-20, 5].

    References:
      Neklyudov et al., `Structured Bayesian pruning via log-normal multiplicative noise
      <https://arxiv.org/abs/1705.07283>`_, 2017
    """

    mu: jax.Array
    log_sigma: jax.Array

    @property
    def mean(self) -> jax.Array:
        r""":math:`E[\theta]`."""
        return jnp.exp(self._log_moment(1))

    @property
    def signal_to_noise(self) -> jax.Array:
        r""":math:`E[\theta] / \sqrt{\mathrm{Var}[\theta]}`."""
        relative_variance = jnp.expm1(self._log_moment(2) - 2 * self._log_moment(1))
        # Rounding may leave less than there is.
        return jax.lax.rsqrt(jnp.maximum(relative_variance, jnp.finfo(relative_variance.dtype).tiny))

    def _log_moment(self, order: int) -> jax.Array:
        r""":math:`\log E[\theta^k]`."""
        mu, sigma, alpha, beta = standardized(self)
        shifted = beta - order * sigma
        # log_mass leaves the squares in the tail out, which cancel here.
        squares = jnp.where(
            shifted < _truncated_normal.TAIL,
            order * LOG_RANGE[1] - jnp.where(beta < _truncated_normal.TAIL, 0, jnp.square(beta) / 2),
            order * mu + jnp.square(order * sigma) / 2,
        )
        mass = _truncated_normal.log_mass
        return squares + mass(alpha - order * sigma, shifted) - mass(alpha, beta)


def standardized(factors: LogNormalFactors) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns mu and sigma, clipped, and the ends of the interval in units of sigma from mu; in float32 at least."""
    dtype = _masks.wide(factors.mu.dtype)
    mu = jnp.clip(factors.mu.astype(dtype), *MU_RANGE)
    sigma = jnp.exp(jnp.clip(factors.log_sigma.astype(dtype), *LOG_SIGMA_RANGE))
    return mu, sigma, (LOG_RANGE[0] - mu) / sigma, (LOG_RANGE[1] - mu) / sigma


def log_normal_factors(
    shape: int | Sequence[int],
    mu: float = 0.0,
    log_sigma: float = -5.0,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> LogNormalFactors:
    """Factors to begin with, the same for all units.

    Args:
      shape: Of the factors; (features,) for one of each unit or channel.
      mu: The authors' code starts at 0.
      log_sigma: The authors' code starts at -5: hardly any noise.
      dtype: Of the parameters.

    Raises:
      ValueError: If `mu` or `log_sigma` is not finite.

    Examples:
      >>> factors = jaxdrop.variational.log_normal_factors(300)
      >>> factors.mean.shape, bool(jnp.all(factors.mean > 0.99))
      ((300,), True)
    """
    _checks.finite("mu", mu)
    _checks.finite("log_sigma", log_sigma)
    return LogNormalFactors(jnp.full(shape, mu, dtype), jnp.full(shape, log_sigma, dtype))


def kl_log_normal(factors: LogNormalFactors) -> jax.Array:
    r"""The divergence of each factor from a log-uniform prior on the same interval, in nats.

    .. math:: \log(b - a) - \log\sigma - \log Z - \tfrac12\log(2\pi e)
        - \frac{\alpha\varphi(\alpha) - \beta\varphi(\beta)}{2Z}

    with :math:`\alpha = (a - \mu)/\sigma`, :math:`\beta = (b - \mu)/\sigma` and :math:`Z = \Phi(\beta) - \Phi(\alpha)`.
    The prior is proper. Where :math:`\mu` is far above 0, Z underflows: there it is computed by scaled complementary
    error functions.

    Args:
      factors: Parameters of the posterior.

    Returns:
      An array of their shape, in float32 at least.

    Examples:
      >>> kl = jaxdrop.variational.kl_log_normal(jaxdrop.variational.log_normal_factors((), mu=-1.0, log_sigma=0.0))
      >>> round(float(kl), 5)
      1.89335

    References:
      Neklyudov et al., `Structured Bayesian pruning via log-normal multiplicative noise
      <https://arxiv.org/abs/1705.07283>`_, 2017, equation 13
    """
    _, sigma, alpha, beta = standardized(factors)
    constant = math.log(LOG_RANGE[1] - LOG_RANGE[0]) - (math.log(2 * math.pi) + 1) / 2
    return constant - jnp.log(sigma) + _truncated_normal.entropy_term(alpha, beta)


def log_normal_noise(
    key: jax.Array | None, x: jax.typing.ArrayLike, factors: LogNormalFactors, *, broadcast_dims: Sequence[int] = ()
) -> jax.Array:
    r"""Multiplies by noise that prefers to be zero.

    .. math:: y_i = x_i \theta_i, \quad \log\theta_i \sim N(\mu, \sigma^2) \text{ truncated to } [-20, 0]

    Gradients flow into the parameters of the noise.

    Args:
      key: PRNG key; consumed.
      x: Real floating-point array.
      factors: Parameters, of shapes that broadcast against `x`.
      broadcast_dims: Axes along which all entries share one factor: the spatial axes, for noise on channels.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If the factors do not broadcast against `x`, or an axis does not exist.
      TypeError: If `x` is not real floating point, or `key` is not one key.

    Examples:
      >>> factors = jaxdrop.variational.log_normal_factors(8)
      >>> x = jnp.ones((2, 5, 5, 8))
      >>> y = jaxdrop.variational.log_normal_noise(jax.random.key(0), x, factors, broadcast_dims=(1, 2))
      >>> bool(jnp.all(y == y[:, :1, :1]))
      True

    References:
      Neklyudov et al., `Structured Bayesian pruning via log-normal multiplicative noise
      <https://arxiv.org/abs/1705.07283>`_, 2017
    """
    x = _checks.real("x", x)
    shared = _checks.axes("broadcast_dims", broadcast_dims, x.ndim)
    shape = _checks.rate_shape("factors", factors.mu.shape, x.shape, shared)
    factors = LogNormalFactors(factors.mu.reshape(shape), factors.log_sigma.reshape(shape))
    drawn = _masks.decided_shape(x.shape, shared)
    return _multiply(_checks.prng_key("key", key), x, factors, drawn)


def log_normal_expectation(
    x: jax.typing.ArrayLike, factors: LogNormalFactors, threshold: float | None = 1.0
) -> jax.Array:
    r"""Multiplies by the means of the factors, and by exact zeros where noise is more than signal.

    Args:
      x: Real floating-point array.
      factors: Parameters, of shapes that broadcast against `x`.
      threshold: Factors with :math:`E[\theta] / \sqrt{\mathrm{Var}[\theta]}` below it count as 0; None keeps all.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If the factors do not broadcast against `x`.
      TypeError: If `x` is not real floating point.

    Examples:
      >>> factors = jaxdrop.variational.LogNormalFactors(jnp.array([0.0, -4.0]), jnp.array([-5.0, 2.0]))
      >>> y = jaxdrop.variational.log_normal_expectation(jnp.ones(2), factors)
      >>> [round(float(value), 2) for value in y]
      [0.99, 0.0]
    """
    x = _checks.real("x", x)
    shape = _checks.rate_shape("factors", factors.mu.shape, x.shape, ())
    return x * kept_factors(factors, threshold).reshape(shape).astype(x.dtype)


def kept_factors(factors: LogNormalFactors, threshold: float | None = 1.0) -> jax.Array:
    """The means of the factors, but exact zeros where their signal-to-noise ratio is below the threshold.

    Args:
      factors: Parameters.
      threshold: As in `log_normal_expectation`.

    Examples:
      >>> jaxdrop.variational.kept_factors(jaxdrop.variational.log_normal_factors(2, mu=-4.0, log_sigma=2.0))
      Array([0., 0.], dtype=float32)
    """
    if threshold is None:
        return factors.mean
    return jnp.where(factors.signal_to_noise < threshold, 0, factors.mean)


def _draw(key: jax.Array, x: jax.Array, factors: LogNormalFactors, shape: tuple[int, ...]) -> jax.Array:
    mu, sigma, alpha, beta = standardized(factors)
    uniform = _bits.uniform(key, shape).astype(mu.dtype)
    below = sigma * _truncated_normal.below_end(uniform, alpha, beta)
    # Gradients of a bound that rounding touches would be lost: no clipping.
    return x * jnp.exp(LOG_RANGE[1] - below).astype(x.dtype)


def _multiply(key: jax.Array, x: jax.Array, factors: LogNormalFactors, shape: tuple[int, ...]) -> jax.Array:
    return _masks.redraw(lambda key, x, factors: _draw(key, x, factors, shape))(key, x, factors)
