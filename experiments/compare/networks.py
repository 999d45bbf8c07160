"""The two networks that methods are compared on: a multilayer perceptron and a small residual network."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

Layer = Callable[[jax.Array], jax.Array]


def unchanged(x: jax.Array) -> jax.Array:
    """The layer of a network without noise."""
    return x


def dense(width: int) -> Layer:
    """A dense layer of ReLUs."""
    return nn.Sequential([nn.Dense(width, kernel_init=nn.initializers.he_normal()), nn.relu])


class Places(NamedTuple):
    """What stands in the places of a network where methods differ.

    Attributes:
      inputs: Layer on the images.
      hidden: Layer on the units of a hidden layer, or on the feature maps of a residual block's output.
      branch: Block number, from 0 -> layer on a residual branch before it is added.
      dense: Width -> hidden layer of the perceptron.
    """

    inputs: Layer = unchanged
    hidden: Layer = unchanged
    branch: Callable[[int], Layer] = lambda block: unchanged
    dense: Callable[[int], Layer] = dense


class MLP(nn.Module):
    """Hidden layers of ReLUs, (batch, height, width) -> logits (batch, 10).

    Attributes:
      widths: Units of each hidden layer.
      places: What the method puts where.
    """

    widths: Sequence[int]
    places: Places

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of the ten classes."""
        x = self.places.inputs(images.reshape(len(images), -1))
        for width in self.widths:
            x = self.places.hidden(self.places.dense(width)(x))
        return nn.Dense(10)(x)


class ResNet(nn.Module):
    """Residual blocks of two 3x3 convolutions with batch normalisation, (batch, height, width) -> logits (batch, 10).

    A strided convolution comes first; each block but the first halves the maps again.

    Attributes:
      widths: Channels of each block.
      places: What the method puts where. As the DropBlock paper does, the last two blocks have it on their outputs.
      train: Whether batches are normalised by their own statistics.
    """

    widths: Sequence[int]
    places: Places
    train: bool

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of the ten classes."""

        def normalise(x: jax.Array) -> jax.Array:
            return nn.BatchNorm(use_running_average=not self.train, momentum=0.9)(x)

        def convolution(x: jax.Array, width: int, stride: int) -> jax.Array:
            return nn.Conv(width, (3, 3), stride, use_bias=False, conv_general_dilated=convolve)(x)

        x = nn.relu(normalise(convolution(self.places.inputs(images[..., None]), self.widths[0], 2)))
        for block, width in enumerate(self.widths):
            stride = 1 if block == 0 else 2
            branch = nn.relu(normalise(convolution(x, width, stride)))
            branch = normalise(convolution(branch, width, 1))
            if stride > 1:
                x = normalise(nn.Dense(width, use_bias=False)(x[:, ::stride, ::stride]))
            x = nn.relu(x + self.places.branch(block)(branch))
            if block >= len(self.widths) - 2:
                x = self.places.hidden(x)
        return nn.Dense(10)(x.mean((1, 2)))


def convolve(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, *args: Any, **kwargs: Any
) -> jax.Array:
    """A 3x3 convolution with padding as nine matrix products, for `flax.linen.Conv`.

    Several networks side by side make `lax.conv_general_dilated` a grouped convolution, which XLA runs at a quarter of
    this speed on CPU.
    """
    height, width = x.shape[1:3]
    # As padding="SAME" has it: the output's size is rounded up, and what is odd goes to the end.
    pads = [(max(0, (-(-size // s) - 1) * s + 3 - size)) for size, s in zip((height, width), strides, strict=True)]
    x = jnp.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))

    def tap(row: int, column: int) -> jax.Array:
        bottom, right = (start + x.shape[axis] - 2 for start, axis in ((row, 1), (column, 2)))
        return x[:, row : bottom : strides[0], column : right : strides[1]] @ kernel[row, column]

    return sum((tap(row, column) for row in range(3) for column in range(3)), start=jnp.zeros((), x.dtype))
