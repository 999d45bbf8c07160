"""Predicting with DropConnect layers: Gaussians with the moments of their outputs."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxdrop import _bits, _checks, _masks, _safe
from jaxdrop.functional.drop_connect_conv import Padding, convolve, window_of
from jaxdrop.functional.drop_connect_dense import BITS, affine

INFERENCE = ("mean", "gaussian", "sampled")


class DropConnectMoments(NamedTuple):
    """Mean and variance of each output of a DropConnect layer over its masks."""

    mean: jax.Array
    variance: jax.Array


def drop_connect_dense_moments(
    x: jax.typing.ArrayLike,
    kernel: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    bias: jax.typing.ArrayLike | None = None,
    bits: int | None = None,
) -> DropConnectMoments:
    r"""Returns mean and variance of the outputs of `drop_connect_dense`.

    .. math:: \mu = (1 - p) (W^T x + b), \quad \sigma^2 = p (1 - p) \left((W \circ W)^T (x \circ x) + b \circ b\right)

    The mean is the simplest prediction, exact where what follows is linear. The paper's is `moment_matched_mean`.

    Args:
      x: Floating-point array (\*batch, in).
      kernel: Weights (in, out).
      rate: Probability :math:`p` of dropping a weight; a number in [0, 1], or a scalar array, traced or not. No
        gradient flows into it.
      bias: Array (out,).
      bits: Random bits that decided a weight, as in `drop_connect_dense`: the rate is rounded as there.

    Returns:
      A `DropConnectMoments` of two arrays (\*batch, out) of the dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not a scalar, shapes do not fit, or `bits`
        is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x`, `kernel` or `bias` is not real floating point, or `rate` is neither a number nor an array.

    Examples:
      >>> jaxdrop.drop_connect_dense_moments(jnp.ones((1, 4)), jnp.ones((4, 1)), 0.25)
      DropConnectMoments(mean=Array([[3.]], dtype=float32), variance=Array([[0.75]], dtype=float32))

    References:
      Wan et al., `Regularization of neural networks using DropConnect
      <https://proceedings.mlr.press/v28/wan13.html>`_, 2013
    """
    x = _checks.real("x", x)
    kernel, bias = _checks.weights(kernel, bias, x, ranks=(2,))
    return _moments(affine, x, kernel, bias, _keep(rate, bits))


def drop_connect_conv_moments(
    x: jax.typing.ArrayLike,
    kernel: jax.typing.ArrayLike,
    rate: jax.typing.ArrayLike,
    *,
    bias: jax.typing.ArrayLike | None = None,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    feature_group_count: int = 1,
    bits: int | None = None,
) -> DropConnectMoments:
    r"""Returns mean and variance of the outputs of `drop_connect_conv`.

    The formulas are those of `drop_connect_dense_moments`, with convolutions for products.

    Args:
      x: Floating-point array (\*batch, \*spatial, in), of one to three spatial axes.
      kernel: Weights (\*window, in / groups, out).
      rate: Probability of dropping a weight; a number in [0, 1], or a scalar array, traced or not. No gradient flows
        into it.
      bias: Array (out,).
      strides: Steps of the window along each spatial axis, or along all.
      padding: As in `drop_connect_conv`.
      kernel_dilation: Steps between the window's entries along each spatial axis, or along all.
      feature_group_count: Number of groups of channels, each of which is convolved by itself.
      bits: Random bits that decided a weight, as in `drop_connect_dense`: the rate is rounded as there.

    Returns:
      A `DropConnectMoments` of two arrays (\*batch, \*spatial, out) of the dtype of `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not a scalar, shapes do not fit, `padding`
        is unknown, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If `x`, `kernel` or `bias` is not real floating point, `rate` is neither a number nor an array, or a
        size is not an integer.

    Examples:
      >>> moments = jaxdrop.drop_connect_conv_moments(jnp.ones((1, 3, 1)), jnp.ones((3, 1, 1)), 0.5)
      >>> moments.mean[0, :, 0], moments.variance[0, :, 0]
      (Array([1. , 1.5, 1. ], dtype=float32), Array([0.5 , 0.75, 0.5 ], dtype=float32))

    References:
      Wan et al., `Regularization of neural networks using DropConnect
      <https://proceedings.mlr.press/v28/wan13.html>`_, 2013
    """
    x = _checks.real("x", x)
    kernel, bias = _checks.weights(kernel, bias, x, (3, 4, 5), feature_group_count)
    window = window_of(x, kernel, strides, padding, kernel_dilation, feature_group_count)
    return _moments(functools.partial(convolve, window=window), x, kernel, bias, _keep(rate, bits))


def _keep(rate: jax.typing.ArrayLike, bits: int | None) -> jax.Array:
    static_rate = _checks.static_rate("rate", rate)
    keep = _masks.keep_probability(rate, bits=_checks.random_bits(bits, static_rate, BITS))
    _checks.rate_shape("rate", keep.shape, (), ())
    return keep


def _moments(
    layer: Callable[..., jax.Array], x: jax.Array, kernel: jax.Array, bias: jax.Array | None, keep: jax.Array
) -> DropConnectMoments:
    dtype = _masks.wide(x.dtype)
    wide_x, keep = x.astype(dtype), keep.astype(dtype)
    kernel, bias = kernel.astype(dtype), None if bias is None else bias.astype(dtype)
    mean = keep * layer(wide_x, kernel, bias)
    squared_bias = None if bias is None else jnp.square(bias)
    variance = keep * (1 - keep) * layer(jnp.square(wide_x), jnp.square(kernel), squared_bias)
    return DropConnectMoments(mean.astype(x.dtype), variance.astype(x.dtype))


def moment_matched_mean(
    key: jax.Array | None,
    moments: DropConnectMoments,
    activation: Callable[[jax.Array], jax.Array] | None,
    num_samples: int | None = 1000,
) -> jax.Array:
    r"""Returns the mean of an activation over Gaussian inputs, which is how the paper predicts.

    .. math:: \frac{1}{Z} \sum_{z=1}^Z a(u_z), \quad u_z \sim \mathcal{N}(\mu, \sigma^2)

    A sum of many masked terms is close to normal. For the rectifier the limit :math:`Z \to \infty` has a closed form,
    :math:`\mu \Phi(\mu / \sigma) + \sigma \phi(\mu / \sigma)`. Samples are drawn one after another, and again in the
    backward pass: memory does not grow with their number.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read where `num_samples` is None.
      moments: Mean :math:`\mu` and variance :math:`\sigma^2`, of one shape.
      activation: The function :math:`a` of an array of that shape, or None for the identity. Each entry is drawn
        independently of the others.
      num_samples: The number Z, or None for the closed form, which is known for `jax.nn.relu` and None.

    Returns:
      An array of the dtype of the mean, in the shape that `activation` gives. Value and gradient are finite where the
      variance is zero.

    Raises:
      ValueError: If `num_samples` is below 1, or is None for an activation without a known closed form, or if the
        moments differ in shape.
      TypeError: If the moments are not real floating point, or `key` is not one key.

    Examples:
      >>> moments = jaxdrop.drop_connect_dense_moments(jnp.ones((1, 4)), jnp.ones((4, 1)), 0.5, bias=-2 * jnp.ones(1))
      >>> jaxdrop.moment_matched_mean(None, moments, jax.nn.relu, None).round(3)
      Array([[1.2]], dtype=float32)
      >>> jaxdrop.moment_matched_mean(jax.random.key(0), moments, jax.nn.relu).round(1)
      Array([[1.2]], dtype=float32)

    References:
      Wan et al., `Regularization of neural networks using DropConnect
      <https://proceedings.mlr.press/v28/wan13.html>`_, 2013
    """
    mean, variance = _checks.real("moments.mean", moments.mean), _checks.real("moments.variance", moments.variance)
    _checks.same_shape("moments.mean", mean, "moments.variance", variance)
    _checks.at_least("num_samples", num_samples, 1)
    if num_samples is None:
        return _closed_form(mean, variance, activation)
    return _sampled(_checks.prng_key("key", key), mean, variance, activation or _identity, num_samples)


def predict(
    inference: str,
    make_key: Callable[[], jax.Array],
    moments: DropConnectMoments,
    activation: Callable[[jax.Array], jax.Array] | None,
    num_samples: int,
) -> jax.Array:
    """Returns what a layer predicts by the "mean", by the "gaussian" in closed form or by the "sampled" one."""
    if inference == "mean":
        return (activation or _identity)(moments.mean)
    if inference == "gaussian":
        return moment_matched_mean(None, moments, activation, None)
    return moment_matched_mean(make_key(), moments, activation, num_samples)


def _identity(u: jax.Array) -> jax.Array:
    return u


def _closed_form(mean: jax.Array, variance: jax.Array, activation: Callable[..., jax.Array] | None) -> jax.Array:
    if activation is None:
        return mean
    if activation is not jax.nn.relu:
        name = getattr(activation, "__name__", repr(activation))
        raise ValueError(
            f"activation must be jax.nn.relu or None for a closed form, got {name}; sample it, by num_samples."
        )
    return _mean_of_relu(mean, variance)


@jax.jit
def _mean_of_relu(mean: jax.Array, variance: jax.Array) -> jax.Array:
    dtype = _masks.wide(mean.dtype)
    mu, sigma = mean.astype(dtype), _safe.sqrt(variance.astype(dtype))
    fixed = sigma == 0
    ratio = mu / jnp.where(fixed, 1, sigma)
    expected = mu * jax.scipy.special.ndtr(ratio) + sigma * jax.scipy.stats.norm.pdf(ratio)
    return jnp.where(fixed, jax.nn.relu(mu), expected).astype(mean.dtype)


def _sampled(
    key: jax.Array, mean: jax.Array, variance: jax.Array, activation: Callable[..., jax.Array], num_samples: int
) -> jax.Array:
    _bits.mark_used(key)
    dtype = _masks.wide(mean.dtype)
    mu, sigma = mean.astype(dtype), _safe.sqrt(variance.astype(dtype))

    @jax.checkpoint
    def sample(number, mu, sigma):
        noise = _bits.normal(jax.random.fold_in(key, number), mu.shape).astype(dtype)
        return activation((mu + sigma * noise).astype(mean.dtype)).astype(dtype)

    numbers = jnp.arange(1, num_samples)
    total, _ = lax.scan(lambda total, n: (total + sample(n, mu, sigma), None), sample(0, mu, sigma), numbers)
    return (total / num_samples).astype(mean.dtype)
