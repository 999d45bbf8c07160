"""Masksembles as a linen module."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdrop import functional


class Masksembles(nn.Module):
    """Shows each part of a batch to the sub-network behind a fixed mask; see `jaxdrop.masksembles`.

    The masks are made when variables are, and stored in the collection `masks`.

    Attributes:
      num_masks: How many masks, and parts of a batch.
      scale: How far the masks are apart, from 1 (not at all) to 6.
      seed: Of the masks. Layers of one network may have the same: mask by mask they make one sub-network.

    Examples:
      >>> layer, x = jaxdrop.linen.Masksembles(num_masks=4, scale=2.0), jnp.ones((8, 64))
      >>> variables = layer.init(jax.random.key(0), x)
      >>> layer.apply(variables, x).shape, variables["masks"]["masks"].shape
      ((8, 64), (4, 64))
    """

    num_masks: int
    scale: float
    seed: int = 0

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies the masks to `inputs`, (batch, ..., features).

        Raises:
          ValueError: For the conditions of `jaxdrop.masksembles_masks` and `jaxdrop.masksembles`.
        """
        masks = self.variable(
            "masks",
            "masks",
            lambda: jnp.asarray(
                functional.masksembles_masks(inputs.shape[-1], self.num_masks, self.scale, seed=self.seed)
            ),
        )
        return functional.masksembles(inputs, masks.value)
