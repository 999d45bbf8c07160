"""Types under `jax.shard_map`."""

from typing import Any

import jax
from jax import lax


def varying_with(x: jax.Array, *others: Any) -> jax.Array:
    """Returns `x` as it is, of a type that differs from shard to shard along every mesh axis along which another does.

    What a loop carries must have the type at the start that it has in the end. Outside `jax.shard_map` nothing changes.

    Args:
      x: The value.
      *others: What it is going to be combined with: arrays, keys, or their shapes by `jax.ShapeDtypeStruct`.
    """
    axes = frozenset[str]().union(*map(_axes, others)) - _axes(x)
    return lax.pcast(x, tuple(sorted(axes)), to="varying") if axes else x


def _axes(x: Any) -> frozenset[str]:
    kind = x.manual_axis_type if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x).manual_axis_type
    return frozenset() if kind is None else kind.varying
