"""The entries of a kernel that are not zero, as coordinates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Nonzeros(NamedTuple):
    """The entries of a kernel that are not zero: `data` (number,) and their `indices` (number, 2)."""

    data: jax.Array
    indices: jax.Array


def nonzeros(kernel: jax.Array, max_density: float) -> Nonzeros | None:
    """The entries of a kernel (in, out) that are not zero, None if they are more than this share."""
    rows, columns = np.nonzero(np.asarray(kernel))
    if len(rows) > max_density * kernel.size:
        return None
    return Nonzeros(kernel[rows, columns], jnp.asarray(np.stack([rows, columns], 1), jnp.int32))
