"""LayerDrop: skipping whole layers of a stack."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
from jax import lax

from jaxdrop import _bits, _checks, _masks

Activations = TypeVar("Activations")


def layer_drop(
    key: jax.Array | None,
    layer: Callable[[Activations], Activations],
    x: Activations,
    rate: jax.typing.ArrayLike,
) -> Activations:
    r"""Applies a layer, or skips it with probability `rate`.

    .. math:: y = \begin{cases} x & \text{with probability } p \\ f(x) & \text{otherwise} \end{cases}

    One decision for the whole batch, by `jax.lax.cond`: a skipped layer is not computed, forward or backward, also
    inside `jax.lax.scan` over the layers. (Under `jax.vmap` over keys both are computed and one is selected.) The layer
    contains its own residual connection; nothing is rescaled, in training or at prediction, where the layer is always
    applied, or never if it has been pruned: `kept_layers` says which to keep.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1: None will do.
      layer: Function from `x` to the same structure, shapes and dtypes.
      x: Pytree of arrays.
      rate: Probability :math:`p` of skipping; a number in [0, 1] or a scalar array, traced or not. No gradient flows
        into it.

    Returns:
      `layer(x)` or `x`.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, or an array rate is not a scalar.
      TypeError: If `layer` returns another structure, `rate` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> layer_keys = jax.random.split(jax.random.key(0), 12)
      >>> x = jnp.zeros(())
      >>> for key in layer_keys:
      ...     x = jaxdrop.layer_drop(key, lambda x: x + 1, x, 0.5)  # counts the layers that ran
      >>> 0 < int(x) < 12
      True

    References:
      Fan et al., `Reducing Transformer depth on demand <https://arxiv.org/abs/1909.11556>`_, 2019
    """
    static_rate = _checks.static_rate("rate", rate)
    if static_rate == 0:
        return layer(x)
    if static_rate == 1:
        return x
    return lax.cond(layer_runs(key, rate), layer, lambda x: x, x)


def layer_runs(key: jax.Array | None, rate: jax.typing.ArrayLike) -> jax.Array:
    """Draws whether a layer runs: a boolean scalar, for flax's own lifted `cond`."""
    key = _checks.prng_key("key", key)
    _bits.mark_used(key)
    bits = _checks.random_bits(None, _checks.static_rate("rate", rate))
    return _masks.keep_mask(key, (), rate, bits=bits).mask


def kept_layers(num_layers: int, rate: float) -> list[int]:
    r"""Says which layers of a stack to keep when a part `rate` of them is pruned: the "every other" rule.

    Layer :math:`d = 1, 2, \dots` goes if :math:`d \equiv 0 \pmod{\lfloor 1 / p \rfloor}`. To prune to `n` of `N`
    layers, the paper trains with `layer_drop` at rate :math:`1 - n / N`.

    Args:
      num_layers: Layers of the stack.
      rate: Part :math:`p` to prune, in [0, 1/2]: beyond, the rule would leave no layer.

    Returns:
      Numbers of the layers to keep, from 0.

    Raises:
      ValueError: If `num_layers` is below 1 or `rate` outside [0, 1/2].

    Examples:
      >>> jaxdrop.kept_layers(12, 0.5)
      [0, 2, 4, 6, 8, 10]

    References:
      Fan et al., `Reducing Transformer depth on demand <https://arxiv.org/abs/1909.11556>`_, 2019
    """
    _checks.at_least("num_layers", num_layers, 1)
    _checks.static_rate("rate", rate)
    if not rate <= 0.5:
        raise ValueError(f"rate must be at most 0.5, got {rate!r}.")
    every = math.floor(1 / rate * (1 + 1e-6)) if rate > 0 else num_layers + 1  # 1 - 8 / 12 is not quite a third
    return [layer for layer in range(num_layers) if (layer + 1) % every]
