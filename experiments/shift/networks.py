"""Wide residual networks with dropout in two places."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

# Of the brightness of all training pictures, red, green and blue.
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(1, 1, 1, 3)
DEVIATION = np.array([0.2470, 0.2435, 0.2616], np.float32).reshape(1, 1, 1, 3)


class WideResNet(nn.Module):
    """A wide residual network for pictures (batch, height, width, 3) of bytes -> logits (batch, 10).

    Dropout is in the middle of the residual branches, as in uncertainty-baselines, or after every layer: after the
    first convolution, before each convolution of a branch, at its end and at that of a shortcut.

    Attributes:
      depth: Convolutions, 6 n + 4.
      width: Multiple of the 16, 32 and 64 channels.
      stride: Of the first convolution; 2 takes a quarter of the time, and is not in the paper.
      noise: Makes a dropout layer; None for none at all.
      everywhere: Whether there is one after every layer.
      train: Whether batches are normalised by their own statistics.

    References:
      Zagoruyko and Komodakis, `Wide Residual Networks <https://arxiv.org/abs/1605.07146>`_, 2016
    """

    depth: int
    width: int
    stride: int = 1
    noise: Callable[[], nn.Module] | None = None
    everywhere: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of the ten classes."""
        x = (images.astype(jnp.float32) / 255 - MEAN) / DEVIATION
        x = self._convolve(x, 16, 3, self.stride)
        x = self._drop(x, everywhere=True)
        for channels, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range((self.depth - 4) // 6):
                x = self._block(x, channels * self.width, stride if block == 0 else 1)
        x = self._normalise(x).mean((1, 2))
        return nn.Dense(10, kernel_init=nn.initializers.he_normal())(x)

    def _block(self, x: jax.Array, channels: int, stride: int) -> jax.Array:
        branch = self._drop(self._normalise(x), everywhere=True)
        branch = self._drop(self._convolve(branch, channels, 3, stride), everywhere=False)
        branch = self._drop(self._normalise(branch), everywhere=True)
        branch = self._drop(self._convolve(branch, channels, 3, 1), everywhere=True)
        if x.shape != branch.shape:
            x = self._drop(self._convolve(x, channels, 1, stride), everywhere=True)
        return x + branch

    def _drop(self, x: jax.Array, *, everywhere: bool) -> jax.Array:
        """Drops in a place that is for dropout after every layer, or for the other kind."""
        return self.noise()(x) if self.noise and everywhere == self.everywhere else x

    def _normalise(self, x: jax.Array) -> jax.Array:
        return nn.relu(nn.BatchNorm(use_running_average=not self.train, momentum=0.9)(x))

    def _convolve(self, x: jax.Array, channels: int, size: int, stride: int) -> jax.Array:
        conv = partial(nn.Conv, use_bias=False, kernel_init=nn.initializers.he_normal())
        return conv(channels, (size, size), stride)(x)
