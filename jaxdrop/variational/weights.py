r"""Weights with a normal posterior :math:`N(\theta, \alpha\theta^2)` and learned noise, in two parameterizations.

Both know `mean`, `variance` and `log_alpha`, which is all that layers, divergences and pruning ask of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks
from jaxdrop.variational.divergences import Divergence, kl_log_uniform

LOG_ALPHA_RANGE = (-8.0, 8.0)
SHARED = ("layer", "neuron", "weight")


class AdditiveWeights(NamedTuple):
    r"""Weights :math:`\theta + \sigma\epsilon`: sparse variational dropout.

    Attributes:
      theta: Means, of any shape.
      log_sigma2: Logarithms of the variances, of the same shape.

    References:
      Molchanov et al., `Variational dropout sparsifies deep neural networks <https://arxiv.org/abs/1701.05369>`_, 2017,
      section 4.2
    """

    theta: jax.Array
    log_sigma2: jax.Array

    @property
    def mean(self) -> jax.Array:
        """The means."""
        return self.theta

    @property
    def variance(self) -> jax.Array:
        """The variances, in float32 at least."""
        return jnp.exp(self.log_sigma2.astype(_masks.wide(self.log_sigma2.dtype)))

    @property
    def log_alpha(self) -> jax.Array:
        r""":math:`\log\sigma^2 - \log\theta^2`, clipped to [-8, 8], and finite at :math:`\theta = 0`."""
        dtype = _masks.wide(self.theta.dtype)
        # At the least normal number clipping has long begun, so that no gradient meets the infinite slope at 0.
        size = jnp.maximum(jnp.abs(self.theta.astype(dtype)), jnp.finfo(dtype).tiny)
        return jnp.clip(self.log_sigma2.astype(dtype) - 2 * jnp.log(size), *LOG_ALPHA_RANGE)


class MultiplicativeWeights(NamedTuple):
    r"""Weights :math:`\theta(1 + \sqrt\alpha\,\epsilon)`, independent of each other: variational dropout of type B.

    Attributes:
      theta: Means, of any shape.
      log_rate: :math:`\log\alpha`, an array that broadcasts against the means: () for a rate of the layer, (out,) for
        one of each neuron, or one of each weight. Values above 0 count as 0: :math:`\alpha` is at most 1.

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, section 3.2
    """

    theta: jax.Array
    log_rate: jax.Array

    @property
    def mean(self) -> jax.Array:
        """The means."""
        return self.theta

    @property
    def variance(self) -> jax.Array:
        """The variances, in float32 at least."""
        dtype = jnp.promote_types(_masks.wide(self.theta.dtype), self.log_alpha.dtype)
        return jnp.square(self.theta.astype(dtype)) * jnp.exp(self.log_alpha.astype(dtype))

    @property
    def log_alpha(self) -> jax.Array:
        r""":math:`\log\alpha` of each weight, clipped to [-8, 0], in float32 at least."""
        rate = jnp.clip(self.log_rate.astype(_masks.wide(self.log_rate.dtype)), LOG_ALPHA_RANGE[0], 0)
        # Every weight has its own entry, so that a sum counts a shared rate as often as it is used.
        return jnp.broadcast_to(rate, self.theta.shape)


NoisyWeights = AdditiveWeights | MultiplicativeWeights
Initializer = Callable[..., jax.Array]


def additive_weights(theta: jax.typing.ArrayLike, log_sigma2: float = -10.0) -> AdditiveWeights:
    """Gives weights their first noise, the same variance for all.

    Args:
      theta: Means, a real floating-point array; of a trained network, or fresh.
      log_sigma2: Logarithm of the variance. The authors' code starts at -10.

    Raises:
      TypeError: If `theta` is not real floating point.
      ValueError: If `log_sigma2` is not finite.

    Examples:
      >>> weights = jaxdrop.variational.additive_weights(jnp.array([1.0, 0.0]))
      >>> weights.log_alpha
      Array([-8.,  8.], dtype=float32)
    """
    theta = _checks.real("theta", theta)
    _checks.finite("log_sigma2", log_sigma2)
    return AdditiveWeights(theta, jnp.full_like(theta, log_sigma2))


def multiplicative_weights(
    theta: jax.typing.ArrayLike, log_alpha: float = -3.0, *, shared: Literal["layer", "neuron", "weight"] = "neuron"
) -> MultiplicativeWeights:
    """Gives weights their first noise, in proportion to their means.

    Args:
      theta: Means (..., out), a real floating-point array.
      log_alpha: Logarithm of the variance of the factor; at most 0.
      shared: Whether all weights of the layer, or those of each output, have one rate, or each has its own.

    Raises:
      TypeError: If `theta` is not real floating point.
      ValueError: If `log_alpha` is not finite or above 0, or `shared` is unknown.

    Examples:
      >>> jaxdrop.variational.multiplicative_weights(jnp.ones((3, 2))).log_rate
      Array([-3., -3.], dtype=float32)
    """
    theta = _checks.real("theta", theta)
    _checks.finite("log_alpha", log_alpha)
    if log_alpha > 0:
        raise ValueError(f"log_alpha must be at most 0, got {log_alpha}.")
    _checks.one_of("shared", shared, SHARED)
    shape = {"layer": (), "neuron": theta.shape[-1:], "weight": theta.shape}[shared]
    return MultiplicativeWeights(theta, jnp.full(shape, log_alpha, theta.dtype))


def kl_divergence(weights: Any, kl: Divergence = kl_log_uniform) -> jax.Array:
    """The divergence of all weights from their prior, in nats.

    Args:
      weights: A pytree with `AdditiveWeights` and `MultiplicativeWeights` in it; everything else is ignored.
      kl: The divergence of one weight: `kl_log_uniform`, `kl_log_uniform_exact`, `kl_ard` or `kl_kingma`.

    Returns:
      A scalar: the sum over all weights, of which those that share a rate count each.

    Raises:
      ValueError: If there are no such weights.

    Examples:
      >>> weights = jaxdrop.variational.multiplicative_weights(jnp.ones((10, 10)), 0.0, shared="layer")
      >>> kl = jaxdrop.variational.kl_divergence({"dense": weights}, jaxdrop.variational.kl_ard)  # 100 log(2) / 2
      >>> round(float(kl), 3)
      34.657
    """
    found = noisy_leaves(weights)
    if not found:
        raise ValueError("weights must hold AdditiveWeights or MultiplicativeWeights, got none.")
    first, *others = (kl(leaf.log_alpha).sum() for leaf in found)
    return sum(others, start=first)


def noisy_leaves(weights: Any) -> Sequence[NoisyWeights]:
    """The noisy weights of a pytree."""
    leaves = jax.tree.leaves(weights, is_leaf=lambda leaf: isinstance(leaf, NoisyWeights))
    return [leaf for leaf in leaves if isinstance(leaf, NoisyWeights)]


def pruned(weights: NoisyWeights, threshold: float | jax.Array | None = 3.0) -> jax.Array:
    r"""The means of the weights, but exact zeros where noise drowns them: what a network predicts with.

    Args:
      weights: Noisy weights.
      threshold: Weights with :math:`\log\alpha` at or above it become 0; 3, the authors' choice, is a
        rate of dropping of 0.95. None keeps all.

    Examples:
      >>> weights = jaxdrop.variational.AdditiveWeights(jnp.array([1.0, 0.1]), jnp.array([0.0, 0.0]))
      >>> jaxdrop.variational.pruned(weights)
      Array([1., 0.], dtype=float32)
    """
    if threshold is None:
        return weights.mean
    return jnp.where(weights.log_alpha >= threshold, 0, weights.mean)
