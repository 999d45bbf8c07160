"""Layers with learned noise on their weights as linen modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.linen.linear import default_embed_init, default_kernel_init
from flax.typing import Dtype, Initializer

from jaxdrop import variational
from jaxdrop.functional.drop_connect_conv import Padding, convolve, window_of
from jaxdrop.functional.drop_connect_dense import affine
from jaxdrop.linen._stochastic import StochasticModule
from jaxdrop.variational import Divergence, NoisyWeights

COLLECTION = "kl_divergence"


class VariationalDense(StochasticModule):
    """A dense layer whose weights have learned noise; see `jaxdrop.variational.noisy_dense`.

    The parameters are those of `flax.linen.Dense` and one more, "log_sigma2" or "log_rate": a trained kernel may be the
    start. If the collection "kl_divergence" is mutable, a call leaves the layer's divergence there.

    Attributes:
      features: Number of outputs.
      weights: Gives a kernel its first noise: `jaxdrop.variational.additive_weights`, which makes this sparse
        variational dropout, or `multiplicative_weights`.
      kl: Divergence of one weight from its prior.
      threshold: Weights with log alpha at or above it are 0 in prediction; None for none.
      threshold_means: Whether their means are 0 in training too, as in the authors' code.
      use_bias: Whether there is a bias.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that the key comes from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (in, out).
      bias_init: Initializer of the bias (out,).

    Examples:
      >>> layer = jaxdrop.linen.VariationalDense(8, deterministic=False)
      >>> rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
      >>> variables = layer.init(rngs, jnp.ones((2, 4)))
      >>> y, state = layer.apply(
      ...     variables, jnp.ones((2, 4)), rngs={"dropout": jax.random.key(2)}, mutable=["kl_divergence"]
      ... )
      >>> y.shape, jaxdrop.linen.kl_divergence(state).shape
      ((2, 8), ())

    References:
      Molchanov et al., `Variational dropout sparsifies deep neural networks <https://arxiv.org/abs/1701.05369>`_, 2017
    """

    features: int
    weights: Callable[[jax.Array], NoisyWeights] = variational.additive_weights
    kl: Divergence = variational.kl_log_uniform
    threshold: float | None = 3.0
    threshold_means: bool = False
    use_bias: bool = True
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()

    def key_needed(self) -> bool:
        return True

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self._operands(inputs)
        return variational.noisy_dense(key, x, weights, bias=bias, threshold=_in_training(self))

    def expectation(self, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self._operands(inputs)
        return affine(x, variational.pruned(weights, self.threshold), bias)

    def _operands(self, inputs: jax.Array) -> tuple[jax.Array, NoisyWeights, jax.Array | None]:
        weights = _weights(self, "kernel", self.kernel_init, (jnp.shape(inputs)[-1], self.features))
        return _promoted(self, inputs, weights)


class VariationalConv(StochasticModule):
    """A convolution whose weights have learned noise; see `jaxdrop.variational.noisy_conv`.

    The parameters are those of `flax.linen.Conv` and one more; see `VariationalDense`.

    Attributes:
      features: Number of output channels.
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
      rng_collection: Name of the RNG stream that the key comes from.
      dtype: Of the computation; None for that of inputs and parameters.
      param_dtype: Of the parameters.
      kernel_init: Initializer of the kernel (*window, in / groups, out).
      bias_init: Initializer of the bias (out,).

    Examples:
      >>> layer = jaxdrop.linen.VariationalConv(8, (3, 3), deterministic=True)
      >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 5, 4)))[0].shape
      (2, 5, 5, 8)
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    kernel_dilation: int | Sequence[int] = 1
    feature_group_count: int = 1
    weights: Callable[[jax.Array], NoisyWeights] = variational.additive_weights
    kl: Divergence = variational.kl_log_uniform
    threshold: float | None = 3.0
    threshold_means: bool = False
    use_bias: bool = True
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()

    def key_needed(self) -> bool:
        return True

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self._operands(inputs)
        return variational.noisy_conv(
            key,
            x,
            weights,
            bias=bias,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=self.feature_group_count,
            threshold=_in_training(self),
        )

    def expectation(self, inputs: jax.Array) -> jax.Array:
        x, weights, bias = self._operands(inputs)
        kernel = variational.pruned(weights, self.threshold)
        options = (self.strides, self.padding, self.kernel_dilation, self.feature_group_count)
        return convolve(x, kernel, bias, window_of(x, kernel, *options))

    def _operands(self, inputs: jax.Array) -> tuple[jax.Array, NoisyWeights, jax.Array | None]:
        window = (self.kernel_size,) if isinstance(self.kernel_size, int) else self.kernel_size
        channels = jnp.shape(inputs)[-1] // self.feature_group_count
        return _promoted(self, inputs, _weights(self, "kernel", self.kernel_init, (*window, channels, self.features)))


class VariationalEmbed(StochasticModule):
    """An embedding with learned noise, drawn wherever a token occurs; see `jaxdrop.variational.noisy_embed`.

    The parameters are those of `flax.linen.Embed` and one more; see `VariationalDense`.

    Attributes:
      num_embeddings: Size of the vocabulary.
      features: Features of each token.
      weights: Gives the table its first noise; as in `VariationalDense`.
      kl: Divergence of one weight from its prior.
      threshold: Weights with log alpha at or above it are 0 in prediction; None for none.
      threshold_means: Whether their means are 0 in training too.
      deterministic: Whether to predict.
      rng_collection: Name of the RNG stream that the key comes from.
      dtype: Of the outputs; None for that of the parameters.
      param_dtype: Of the parameters.
      embedding_init: Initializer of the table (num_embeddings, features).

    Examples:
      >>> layer = jaxdrop.linen.VariationalEmbed(100, 8, deterministic=True)
      >>> layer.init_with_output(jax.random.key(0), jnp.array([[3, 1, 3]]))[0].shape
      (1, 3, 8)
    """

    num_embeddings: int
    features: int
    weights: Callable[[jax.Array], NoisyWeights] = variational.additive_weights
    kl: Divergence = variational.kl_log_uniform
    threshold: float | None = 3.0
    threshold_means: bool = False
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    embedding_init: Initializer = default_embed_init

    def key_needed(self) -> bool:
        return True

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        y = variational.noisy_embed(key, inputs, self._table(), threshold=_in_training(self))
        return y if self.dtype is None else y.astype(self.dtype)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        y = jnp.take(variational.pruned(self._table(), self.threshold), inputs, axis=0)
        return y if self.dtype is None else y.astype(self.dtype)

    def _table(self) -> NoisyWeights:
        return _weights(self, "embedding", self.embedding_init, (self.num_embeddings, self.features))


Layer = VariationalDense | VariationalConv | VariationalEmbed


def kl_divergence(state: Mapping[str, Any]) -> jax.Array:
    """The divergence of all layers with learned noise, in nats, from what an `apply` leaves.

    Args:
      state: The second value of `apply(..., mutable=["kl_divergence"])`, or a dictionary of collections with that one.

    Returns:
      A scalar: the sum over all layers of the sums over their weights.

    Raises:
      ValueError: If no layer left anything there.

    Examples:
      >>> layer, x = jaxdrop.linen.VariationalDense(8, deterministic=True), jnp.ones((2, 4))
      >>> variables = layer.init(jax.random.key(0), x)
      >>> _, state = layer.apply(variables, x, mutable=["kl_divergence"])
      >>> bool(jaxdrop.linen.kl_divergence(state) > 0)
      True
    """
    terms: list[jax.Array] = jax.tree.leaves(state.get(COLLECTION, {}))
    if not terms:
        raise ValueError(
            f"state must hold the collection {COLLECTION!r}: apply the model with mutable=[{COLLECTION!r}]."
        )
    first, *others = terms
    return sum(others, start=first)


def _weights(layer: Layer, name: str, init: Initializer, shape: tuple[int, ...]) -> NoisyWeights:
    """Declares means and noise as parameters, leaves their divergence, and returns them."""
    theta = layer.param(name, init, shape, layer.param_dtype)
    first = layer.weights(theta)
    _, noise_name = first._fields
    noise = layer.param(noise_name, lambda _: first[1])
    weights = type(first)(theta, noise)
    if not layer.is_initializing():
        leave_divergence(layer, variational.kl_divergence(weights, layer.kl))
    return weights


def leave_divergence(layer: nn.Module, divergence: jax.Array) -> None:
    """Leaves the divergence of a layer where `kl_divergence` finds it, once if the layer is called twice."""
    layer.sow(COLLECTION, "value", divergence, reduce_fn=lambda _, new: new, init_fn=lambda: jnp.zeros(()))


def _promoted(layer: Any, inputs: jax.Array, weights: NoisyWeights) -> tuple[jax.Array, NoisyWeights, jax.Array | None]:
    """Returns inputs and the bias, which it declares, in the dtype of the computation, and weights as they are.

    What noise drowns is decided on by the parameters, as it is in pruning; the layer converts what is left.
    """
    shape = (layer.features,)
    bias = layer.param("bias", layer.bias_init, shape, layer.param_dtype) if layer.use_bias else None
    x, _, bias = promote_dtype(inputs, weights.theta, bias, dtype=layer.dtype)
    return x, weights, bias


def _in_training(layer: Layer) -> float | None:
    return layer.threshold if layer.threshold_means else None
