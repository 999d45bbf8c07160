"""Spatial dropout: whole channels."""

import jax

from jaxdrop import _checks
from jaxdrop.functional.dropout import dropout


def spatial_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    num_spatial_dims: int | None = None,
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes each channel of each example with probability `rate` and rescales the rest.

    .. math:: y_{nsc} = m_{nc} x_{nsc} / (1 - p), \quad m_{nc} \sim \mathrm{Bernoulli}(1 - p)

    for example n, position s and channel c, so that :math:`E[y] = x`. Neighbouring positions of a feature map are
    correlated: to drop them one by one hardly removes information.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point array (\*batch, \*spatial, channels).
      rate: Probability :math:`p` of dropping a channel; a number in [0, 1], or an array, traced or not, that broadcasts
        against `x` and is constant along its spatial axes. No gradient flows into it.
      num_spatial_dims: How many axes before the last are spatial; None for all but the first.
      bits: Random bits that decide a channel; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `num_spatial_dims` does not fit `x`, or for the conditions of `jaxdrop.dropout`.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.spatial_dropout(jax.random.key(0), jnp.ones((2, 8, 8, 3)), 0.5)
      >>> bool(jnp.all(y == y[:, :1, :1]))
      True

    References:
      Tompson et al., `Efficient object localization using convolutional networks <https://arxiv.org/abs/1411.4280>`_,
      2015
    """
    x = _checks.inexact("x", x)
    return dropout(key, x, rate, broadcast_dims=_checks.spatial_axes(num_spatial_dims, x.ndim), bits=bits)
