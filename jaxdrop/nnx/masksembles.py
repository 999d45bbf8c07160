"""Masksembles as an nnx module."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdrop import functional


class Masks(nnx.Variable):
    """The masks of a `Masksembles` layer, which are not trained."""


class Masksembles(nnx.Module):
    """Shows each part of a batch to the sub-network behind a fixed mask; see `jaxdrop.masksembles`.

    Args:
      features: How many features there are.
      num_masks: How many masks, and parts of a batch.
      scale: How far the masks are apart, from 1 (not at all) to 6.
      seed: Of the masks. Layers of one network may have the same: mask by mask they make one sub-network.

    Examples:
      >>> layer = jaxdrop.nnx.Masksembles(64, num_masks=4, scale=2.0)
      >>> layer(jnp.ones((8, 64))).shape
      (8, 64)
    """

    def __init__(self, features: int, num_masks: int, scale: float, *, seed: int = 0):
        self.masks = Masks(jnp.asarray(functional.masksembles_masks(features, num_masks, scale, seed=seed)))

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies the masks to `inputs`, (batch, ..., features).

        Raises:
          ValueError: For the conditions of `jaxdrop.masksembles`.
        """
        return functional.masksembles(inputs, self.masks[...])
