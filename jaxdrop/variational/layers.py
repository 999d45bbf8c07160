"""Layers on noisy weights, by the local reparameterization trick: the noise of a weight is drawn where it acts."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdrop import _bits, _checks, _masks, _safe
from jaxdrop.functional.drop_connect_conv import Padding, convolve, window_of
from jaxdrop.functional.drop_connect_dense import add_bias
from jaxdrop.variational.divergences import Divergence, kl_kingma
from jaxdrop.variational.weights import NoisyWeights, pruned


def noisy_dense(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    weights: NoisyWeights,
    *,
    bias: jax.typing.ArrayLike | None = None,
    threshold: float | None = None,
) -> jax.Array:
    r"""Applies a dense layer whose weights are drawn for each example.

    .. math:: y = \gamma + \sqrt\delta\,\zeta, \qquad \gamma = x\theta, \; \delta = x^2\sigma^2, \; \zeta \sim N(0, 1)

    which has the distribution that sampling the weights gives for each row of `x`, at the cost of a second product and
    with less variance in the gradients.

    Args:
      key: PRNG key; consumed.
      x: Real floating-point array (\*batch, in).
      weights: Noisy weights (in, out).
      bias: Array (out,), which has no noise.
      threshold: Weights with :math:`\log\alpha` at or above it have mean 0 in training too, as in the authors' code of
        sparse variational dropout; their noise remains. None for no such thing.

    Returns:
      An array (\*batch, out) of the dtype of `x`.

    Raises:
      ValueError: If shapes do not fit.
      TypeError: If `x`, weights or bias are not real floating point, or `key` is not one key.

    Examples:
      >>> weights = jaxdrop.variational.additive_weights(jnp.ones((4, 3)))
      >>> jaxdrop.variational.noisy_dense(jax.random.key(0), jnp.ones((2, 4)), weights).shape
      (2, 3)

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, equation 6
    """
    x = _checks.real("x", x)
    mean, offset = _checks.weights(pruned(weights, threshold), bias, x, (2,))
    return _locally(key, jnp.matmul, x, mean, weights.variance, offset)


def noisy_conv(
    key: jax.Array | None,
    x: jax.typing.ArrayLike,
    weights: NoisyWeights,
    *,
    bias: jax.typing.ArrayLike | None = None,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    feature_group_count: int = 1,
    threshold: float | None = None,
) -> jax.Array:
    r"""Applies a convolution to whose outputs the noise of its weights is added, independently at each position.

    The mean and the variance of each output are those that sampling the weights gives; the covariances are not, for
    a weight sampled once would act at all positions. The authors do the same.

    Args:
      key: PRNG key; consumed.
      x: Real floating-point array (\*batch, \*spatial, in), of one to three spatial axes.
      weights: Noisy weights (\*window, in / groups, out).
      bias: Array (out,), which has no noise.
      strides: Steps of the window along each spatial axis, or along all.
      padding: "SAME", "VALID", or zeros to add on both sides of all spatial axes, or of each, or pairs (before, after).
      kernel_dilation: Steps between the window's entries along each spatial axis, or along all.
      feature_group_count: Number of groups of channels, each of which is convolved by itself.
      threshold: As in `noisy_dense`.

    Returns:
      An array (\*batch, \*spatial, out) of the dtype of `x`.

    Raises:
      ValueError: If shapes do not fit or `padding` is unknown.
      TypeError: If `x`, weights or bias are not real floating point, a size is not an integer, or `key` is not one key.

    Examples:
      >>> weights = jaxdrop.variational.additive_weights(jnp.ones((3, 3, 4, 8)))
      >>> jaxdrop.variational.noisy_conv(jax.random.key(0), jnp.ones((2, 6, 6, 4)), weights, strides=2).shape
      (2, 3, 3, 8)

    References:
      Molchanov et al., `Variational dropout sparsifies deep neural networks <https://arxiv.org/abs/1701.05369>`_, 2017,
      section 4.3
    """
    x = _checks.real("x", x)
    mean, offset = _checks.weights(pruned(weights, threshold), bias, x, (3, 4, 5), feature_group_count)
    window = window_of(x, mean, strides, padding, kernel_dilation, feature_group_count)
    apply = functools.partial(convolve, bias=None, window=window)
    return _locally(key, apply, x, mean, weights.variance, offset)


def noisy_embed(
    key: jax.Array | None, tokens: jax.typing.ArrayLike, weights: NoisyWeights, *, threshold: float | None = None
) -> jax.Array:
    r"""Looks up noisy weights, drawn anew wherever a token occurs: `noisy_dense` on one-hot vectors.

    Args:
      key: PRNG key; consumed.
      tokens: Integers (\*batch,).
      weights: Noisy weights (tokens, features).
      threshold: As in `noisy_dense`.

    Returns:
      An array (\*batch, features) of the dtype of the weights.

    Raises:
      ValueError: If the weights have not two axes.
      TypeError: If `tokens` are not integers, or `key` is not one key.

    Examples:
      >>> weights = jaxdrop.variational.additive_weights(jnp.ones((100, 8)))
      >>> jaxdrop.variational.noisy_embed(jax.random.key(0), jnp.array([[3, 1, 3]]), weights).shape
      (1, 3, 8)
    """
    tokens = _checks.integers("tokens", tokens)
    mean = pruned(weights, threshold)
    if mean.ndim != 2:
        raise ValueError(f"weights must have 2 axes, got shape {mean.shape}.")
    rows = (jnp.take(table, tokens, axis=0) for table in (mean, weights.variance))
    return _add_noise(_checks.prng_key("key", key), *rows).astype(mean.dtype)


def gaussian_noise(key: jax.Array | None, x: jax.typing.ArrayLike, log_alpha: jax.typing.ArrayLike) -> jax.Array:
    r"""Multiplies by normal noise whose variance is learned: variational dropout of type A.

    .. math:: y_i = x_i (1 + \sqrt\alpha\,\epsilon_i)

    In front of a layer, it acts like noise on the layer's weights that is the same for all that one input meets. Its
    divergence is that of these weights: `kl_kingma(log_alpha)` times their number. Unlike in
    `jaxdrop.gaussian_dropout`, gradients flow into the rate.

    Args:
      key: PRNG key; consumed.
      x: Real floating-point array.
      log_alpha: Real floating-point array that broadcasts against `x`; values above 0 count as 0.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If `log_alpha` does not broadcast against `x`.
      TypeError: If `x` or `log_alpha` is not real floating point, or `key` is not one key.

    Examples:
      >>> y = jaxdrop.variational.gaussian_noise(jax.random.key(0), jnp.ones(10_000), jnp.log(0.25))
      >>> bool(jnp.abs(y.var() - 0.25) < 0.02)
      True

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, section 3.1
    """
    x = _checks.real("x", x)
    log_alpha = _checks.real("log_alpha", log_alpha)
    shape = _checks.rate_shape("log_alpha", log_alpha.shape, x.shape, ())
    wide = x.astype(_masks.wide(x.dtype))
    alpha = jnp.exp(jnp.minimum(log_alpha.astype(wide.dtype).reshape(shape), 0))
    return _add_noise(_checks.prng_key("key", key), wide, jnp.square(wide) * alpha).astype(x.dtype)


def log_alpha(
    features: int,
    value: float = -3.0,
    *,
    shared: Literal["layer", "neuron"] = "neuron",
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
    """The parameter of `gaussian_noise`, to begin with.

    Args:
      features: Size of the last axis of the inputs.
      value: Logarithm of the variance; at most 0.
      shared: Whether all inputs have one variance, or each feature its own.
      dtype: Of the parameter.

    Returns:
      An array () or (features,).

    Raises:
      ValueError: If `value` is not finite or above 0, or `shared` is unknown.

    Examples:
      >>> jaxdrop.variational.log_alpha(2)
      Array([-3., -3.], dtype=float32)
    """
    _checks.finite("value", value)
    if value > 0:
        raise ValueError(f"value must be at most 0, got {value}.")
    _checks.one_of("shared", shared, ("layer", "neuron"))
    return jnp.full(() if shared == "layer" else (features,), value, dtype)


def kl_gaussian_noise(
    kernel: jax.typing.ArrayLike, log_alpha: jax.typing.ArrayLike, kl: Divergence = kl_kingma
) -> jax.Array:
    r"""The divergence of the layer behind `gaussian_noise`, in nats.

    The noise of one input is noise on all weights that it meets, and each of them counts.

    Args:
      kernel: Array (\*window, in, out).
      log_alpha: Array () or (in,); values above 0 count as 0.
      kl: The divergence of one weight.

    Returns:
      A scalar.

    Raises:
      ValueError: If the kernel has fewer than two axes, or `log_alpha` is neither () nor (in,); with (in,), a
        convolution in groups has another number of inputs: use one rate there.
      TypeError: If `kernel` or `log_alpha` is not real floating point.

    Examples:
      >>> kl = jaxdrop.variational.kl_gaussian_noise(jnp.ones((4, 3)), jnp.zeros(4))  # 12 weights of 0.389
      >>> round(float(kl), 2)
      4.67

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, section 3.3
    """
    kernel, rates = _checks.kernel("kernel", kernel), _checks.real("log_alpha", log_alpha)
    rates = rates.reshape(_checks.rate_shape("log_alpha", rates.shape, kernel.shape[-2:-1], ()))
    inputs = kernel.shape[-2]
    return jnp.broadcast_to(kl(jnp.minimum(rates, 0)), (inputs,)).sum() * (kernel.size // inputs)


def _locally(
    key: jax.Array | None,
    apply: Callable[[jax.Array, jax.Array], jax.Array],
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    bias: jax.Array | None,
) -> jax.Array:
    """Draws the outputs of a linear map with independent normal weights."""
    key = _checks.prng_key("key", key)
    # A square leaves the range of float16 early.
    wide = _masks.wide(x.dtype)
    y = _add_noise(key, apply(x, mean.astype(x.dtype)), apply(jnp.square(x.astype(wide)), variance.astype(wide)))
    return add_bias(y.astype(x.dtype), bias)


@_masks.redraw
def _add_noise(key: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    """Draws from a normal distribution, in the dtype of the variance."""
    return mean.astype(variance.dtype) + _safe.sqrt(variance) * _bits.normal(key, mean.shape).astype(variance.dtype)
