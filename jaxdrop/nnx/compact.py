"""Smaller nnx models that predict as the pruned ones."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdrop import variational
from jaxdrop.nnx._learned_noise import NoisyInputs
from jaxdrop.nnx._stochastic import StochasticMixin
from jaxdrop.nnx.log_normal import LogNormalNoise
from jaxdrop.nnx.variational import VariationalConv, VariationalDense
from jaxdrop.variational import compact as chains


def compact(model: nnx.Sequential, x: jax.typing.ArrayLike) -> nnx.Sequential:
    """Makes a pruned chain of layers smaller: what predicts alike, without the units that do not matter.

    As `jaxdrop.linen.compact`, which says what is cut out.

    Args:
      model: An `nnx.Sequential` of `nnx.Linear`, `nnx.Conv`, `VariationalDense`, `VariationalConv`, `LogNormalNoise`,
        dropout layers, and functions which between layers treat each channel by itself: activations, pooling, and
        reshaping to (batch, features). It is left as it is.
      x: An example of the input, (batch, ...), for its shape.

    Returns:
      A model of `nnx.Linear`, `nnx.Conv` and functions. If inputs are not read, it begins with a function that picks
      the others. A convolution in groups, its inputs and its outputs stay whole.

    Raises:
      TypeError: If `model` is not an `nnx.Sequential`, or has other layers.
      ValueError: If it has no layer, a function between layers mixes channels, or factors of `LogNormalNoise` cannot be
        put into a later kernel.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> model = nnx.Sequential(nnx.Linear(4, 3, rngs=rngs), nnx.relu, nnx.Linear(3, 2, rngs=rngs))
      >>> kernel = model.layers[0].kernel
      >>> kernel[...] = kernel[...].at[:, 1].set(0)  # a unit that pruning left nothing of
      >>> x = jnp.ones((1, 4))
      >>> small = jaxdrop.nnx.compact(model, x)
      >>> small.layers[0].kernel.shape, bool(jnp.allclose(small(x), model(x)))
      ((4, 2), True)
    """
    if not isinstance(model, nnx.Sequential):
        raise TypeError(f"model must be a flax.nnx.Sequential, got {type(model).__name__}.")
    stages = [stage for layer in model.layers for stage in _stages(layer)]
    small = chains.compact(stages, jnp.asarray(x))
    return nnx.Sequential(*(_layer(stage) if isinstance(stage, chains.Linear) else stage for stage in small))


def _stages(layer: Any) -> list[Any]:
    """A layer as a stage of a chain, or as none where it does nothing in prediction."""
    if isinstance(layer, NoisyInputs):
        return _stages(layer.layer)
    if isinstance(layer, VariationalDense | VariationalConv):
        kernel = variational.pruned(layer.noisy_weights, layer.threshold)
        return [_linear(_plain(layer, kernel), kernel, layer.bias)]
    if isinstance(layer, nnx.Linear | nnx.Conv):
        return [_linear(layer, layer.kernel[...], layer.bias)]
    if isinstance(layer, LogNormalNoise):
        return [chains.Scale(variational.kept_factors(layer.factors, layer.threshold))]
    if isinstance(layer, nnx.Dropout) or getattr(type(layer), "expectation", None) is StochasticMixin.expectation:
        return []
    if isinstance(layer, nnx.Module):
        raise TypeError(f"model must have Linear, Conv, noise and functions, got a {type(layer).__name__}.")
    return [layer]


def _linear(layer: nnx.Linear | nnx.Conv, kernel: jax.Array, bias: Any) -> chains.Linear:
    fixed = isinstance(layer, nnx.Conv) and (layer.feature_group_count != 1 or layer.mask is not None)

    def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return _like(layer, kernel, None)(x)

    return chains.Linear(layer, kernel, None if bias is None else bias[...], apply, fixed)


def _layer(stage: chains.Linear) -> nnx.Linear | nnx.Conv:
    return _like(stage.layer, stage.kernel, stage.bias)


def _like(layer: nnx.Linear | nnx.Conv, kernel: jax.Array, bias: jax.Array | None) -> nnx.Linear | nnx.Conv:
    """A layer with the options of another, and this kernel and bias."""
    if isinstance(layer, nnx.Linear):
        return _linear_of(kernel, bias, dtype=layer.dtype, precision=layer.precision)
    return _conv_of(
        kernel,
        bias,
        strides=layer.strides,
        padding=layer.padding,
        input_dilation=layer.input_dilation,
        kernel_dilation=layer.kernel_dilation,
        feature_group_count=layer.feature_group_count,
        mask=layer.mask,
        dtype=layer.dtype,
        precision=layer.precision,
    )


def _plain(layer: VariationalDense | VariationalConv, kernel: jax.Array) -> nnx.Linear | nnx.Conv:
    if isinstance(layer, VariationalDense):
        return _linear_of(kernel, None, dtype=layer.dtype)
    return _conv_of(
        kernel,
        None,
        strides=layer.strides,
        padding=layer.padding,
        kernel_dilation=layer.kernel_dilation,
        feature_group_count=layer.feature_group_count,
        dtype=layer.dtype,
    )


def _linear_of(kernel: jax.Array, bias: jax.Array | None, **options: Any) -> nnx.Linear:
    inputs, outputs = kernel.shape
    layer = nnx.Linear(inputs, outputs, use_bias=bias is not None, rngs=nnx.Rngs(0), **options)
    return _filled(layer, kernel, bias)


def _conv_of(kernel: jax.Array, bias: jax.Array | None, *, feature_group_count: int, **options: Any) -> nnx.Conv:
    *window, inputs, outputs = kernel.shape
    layer = nnx.Conv(
        inputs * feature_group_count,
        outputs,
        tuple(window),
        feature_group_count=feature_group_count,
        use_bias=bias is not None,
        rngs=nnx.Rngs(0),
        **options,
    )
    return _filled(layer, kernel, bias)


def _filled(layer: Any, kernel: jax.Array, bias: jax.Array | None) -> Any:
    layer.kernel = nnx.Param(kernel)
    if bias is not None:
        layer.bias = nnx.Param(bias)
    return layer
