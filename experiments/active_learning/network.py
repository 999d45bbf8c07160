"""The network of the authors of BatchBALD for MNIST."""

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxdrop.linen

RATE = 0.5
# Of all pixels of the training images, as everybody has them.
MEAN, DEVIATION = 0.1307, 0.3081

# What the authors' framework starts from: uniform, of a third of the variance that LeCun's initializer has.
_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Network(nn.Module):
    """Two convolutions and two dense layers, images (batch, 28, 28) -> logits (batch, 10).

    The authors drop channels before they pool and rectify. A mask that is the same within a channel, and not negative,
    may as well come after both: the outputs are the same, and there is a quarter as much to multiply.
    """

    train: bool = False

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of the ten classes."""
        x = ((images - MEAN) / DEVIATION)[..., None]
        for channels in (32, 64):
            x = nn.relu(_pool(nn.Conv(channels, (5, 5), padding="VALID", kernel_init=_INIT)(x)))
            x = jaxdrop.linen.SpatialDropout(RATE, deterministic=not self.train)(x)
        x = nn.relu(nn.Dense(128, kernel_init=_INIT)(x.reshape(len(x), -1)))
        x = jaxdrop.linen.Dropout(RATE, deterministic=not self.train)(x)
        return nn.Dense(10, kernel_init=_INIT)(x)


def _pool(x: jax.Array) -> jax.Array:
    """Maxima of 2 x 2 positions; on a CPU its gradient takes a sixth of the time of `nn.max_pool`'s."""
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])
