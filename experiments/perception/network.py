"""A small U-Net whose every level but the first has noise on its feature maps."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

CLASSES = 11  # the background and ten digits


class UNet(nn.Module):
    """A U-Net without normalisation, images (batch, height, width) -> logits of each pixel (batch, height, width, 11).

    Two 3x3 convolutions of ReLUs make a block. Maps are halved from block to block, then doubled again, each time
    joined by the maps of the same size from the way down.

    Attributes:
      widths: Channels of each level; height and width must be divisible by 2 to the number of levels less one.
      noise: Makes the layer behind each block of half the images' size or smaller.
    """

    widths: Sequence[int]
    noise: Callable[[], nn.Module]

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of each pixel."""
        x, passed_on = images[..., None], []
        for level, width in enumerate(self.widths):
            if level:
                x = nn.max_pool(x, (2, 2), (2, 2))
            x = self._block(x, width)
            # Not on maps of full size: they are next to the outputs, where noise of a channel is noise of a class.
            x = self.noise()(x) if level else x
            passed_on.append(x)
        for level in range(len(self.widths) - 2, -1, -1):
            x = self._block(jnp.concatenate([doubled(x), passed_on[level]], -1), self.widths[level])
            x = self.noise()(x) if level else x
        return nn.Conv(CLASSES, (1, 1))(x)

    def probabilities(self, images: jax.Array) -> jax.Array:
        """Class probabilities of each pixel."""
        return nn.softmax(self(images))

    def _block(self, x: jax.Array, width: int) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Conv(width, (3, 3), kernel_init=nn.initializers.he_normal())(x))
        return x


def doubled(x: jax.Array) -> jax.Array:
    """Each entry four times: (batch, height, width, channels) -> (batch, 2 height, 2 width, channels)."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)
