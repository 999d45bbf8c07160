r"""Concrete dropout: a rate of dropping that is learned, by masks relaxed from {0, 1} to the interval between.

**Where the two terms of its regulariser come from.** Let a layer have the kernel :math:`M \in R^{K \times D}` and let
:math:`z_k = 0` with probability p and 1 else, for each of its K inputs. Dropout samples the weights
:math:`\mathrm{diag}(z) M`: an approximate posterior, whose divergence from the prior :math:`N(0, l^{-2})` of each
weight is up to constants (Gal & Ghahramani 2016; it takes a spike at 0 for a narrow normal distribution)

.. math:: \mathrm{KL} = \frac{l^2 (1 - p)}{2} \lVert M \rVert^2 - K H(p), \qquad
   H(p) = -p \log p - (1 - p) \log(1 - p)

A kept row lies at :math:`M_k` and costs :math:`l^2\lVert M_k\rVert^2/2`, a dropped one lies at 0 and costs nothing,
hence the expectation :math:`1 - p`, which is the paper's equation 3. The entropy of K independent coins is the rest.

Code scales what survives: it computes :math:`(x z / (1 - p)) W`, so that the posterior's rows are
:math:`M = W / (1 - p)`, and in the kernel W that it stores the first term reads

.. math:: \frac{l^2 (1 - p)}{2} \Bigl\lVert \frac{W}{1 - p} \Bigr\rVert^2 = \frac{l^2 \lVert W \rVert^2}{2 (1 - p)}

which is what the authors' code has. The two are the same; to use the one with the other's weights is a mistake. So is
K from a spatial axis, a sum over biases (they have no noise and a flat prior here), and a divergence that is not
divided by the number N of training examples when the likelihood is a mean.

The bound is :math:`\sum_n \log p(y_n \mid x_n) - \mathrm{KL}`; with `elbo` there is nothing else to know. Where a loss
is a mean squared error or a mean cross-entropy instead, `regularizer` gives what to add to it: a Gaussian likelihood of
precision :math:`\tau` is :math:`-\tfrac\tau2 (y - f)^2`, so that the squared error goes with
:math:`\tfrac{2}{N\tau}\mathrm{KL}`, that is :math:`\tfrac{l^2}{N\tau}` for weights and :math:`\tfrac{2}{N\tau}` for the
entropy, as in the paper's code; the cross-entropy is a log-likelihood already and goes with
:math:`\tfrac1N \mathrm{KL}`.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxdrop import _bits, _checks, _masks


def concrete_dropout(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    logit_rate: jax.typing.ArrayLike,
    *,
    temperature: float = 0.1,
    broadcast_dims: Sequence[int] = (),
) -> jax.Array:
    r"""Drops by a relaxed mask, through which gradients flow into the rate.

    .. math:: y_i = x_i \frac{1 - \tilde z_i}{1 - p}, \qquad \tilde z_i = \sigma\Bigl(\frac1t \bigl(
       \log\tfrac{p}{1 - p} + \log\tfrac{u_i}{1 - u_i}\bigr)\Bigr), \quad u_i \sim U(0, 1)

    As the temperature falls this becomes `jaxdrop.dropout`. The mean of a relaxed mask is not quite p: at t = 0.1 and
    p = 0.1 it is 0.101, at t = 2/3 it is 0.145.

    Args:
      key: PRNG key; consumed.
      x: Real floating-point array.
      logit_rate: :math:`\log p - \log(1 - p)`, a real floating-point array that broadcasts against `x`.
      temperature: t, above 0; the authors have 0.1, and 2/3 for channels.
      broadcast_dims: Axes along which all entries share one mask value: the spatial axes, to drop channels.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `logit_rate` does not broadcast against `x`, `temperature` is not positive, or an axis does not
        exist.
      TypeError: If `x` or `logit_rate` is not real floating point, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.variational.concrete_dropout(jax.random.key(0), jnp.ones(10_000), jnp.array(-2.2))
      >>> bool(jnp.abs(jnp.mean(y < 0.5) - 0.1) < 0.01)  # the rate is sigmoid(-2.2) = 0.1
      True

    References:
      Gal, Hron & Kendall, `Concrete dropout <https://arxiv.org/abs/1705.07832>`_, 2017, equation 5
    """
    x = _checks.real("x", x)
    logit_rate = _checks.real("logit_rate", logit_rate)
    _checks.positive("temperature", temperature)
    shared = _checks.axes("broadcast_dims", broadcast_dims, x.ndim)
    shape = _checks.rate_shape("logit_rate", logit_rate.shape, x.shape, shared)
    drawn = _masks.decided_shape(x.shape, shared)

    @_masks.redraw
    def drop(key, x, logit):
        wide = x.astype(_masks.wide(x.dtype))
        logit = logit.astype(wide.dtype)
        uniform = _bits.uniform(key, drawn).astype(wide.dtype)
        noise = jnp.log(uniform) - jnp.log1p(-uniform)
        # 1 / (1 - p) = 1 + exp(logit): finite for all rates below 1, and so is its gradient.
        return (wide * jax.nn.sigmoid(-(logit + noise) / temperature) * (1 + jnp.exp(logit))).astype(x.dtype)

    return drop(_checks.prng_key("key", key), x, logit_rate.reshape(shape))


def logit_rate(rate: float, dtype: jax.typing.DTypeLike = jnp.float32) -> jax.Array:
    r"""The parameter of a rate, to begin with: :math:`\log p - \log(1 - p)`.

    Args:
      rate: Rate of dropping p, in (0, 1).
      dtype: Of the parameter.

    Raises:
      ValueError: If `rate` is not in (0, 1).

    Examples:
      >>> round(float(jaxdrop.variational.logit_rate(0.1)), 3)
      -2.197
    """
    _checks.inside_unit_interval("rate", rate)
    return jnp.asarray(math.log(rate) - math.log1p(-rate), dtype)


def kl_concrete(
    kernel: jax.typing.ArrayLike,
    logit_rate: jax.typing.ArrayLike,
    *,
    length_scale: float,
    input_dim: int | None = None,
) -> jax.Array:
    r"""The divergence of a layer behind dropout from its prior, in nats, up to a constant.

    .. math:: \frac{l^2}{2} \sum_k \frac{\lVert W_k \rVert^2}{1 - p_k} - \sum_k H(p_k)

    The module `jaxdrop.variational.concrete` derives it. It may be negative.

    Args:
      kernel: Real floating-point array (\*window, in, out), of a layer whose inputs are scaled when they survive.
      logit_rate: :math:`\log p - \log(1 - p)`, an array () for one rate of the layer or (in,).
      length_scale: Prior length-scale l: the weights' prior is :math:`N(0, l^{-2})`. Gal's experiments have 0.01.
      input_dim: Number K of inputs that are dropped independently: features, or channels. None for `in`; a convolution
        in groups has as many times more.

    Returns:
      A scalar.

    Raises:
      ValueError: If the kernel has fewer than two axes, `logit_rate` does not fit, `length_scale` is not positive, or
        `input_dim` is below 1.
      TypeError: If `kernel` or `logit_rate` is not real floating point.

    Examples:
      >>> kl = jaxdrop.variational.kl_concrete(jnp.ones((4, 3)), jnp.array(0.0), length_scale=1.0)
      >>> round(float(kl), 3)  # 12 / 2 / 0.5 - 4 log 2
      9.227

    References:
      Gal, Hron & Kendall, `Concrete dropout <https://arxiv.org/abs/1705.07832>`_, 2017, equations 3 and 4
    """
    kernel, logit = _checks.kernel("kernel", kernel), _checks.real("logit_rate", logit_rate)
    _checks.positive("length_scale", length_scale)
    _checks.at_least("input_dim", input_dim, 1)
    dtype = _masks.wide(kernel.dtype)
    squares = jnp.square(kernel.astype(dtype)).sum((*range(kernel.ndim - 2), kernel.ndim - 1))
    logit = logit.astype(dtype).reshape(_checks.rate_shape("logit_rate", logit.shape, squares.shape, ()))
    entropies = jnp.broadcast_to(jax.nn.softplus(logit) - logit * jax.nn.sigmoid(logit), squares.shape)
    inputs = len(squares) if input_dim is None else input_dim
    return length_scale**2 / 2 * jnp.sum(squares * (1 + jnp.exp(logit))) - inputs * entropies.mean()
