"""Alpha dropout: dropout for self-normalising networks."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks

# -lambda * alpha of SELU: what it tends to for inputs towards minus infinity.
_SATURATED = -1.0507009873554805 * 1.6732632423543778


def alpha_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dims: Sequence[int] = (),
    bits: int | None = None,
    mean: float = 0.0,
    variance: float = 1.0,
) -> jax.Array:
    r"""Sets each entry of `x` with probability `rate` to where SELU saturates, and restores mean and variance.

    .. math:: y_i = a (m_i x_i + (1 - m_i) \alpha') + b, \quad m_i \sim \mathrm{Bernoulli}(q), \quad q = 1 - p

    with :math:`\alpha' = -\lambda \alpha \approx -1.7581` and

    .. math:: a = \sqrt{\frac{\nu}{q (\nu + (1 - q) (\alpha' - \mu)^2)}}, \quad b = \mu - a (q \mu + (1 - q) \alpha')

    so that entries with mean :math:`\mu` and variance :math:`\nu` keep both, over the noise and the inputs together;
    for a given `x` the mean is not `x`. Towards rate 1, a and b grow without bound, but a dropped entry, which is
    :math:`a \alpha' + b`, tends to :math:`\mu`; at 1 itself everything is :math:`\mu`. Without noise the layer is the
    identity.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Real floating-point array of any shape.
      rate: Probability :math:`p` of dropping an entry; a number in [0, 1], or an array, traced or not, that broadcasts
        against `x`. No gradient flows into it.
      broadcast_dims: Axes along which all entries share one mask value; `rate` must be constant along them.
      bits: Random bits that decide an entry; as in `jaxdrop.dropout`. The :math:`q` of the formulas is the rounded one.
      mean: The :math:`\mu` that is kept.
      variance: The :math:`\nu` that is kept; positive.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate does not broadcast against `x` or varies
        along `broadcast_dims`, an axis is out of range, `bits` is not allowed or rounds a static rate to 0 or 1, or
        `variance` is not positive.
      TypeError: If `x` is not real floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> x = jax.random.normal(jax.random.key(0), (100_000,))
      >>> y = jaxdrop.alpha_dropout(jax.random.key(1), x, 0.1)
      >>> bool(jnp.abs(y.mean()) < 0.02), bool(jnp.abs(y.var() - 1) < 0.02)
      (True, True)

    References:
      Klambauer et al., `Self-normalizing neural networks <https://arxiv.org/abs/1706.02515>`_, 2017
    """
    x, static_rate, shared, bits = _checks.masked(_checks.real("x", x), rate, broadcast_dims, bits)
    _checks.positive("variance", variance)
    if static_rate == 0:
        return x
    if static_rate == 1:
        return jnp.full_like(x, mean)
    key = _checks.prng_key("key", key)
    return _alpha_dropout(key, x, jnp.asarray(rate, jnp.float32), shared, bits, float(mean), float(variance))


def feature_alpha_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    num_spatial_dims: int | None = None,
    bits: int | None = None,
    mean: float = 0.0,
    variance: float = 1.0,
) -> jax.Array:
    r"""Applies `alpha_dropout` to whole channels: one decision for each channel of each example.

    It is `alpha_dropout` with the spatial axes as `broadcast_dims`: give those where the channels are not last.

    Args:
      key: As in `alpha_dropout`.
      x: Real floating-point array (\*batch, \*spatial, channels).
      rate: Probability of dropping a channel; constant along the spatial axes, and otherwise as in `alpha_dropout`.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      bits: As in `alpha_dropout`.
      mean: As in `alpha_dropout`.
      variance: As in `alpha_dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `num_spatial_dims` does not fit `x`, or for the conditions of `alpha_dropout`.
      TypeError: For the conditions of `alpha_dropout`.

    Examples:
      >>> y = jaxdrop.feature_alpha_dropout(jax.random.key(0), jnp.ones((2, 8, 8, 3)), 0.5)
      >>> bool(jnp.all(y == y[:, :1, :1]))
      True

    References:
      Klambauer et al., `Self-normalizing neural networks <https://arxiv.org/abs/1706.02515>`_, 2017
    """
    x = _checks.real("x", x)
    spatial = _checks.spatial_axes(num_spatial_dims, x.ndim)
    return alpha_dropout(key, x, rate, broadcast_dims=spatial, bits=bits, mean=mean, variance=variance)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _alpha_dropout(
    key: jax.Array, x: jax.Array, rate: jax.Array, shared: tuple[int, ...], bits: int, mean: float, variance: float
) -> jax.Array:
    @_masks.redraw
    def draw(key: jax.Array, x: jax.Array, rate: jax.Array) -> jax.Array:
        mask, keep32 = _masks.keep_mask(key, x.shape, rate, bits=bits, shared=shared)
        dtype = _masks.wide(x.dtype)
        keep = keep32.astype(dtype)
        shrinkage = jnp.sqrt(variance / (variance + (1 - keep) * (_SATURATED - mean) ** 2))
        scale = shrinkage * jnp.sqrt(_masks.inverse_keep(keep32, dtype))
        kept = scale * x.astype(dtype) + (mean - scale * (keep * mean + (1 - keep) * _SATURATED))
        # scale * _SATURATED + shift, but finite where nothing is kept and the scale would be infinite.
        dropped = mean + shrinkage * jnp.sqrt(keep) * (_SATURATED - mean)
        return jnp.where(mask, kept, dropped).astype(x.dtype)

    return draw(key, x, rate)
