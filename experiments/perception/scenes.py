"""Scenes of handwritten digits in noise, with the class of each pixel, and maybe an object of a kind never seen."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.common.data import Examples

INK = 0.3  # from which brightness on a pixel of an object's picture belongs to the object
CONTRAST = (0.5, 1.0)  # of an object against the background, from and to
NOISE = 0.1  # standard deviation of the camera's noise
MARGIN = 7  # a seventh of MNIST's pictures is empty at each side, and may be outside the scene


class Scenes(NamedTuple):
    """Pictures and what is on each of their pixels.

    Attributes:
      images: Brightness from 0 to 1, (scenes, size, size), float32.
      labels: 0 for the background and 1 + c for a digit c, (scenes, size, size), int32; 0 where `unseen`.
      unseen: Where an object is of none of these classes, (scenes, size, size), bool.
    """

    images: jax.Array
    labels: jax.Array
    unseen: jax.Array


def shrunk(pictures: np.ndarray, factor: int) -> np.ndarray:
    """Averages over squares of `factor` x `factor` pixels; (examples, height, width), both divisible by it."""
    number, height, width = pictures.shape
    return pictures.reshape(number, height // factor, factor, width // factor, factor).mean((2, 4))


def compose(
    key: jax.Array, digits: Examples, number: int, size: int, objects: tuple[int, int], unseen: np.ndarray | None = None
) -> Scenes:
    """Puts digits at random into scenes, each over those before it.

    With and without objects of an unseen kind, scenes are the same in all other respects.

    Args:
      key: PRNG key.
      digits: To choose from, at random and with replacement; their pictures are square.
      number: Number of scenes.
      size: Side of a scene in pixels, at least that of a digit's picture.
      objects: Fewest and most digits in a scene.
      unseen: Pictures of unseen objects, (examples, side, side) of the digits' size, of which one comes last into each
        scene; or None.

    Returns:
      The scenes.
    """
    pictures, classes = jnp.asarray(digits.images), jnp.asarray(digits.labels)
    others = None if unseen is None else jnp.asarray(unseen)
    fewest, most = objects

    def scene(key: jax.Array) -> Scenes:
        count_key, digits_key, unseen_key, noise_key = jax.random.split(key, 4)
        count = jax.random.randint(count_key, (), fewest, most + 1)
        image, labels = jnp.zeros((size, size)), jnp.zeros((size, size), jnp.int32)
        for place, key in enumerate(jax.random.split(digits_key, most)):
            which, opacity, contrast = _thrown(key, pictures, size)
            opacity = jnp.where(place < count, opacity, 0)
            image = opacity * contrast + (1 - opacity) * image
            labels = jnp.where(opacity > INK, 1 + classes[which], labels)
        covered = jnp.zeros((size, size), bool)
        if others is not None:
            _, opacity, contrast = _thrown(unseen_key, others, size)
            image = opacity * contrast + (1 - opacity) * image
            covered = opacity > INK
        image = image + NOISE * jax.random.normal(noise_key, image.shape)
        return Scenes(jnp.clip(image, 0, 1), jnp.where(covered, 0, labels), covered)

    return jax.jit(lambda keys: lax.map(scene, keys))(jax.random.split(key, number))


def _thrown(key: jax.Array, pictures: jax.Array, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One of the pictures at a random place of an empty scene: its number, its opacity (size, size), its contrast."""
    which_key, place_key, contrast_key = jax.random.split(key, 3)
    which = jax.random.randint(which_key, (), 0, len(pictures))
    side = pictures.shape[-1]
    margin = side // MARGIN
    row, column = jax.random.randint(place_key, (2,), 0, size + 2 * margin - side + 1)
    wide = jnp.zeros((size + 2 * margin,) * 2)
    wide = lax.dynamic_update_slice(wide, pictures[which], (row, column))
    low, high = CONTRAST
    contrast = jax.random.uniform(contrast_key, minval=low, maxval=high)
    return which, wide[margin : margin + size, margin : margin + size], contrast
