"""Stochastic depth: dropping a residual branch."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxdrop import _checks
from jaxdrop.functional.dropout import dropout


def stochastic_depth(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    mode: Literal["row", "batch"] = "row",
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes the output of a residual branch as a whole with probability `rate`, and rescales it otherwise.

    .. math:: y_n = m_n x_n / (1 - p), \quad m_n \sim \mathrm{Bernoulli}(1 - p)

    with one :math:`m_n` for each example ('row') or one for the batch ('batch'). Apply it to the branch before it is
    added: `shortcut + stochastic_depth(key, branch, rate)`. Also known as DropPath, and in EfficientNet code as
    "drop_connect", though it is not DropConnect.

    Huang et al. drop the branch for the whole batch, do not rescale in training and multiply by :math:`1 - p` at
    prediction time; rescaled, the two are the same up to the scale of the branch's last kernel, and prediction is the
    identity. Their rates grow with depth: `schedules.linear_depth`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point or complex array, (batch, ...).
      rate: Probability :math:`p` of dropping; a number in [0, 1], or an array that broadcasts against `x` and is
        constant along the axes that share a decision. No gradient flows into it.
      mode: 'row' decides for each entry of the first axis, 'batch' once for all.
      bits: Random bits for a decision, as in `dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `mode` is neither, `x` is a scalar, or for the conditions of `dropout`.
      TypeError: For the conditions of `dropout`.

    Examples:
      >>> branch = jnp.ones((1000, 4))
      >>> y = jaxdrop.stochastic_depth(jax.random.key(0), branch, 0.5)
      >>> bool(jnp.all((y == 0).all(1) | (y == 2).all(1)))
      True

    References:
      Huang et al., `Deep networks with stochastic depth <https://arxiv.org/abs/1603.09382>`_, 2016
    """
    x = jnp.asarray(x)
    _checks.one_of("mode", mode, ("row", "batch"))
    _checks.at_least("x.ndim", x.ndim, 1)
    return dropout(key, x, rate, broadcast_dims=range(1 if mode == "row" else 0, x.ndim), bits=bits)
