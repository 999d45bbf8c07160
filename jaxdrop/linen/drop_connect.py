"""DropConnect layers as linen modules."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.linen.linear import default_kernel_init
from flax.typing import Dtype, Initializer

from jaxdrop import _checks, functional
from jaxdrop.functional.drop_connect_conv import Padding
from jaxdrop.functional.drop_connect_moments import INFERENCE, predict
from jaxdrop.linen._stochastic import StochasticModule, rate_needs_key

Activation = Callable[[jax.Array], jax.Array]


class DropConnectDense(StochasticModule):
    """A dense layer of which each weight may be missing; see `jaxdrop.drop_connect_dense`.

    The parameters are those of `flax.linen.Dense`.

    Attributes:
      features: Number of outputs.
      rate: Probability of dropping a weight; a number in [0, 1] or a scalar array.
      activation: Function applied to the outputs, or None. It is part of the layer, because a prediction by any but the
        mean averages over it.
      use_bias: Whether there is a bias, which is masked too.
      mode: "example" for masks of each example, "batch" for one mask.
      inference: What to return when deterministic. "mean": the activation of the mean. "gaussian": the mean of the
        activation under a Gaussian with the moments of the outputs, in closed form, for `nn.relu` and None. "sampled":
        the same by samples, as in the paper, for any activation; this takes a key from the RNG stream.
      num_samples: How many samples.
      bits: Random bits that decide a weight: None, 1, 2, 4, 8, 16 or 32.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that the key comes from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (in, out).
      bias_init: Initializer of the bias (out,).

    Examples:
      >>> layer = jaxdrop.linen.DropConnectDense(8, 0.5, nn.relu, inference="gaussian")
      >>> x = jnp.ones((2, 4))
      >>> variables = layer.init(jax.random.key(0), x, deterministic=True)
      >>> layer.apply(variables, x, deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
      (2, 8)
    """

    features: int
    rate: jax.typing.ArrayLike
    activation: Activation | None = None
    use_bias: bool = True
    mode: str = "example"
    inference: str = "mean"
    num_samples: int = 1000
    bits: int | None = None
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()

    def key_needed(self) -> bool:
        _checks.one_of("inference", self.inference, INFERENCE)
        return rate_needs_key(self.rate)

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self._operands(inputs)
        y = functional.drop_connect_dense(key, x, kernel, self.rate, mode=self.mode, **options)
        return y if self.activation is None else self.activation(y)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return self.prediction(None, inputs)

    def prediction(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self._operands(inputs)
        return _predict(self, key, functional.drop_connect_dense_moments(x, kernel, self.rate, **options))

    def _operands(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        x, kernel, bias = _parameters(self, inputs, (jnp.shape(inputs)[-1], self.features))
        return x, kernel, {"bias": bias, "bits": self.bits}


class DropConnectConv(StochasticModule):
    """A convolution of which each weight may be missing; see `jaxdrop.drop_connect_conv`.

    The parameters are those of `flax.linen.Conv`.

    Attributes:
      features: Number of output channels.
      kernel_size: Size of the window along each spatial axis, of which there are one to three.
      rate: Probability of dropping a weight; a number in [0, 1] or a scalar array.
      activation: Function applied to the outputs, or None; as in `DropConnectDense`.
      strides: Steps of the window along each spatial axis, or along all.
      padding: "SAME", "VALID", or zeros to add on both sides of all spatial axes, or of each, or pairs (before, after).
      kernel_dilation: Steps between the window's entries along each spatial axis, or along all.
      feature_group_count: Number of groups of channels, each of which is convolved by itself.
      use_bias: Whether there is a bias, which is masked too.
      mode: "example" for masks of each example, "batch" for one mask.
      inference: What to return when deterministic: "mean", "gaussian" or "sampled"; as in `DropConnectDense`.
      num_samples: How many samples.
      bits: Random bits that decide a weight: None, 1, 2, 4, 8, 16 or 32.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that the key comes from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (*window, in / groups, out).
      bias_init: Initializer of the bias (out,).

    Examples:
      >>> layer = jaxdrop.linen.DropConnectConv(8, (3, 3), 0.5, nn.relu)
      >>> x = jnp.ones((2, 5, 5, 4))
      >>> variables = layer.init(jax.random.key(0), x, deterministic=True)
      >>> layer.apply(variables, x, deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
      (2, 5, 5, 8)
    """

    features: int
    kernel_size: int | Sequence[int]
    rate: jax.typing.ArrayLike
    activation: Activation | None = None
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    kernel_dilation: int | Sequence[int] = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mode: str = "example"
    inference: str = "mean"
    num_samples: int = 1000
    bits: int | None = None
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()

    def key_needed(self) -> bool:
        _checks.one_of("inference", self.inference, INFERENCE)
        return rate_needs_key(self.rate)

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self._operands(inputs)
        y = functional.drop_connect_conv(key, x, kernel, self.rate, mode=self.mode, **options)
        return y if self.activation is None else self.activation(y)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return self.prediction(None, inputs)

    def prediction(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self._operands(inputs)
        return _predict(self, key, functional.drop_connect_conv_moments(x, kernel, self.rate, **options))

    def _operands(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        window = (self.kernel_size,) if isinstance(self.kernel_size, int) else self.kernel_size
        channels = jnp.shape(inputs)[-1] // self.feature_group_count
        x, kernel, bias = _parameters(self, inputs, (*window, channels, self.features))
        return (
            x,
            kernel,
            {
                "bias": bias,
                "bits": self.bits,
                "strides": self.strides,
                "padding": self.padding,
                "kernel_dilation": self.kernel_dilation,
                "feature_group_count": self.feature_group_count,
            },
        )


def _parameters(layer: DropConnectDense | DropConnectConv, inputs: jax.Array, kernel_shape: tuple[int, ...]) -> Any:
    """Returns inputs, kernel and bias in the dtype of the computation."""
    kernel = layer.param("kernel", layer.kernel_init, kernel_shape, layer.param_dtype)
    bias = layer.param("bias", layer.bias_init, kernel_shape[-1:], layer.param_dtype) if layer.use_bias else None
    return promote_dtype(inputs, kernel, bias, dtype=layer.dtype)


def _predict(
    layer: DropConnectDense | DropConnectConv, key: jax.Array | None, moments: functional.DropConnectMoments
) -> jax.Array:
    def make_key() -> jax.Array:
        return layer.make_rng(layer.rng_collection) if key is None else key

    return predict(layer.inference, make_key, moments, layer.activation, layer.num_samples)
