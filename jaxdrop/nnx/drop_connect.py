"""DropConnect layers as nnx modules."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx import rnglib
from flax.nnx.nn.dtypes import promote_dtype
from flax.nnx.nn.linear import default_bias_init, default_kernel_init
from flax.typing import Dtype, Initializer

from jaxdrop import _checks, functional
from jaxdrop.functional.drop_connect_conv import Padding
from jaxdrop.functional.drop_connect_moments import INFERENCE, predict
from jaxdrop.nnx._stochastic import RngSource, StochasticModule, take_key

Activation = Callable[[jax.Array], jax.Array]


class _DropConnect(StochasticModule):
    """What the layers share: parameters, and how the moments of the outputs become a prediction."""

    def __init__(
        self,
        kernel_shape: tuple[int, ...],
        rate: jax.typing.ArrayLike,
        *,
        activation: Activation | None,
        use_bias: bool,
        mode: str,
        inference: str,
        num_samples: int,
        bits: int | None,
        deterministic: bool | None,
        rng_collection: str,
        dtype: Dtype | None,
        param_dtype: Dtype,
        kernel_init: Initializer,
        bias_init: Initializer,
        rngs: rnglib.Rngs,
    ):
        _checks.one_of("inference", inference, INFERENCE)
        self.kernel = nnx.Param(kernel_init(rngs.params(), kernel_shape, param_dtype))
        bias = nnx.Param(bias_init(rngs.params(), kernel_shape[-1:], param_dtype)) if use_bias else None
        self.bias = nnx.data(bias)
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
        self.activation = activation
        self.mode = mode
        self.inference = inference
        self.num_samples = num_samples
        self.bits = bits
        self.dtype = dtype

    def operands(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        """Returns inputs, kernel and options, in the dtype of the computation."""
        bias = None if self.bias is None else self.bias[...]
        x, kernel, bias = promote_dtype((inputs, self.kernel[...], bias), dtype=self.dtype)
        return x, kernel, {"bias": bias, "bits": self.bits}

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return self.prediction(None, inputs)

    def activated(self, y: jax.Array) -> jax.Array:
        return y if self.activation is None else self.activation(y)

    def predicted(self, rngs: RngSource | jax.Array | None, moments: functional.DropConnectMoments) -> jax.Array:
        def make_key() -> jax.Array:
            source = nnx.module.first_from(
                rngs,
                self.rngs,
                error_msg="`rngs` must be given to the constructor or the call to predict with inference='sampled'.",
            )
            return take_key(source, self.rng_collection)

        return predict(self.inference, make_key, moments, self.activation, self.num_samples)


class DropConnectDense(_DropConnect):
    """A dense layer of which each weight may be missing; see `jaxdrop.drop_connect_dense`.

    The parameters are those of `flax.nnx.Linear`.

    Args:
      in_features: Number of inputs.
      out_features: Number of outputs.
      rate: Probability of dropping a weight; a number in [0, 1] or a scalar array.
      activation: Function applied to the outputs, or None. It is part of the layer, because a prediction by any but the
        mean averages over it.
      use_bias: Whether there is a bias, which is masked too.
      mode: "example" for masks of each example, "batch" for one mask.
      inference: What to return when deterministic. "mean": the activation of the mean. "gaussian": the mean of the
        activation under a Gaussian with the moments of the outputs, in closed form, for `nnx.relu` and None. "sampled":
        the same by samples, as in the paper, for any activation; this takes a key from the RNG stream.
      num_samples: How many samples.
      bits: Random bits that decide a weight: None, 1, 2, 4, 8, 16 or 32.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that keys come from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (in, out).
      bias_init: Initializer of the bias (out,).
      rngs: Where keys come from, those of the parameters from the stream `params`.

    Examples:
      >>> layer = jaxdrop.nnx.DropConnectDense(4, 8, 0.5, nnx.relu, inference="gaussian", rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4))).shape
      (2, 8)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rate: jax.typing.ArrayLike,
        activation: Activation | None = None,
        *,
        use_bias: bool = True,
        mode: str = "example",
        inference: str = "mean",
        num_samples: int = 1000,
        bits: int | None = None,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        rngs: rnglib.Rngs,
    ):
        super().__init__(
            (in_features, out_features),
            rate,
            activation=activation,
            use_bias=use_bias,
            mode=mode,
            inference=inference,
            num_samples=num_samples,
            bits=bits,
            deterministic=deterministic,
            rng_collection=rng_collection,
            dtype=dtype,
            param_dtype=param_dtype,
            kernel_init=kernel_init,
            bias_init=bias_init,
            rngs=rngs,
        )

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self.operands(inputs)
        return self.activated(functional.drop_connect_dense(key, x, kernel, self.rate, mode=self.mode, **options))

    def prediction(self, rngs: RngSource | jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self.operands(inputs)
        return self.predicted(rngs, functional.drop_connect_dense_moments(x, kernel, self.rate, **options))


class DropConnectConv(_DropConnect):
    """A convolution of which each weight may be missing; see `jaxdrop.drop_connect_conv`.

    The parameters are those of `flax.nnx.Conv`.

    Args:
      in_features: Number of input channels.
      out_features: Number of output channels.
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
      rng_collection: Name of the RNG stream that keys come from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (*window, in / groups, out).
      bias_init: Initializer of the bias (out,).
      rngs: Where keys come from, those of the parameters from the stream `params`.

    Examples:
      >>> layer = jaxdrop.nnx.DropConnectConv(4, 8, (3, 3), 0.5, nnx.relu, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 5, 4))).shape
      (2, 5, 5, 8)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        rate: jax.typing.ArrayLike,
        activation: Activation | None = None,
        *,
        strides: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        kernel_dilation: int | Sequence[int] = 1,
        feature_group_count: int = 1,
        use_bias: bool = True,
        mode: str = "example",
        inference: str = "mean",
        num_samples: int = 1000,
        bits: int | None = None,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        rngs: rnglib.Rngs,
    ):
        window = (kernel_size,) if isinstance(kernel_size, int) else kernel_size
        super().__init__(
            (*window, in_features // feature_group_count, out_features),
            rate,
            activation=activation,
            use_bias=use_bias,
            mode=mode,
            inference=inference,
            num_samples=num_samples,
            bits=bits,
            deterministic=deterministic,
            rng_collection=rng_collection,
            dtype=dtype,
            param_dtype=param_dtype,
            kernel_init=kernel_init,
            bias_init=bias_init,
            rngs=rngs,
        )
        self.window: dict[str, Any] = {
            "strides": strides,
            "padding": padding,
            "kernel_dilation": kernel_dilation,
            "feature_group_count": feature_group_count,
        }

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self.operands(inputs)
        y = functional.drop_connect_conv(key, x, kernel, self.rate, mode=self.mode, **options, **self.window)
        return self.activated(y)

    def prediction(self, rngs: RngSource | jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, kernel, options = self.operands(inputs)
        moments = functional.drop_connect_conv_moments(x, kernel, self.rate, **options, **self.window)
        return self.predicted(rngs, moments)
