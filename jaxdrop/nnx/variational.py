"""Layers with learned noise on their weights as nnx modules."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx import rnglib
from flax.nnx.nn.dtypes import promote_dtype
from flax.nnx.nn.linear import default_bias_init, default_embed_init, default_kernel_init
from flax.typing import Dtype, Initializer

from jaxdrop import variational
from jaxdrop.functional.drop_connect_conv import Padding, convolve, window_of
from jaxdrop.functional.drop_connect_dense import affine
from jaxdrop.nnx._learned_noise import LearnedNoise
from jaxdrop.variational import Divergence, NoisyWeights


class VariationalModule(LearnedNoise):
    """What layers with learned noise on their weights share: means, noise and their divergence."""

    table = "kernel"

    def __init__(
        self,
        shape: tuple[int, ...],
        init: Initializer,
        *,
        weights: Callable[[jax.Array], NoisyWeights],
        kl: Divergence,
        threshold: float | None,
        threshold_means: bool,
        use_bias: bool,
        bias_init: Initializer,
        deterministic: bool | None,
        rng_collection: str,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: rnglib.Rngs,
    ):
        first = weights(init(rngs.params(), shape, param_dtype))
        self.kind = type(first)
        for name, value in zip((self.table, first._fields[1]), first, strict=True):
            setattr(self, name, nnx.Param(value))
        bias = nnx.Param(bias_init(rngs.params(), shape[-1:], param_dtype)) if use_bias else None
        self.bias = nnx.data(bias)
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.kl = kl
        self.threshold = threshold
        self.threshold_means = threshold_means
        self.dtype = dtype

    @property
    def noisy_weights(self) -> NoisyWeights:
        """Means and noise of the weights."""
        kind: Any = self.kind
        return kind(*(getattr(self, name)[...] for name in (self.table, kind._fields[1])))

    def kl_divergence(self) -> jax.Array:
        """The divergence of all weights from their prior, in nats; a scalar."""
        return variational.kl_divergence(self.noisy_weights, self.kl)

    def promoted(self, inputs: jax.Array) -> tuple[jax.Array, NoisyWeights, jax.Array | None]:
        """Returns inputs and bias in the dtype of the computation, and weights as they are.

        What noise drowns is decided on by the parameters, as it is in pruning; the layer converts what is left.
        """
        bias = None if self.bias is None else self.bias[...]
        weights = self.noisy_weights
        x, _, bias = promote_dtype((inputs, weights.theta, bias), dtype=self.dtype)
        return x, weights, bias

    @property
    def threshold_in_training(self) -> float | None:
        """The threshold of the means under noise."""
        return self.threshold if self.threshold_means else None


class VariationalDense(VariationalModule):
    """A dense layer whose weights have learned noise; see `jaxdrop.variational.noisy_dense`.

    The parameters are those of `flax.nnx.Linear` and one more, `log_sigma2` or `log_rate`: a trained kernel may be the
    start. `jaxdrop.nnx.kl_divergence` sums the divergences of a model.

    Args:
      in_features: Number of inputs.
      out_features: Number of outputs.
      weights: Gives a kernel its first noise: `jaxdrop.variational.additive_weights`, which makes this sparse
        variational dropout, or `multiplicative_weights`.
      kl: Divergence of one weight from its prior.
      threshold: Weights with log alpha at or above it are 0 in prediction; None for none.
      threshold_means: Whether their means are 0 in training too, as in the authors' code.
      use_bias: Whether there is a bias.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that keys come from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (in, out).
      bias_init: Initializer of the bias (out,).
      rngs: Where keys come from, those of the parameters from the stream `params`.

    Examples:
      >>> layer = jaxdrop.nnx.VariationalDense(4, 8, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4))).shape, layer.kl_divergence().shape
      ((2, 8), ())

    References:
      Molchanov et al., `Variational dropout sparsifies deep neural networks <https://arxiv.org/abs/1701.05369>`_, 2017
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        weights: Callable[[jax.Array], NoisyWeights] = variational.additive_weights,
        kl: Divergence = variational.kl_log_uniform,
        threshold: float | None = 3.0,
        threshold_means: bool = False,
        use_bias: bool = True,
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
            kernel_init,
            weights=weights,
            kl=kl,
            threshold=threshold,
            threshold_means=threshold_means,
            use_bias=use_bias,
            bias_init=bias_init,
            deterministic=deterministic,
            rng_collection=rng_collection,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self.promoted(inputs)
        return variational.noisy_dense(key, x, weights, bias=bias, threshold=self.threshold_in_training)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self.promoted(inputs)
        return affine(x, variational.pruned(weights, self.threshold), bias)


class VariationalConv(VariationalModule):
    """A convolution whose weights have learned noise; see `jaxdrop.variational.noisy_conv`.

    The parameters are those of `flax.nnx.Conv` and one more; see `VariationalDense`.

    Args:
      in_features: Number of input channels.
      out_features: Number of output channels.
      kernel_size: Size of the window along each spatial axis, of which there are one to three.
      strides: Steps of the window along each spatial axis, or along all.
      padding: "SAME", "VALID", or zeros to add on both sides of all spatial axes, or of each, or pairs (before, after).
      kernel_dilation: Steps between the window's entries along each spatial axis, or along all.
      feature_group_count: Number of groups of channels, each of which is convolved by itself.
      weights: Gives a kernel its first noise; as in `VariationalDense`.
      kl: Divergence of one weight from its prior.
      threshold: Weights with log alpha at or above it are 0 in prediction; None for none.
      threshold_means: Whether their means are 0 in training too.
      use_bias: Whether there is a bias.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that keys come from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (*window, in / groups, out).
      bias_init: Initializer of the bias (out,).
      rngs: Where keys come from, those of the parameters from the stream `params`.

    Examples:
      >>> layer = jaxdrop.nnx.VariationalConv(4, 8, (3, 3), rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 5, 4))).shape
      (2, 5, 5, 8)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        *,
        strides: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        kernel_dilation: int | Sequence[int] = 1,
        feature_group_count: int = 1,
        weights: Callable[[jax.Array], NoisyWeights] = variational.additive_weights,
        kl: Divergence = variational.kl_log_uniform,
        threshold: float | None = 3.0,
        threshold_means: bool = False,
        use_bias: bool = True,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        rngs: rnglib.Rngs,
    ):
        window = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
        super().__init__(
            (*window, in_features // feature_group_count, out_features),
            kernel_init,
            weights=weights,
            kl=kl,
            threshold=threshold,
            threshold_means=threshold_means,
            use_bias=use_bias,
            bias_init=bias_init,
            deterministic=deterministic,
            rng_collection=rng_collection,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.strides = strides
        self.padding = padding
        self.kernel_dilation = kernel_dilation
        self.feature_group_count = feature_group_count

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self.promoted(inputs)
        return variational.noisy_conv(
            key,
            x,
            weights,
            bias=bias,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=self.feature_group_count,
            threshold=self.threshold_in_training,
        )

    def expectation(self, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self.promoted(inputs)
        kernel = variational.pruned(weights, self.threshold)
        options = (self.strides, self.padding, self.kernel_dilation, self.feature_group_count)
        return convolve(x, kernel, bias, window_of(x, kernel, *options))


class VariationalEmbed(VariationalModule):
    """An embedding with learned noise, drawn wherever a token occurs; see `jaxdrop.variational.noisy_embed`.

    The parameters are those of `flax.nnx.Embed` and one more; see `VariationalDense`.

    Args:
      num_embeddings: Size of the vocabulary.
      features: Features of each token.
      weights: Gives the table its first noise; as in `VariationalDense`.
      kl: Divergence of one weight from its prior.
      threshold: Weights with log alpha at or above it are 0 in prediction; None for none.
      threshold_means: Whether their means are 0 in training too.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that keys come from.
      dtype: Of the outputs; None for that of the parameters.
      param_dtype: Of the parameters.
      embedding_init: Initializer of the table (num_embeddings, features).
      rngs: Where keys come from, those of the parameters from the stream `params`.

    Examples:
      >>> layer = jaxdrop.nnx.VariationalEmbed(100, 8, rngs=nnx.Rngs(0))
      >>> layer(jnp.array([[3, 1, 3]])).shape
      (1, 3, 8)
    """

    table = "embedding"

    def __init__(
        self,
        num_embeddings: int,
        features: int,
        *,
        weights: Callable[[jax.Array], NoisyWeights] = variational.additive_weights,
        kl: Divergence = variational.kl_log_uniform,
        threshold: float | None = 3.0,
        threshold_means: bool = False,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        embedding_init: Initializer = default_embed_init,
        rngs: rnglib.Rngs,
    ):
        super().__init__(
            (num_embeddings, features),
            embedding_init,
            weights=weights,
            kl=kl,
            threshold=threshold,
            threshold_means=threshold_means,
            use_bias=False,
            bias_init=default_bias_init,
            deterministic=deterministic,
            rng_collection=rng_collection,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        y = variational.noisy_embed(key, inputs, self.noisy_weights, threshold=self.threshold_in_training)
        return y if self.dtype is None else y.astype(self.dtype)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        y = jnp.take(variational.pruned(self.noisy_weights, self.threshold), inputs, axis=0)
        return y if self.dtype is None else y.astype(self.dtype)
