"""Locked dropout: one mask for all steps of a sequence."""

import jax

from jaxdrop import _checks
from jaxdrop.functional.dropout import dropout


def locked_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    time_axis: int = -2,
    bits: int | None = None,
) -> jax.Array:
    r"""Zeroes each feature of each sequence, at all of its steps, with probability `rate` and rescales the rest.

    .. math:: y_{ntc} = m_{nc} x_{ntc} / (1 - p), \quad m_{nc} \sim \mathrm{Bernoulli}(1 - p)

    for example n, step t and feature c, so that :math:`E[y] = x`. It is what Gal and Ghahramani's variational dropout
    does to the inputs and outputs of a recurrent layer, and goes by this name in AWD-LSTM.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      x: Floating-point or complex array with an axis of steps, (\*batch, time, features) by default.
      rate: Probability :math:`p` of dropping a feature; a number in [0, 1], or an array, traced or not, that broadcasts
        against `x` and is constant along the steps. No gradient flows into it.
      time_axis: The axis of the steps.
      bits: Random bits that decide a feature; as in `jaxdrop.dropout`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `x` has no such axis, or for the conditions of `jaxdrop.dropout`.
      TypeError: If `x` is not floating point, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.locked_dropout(jax.random.key(0), jnp.ones((2, 7, 5)), 0.5)
      >>> bool(jnp.all(y == y[:, :1]))
      True

    References:
      Gal and Ghahramani, `A theoretically grounded application of dropout in recurrent neural networks
      <https://arxiv.org/abs/1512.05287>`_, 2016;
      Merity et al., `Regularizing and optimizing LSTM language models <https://arxiv.org/abs/1708.02182>`_, 2017
    """
    x = _checks.inexact("x", x)
    return dropout(key, x, rate, broadcast_dims=_checks.axes("time_axis", (time_axis,), x.ndim), bits=bits)
