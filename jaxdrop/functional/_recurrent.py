"""What the wrappers of recurrent cells share in linen and nnx."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks
from jaxdrop.functional.dropout import dropout
from jaxdrop.functional.zoneout import zoneout, zoneout_expectation

Masks = dict[str, jax.Array]


def sequence_masks(
    key: jax.Array | None,
    rates: Sequence[jax.typing.ArrayLike],
    shapes: Sequence[tuple[int, ...]],
    layers: Sequence[Sequence[Sequence[str]]],
    dtype: jax.typing.DTypeLike,
    bits: int | None,
) -> Masks:
    """Draws masks, divided by the probability of keeping, for what layers are given: the state, then the inputs.

    Args:
      key: PRNG key; None where no rate needs one.
      rates: Rate of state and inputs.
      shapes: Shape of state and inputs.
      layers: Names of layers on state and inputs, in groups that share a mask.
      dtype: Of the states; masks have float32 at least.
      bits: As in `jaxdrop.dropout`.

    Returns:
      The mask of each layer by name; none for those whose rate is 0.
    """
    keys = (None, None) if key is None else tuple(jax.random.split(key))
    masks: Masks = {}
    for key, rate, shape, groups in zip(keys, rates, shapes, layers, strict=True):
        if _checks.static_rate("rate", rate) != 0:
            drawn = dropout(key, jnp.ones((len(groups), *shape), _masks.wide(dtype)), rate, bits=bits)
            masks |= {name: mask for names, mask in zip(groups, drawn, strict=True) for name in names}
    return masks


def times(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns `x` under a mask, if there is one."""
    if mask is None:
        return x
    dtype = _masks.wide(x.dtype)
    return (x.astype(dtype) * mask.astype(dtype)).astype(x.dtype)


def mixed_states(
    key: jax.Array | None,
    new: Any,
    old: Any,
    rates: Sequence[jax.typing.ArrayLike],
    *,
    deterministic: bool,
    bits: int | None,
) -> tuple[Any, jax.Array]:
    """Returns a cell's state after zoneout of each of its parts at a rate of its own, and the last part, its output."""
    states = zip(jax.tree.leaves(new), jax.tree.leaves(old), rates, strict=True)
    if deterministic:
        mixed = [zoneout_expectation(*state, bits=bits) for state in states]
    else:
        keys = [None] * len(rates) if key is None else jax.random.split(key, len(rates))
        mixed = [zoneout(key, *state, bits=bits) for key, state in zip(keys, states, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(new), mixed), mixed[-1]


@contextlib.contextmanager
def first_activation(cell: Any, then: Callable[[jax.Array], jax.Array]) -> Iterator[None]:
    """Puts `then` behind the first activation function of a call: in flax's gated cells it makes the candidate."""
    activation_fn, candidates = cell.activation_fn, [then]

    def activate(x: jax.Array) -> jax.Array:
        return candidates.pop()(activation_fn(x)) if candidates else activation_fn(x)

    object.__setattr__(cell, "activation_fn", activate)  # a linen module, which is `apply`'s own copy, is frozen
    try:
        yield
    finally:
        object.__setattr__(cell, "activation_fn", activation_fn)
