"""Checks of weights, and of the parameters of a model."""

from collections.abc import Sequence

import jax

from jaxdrop._checks.arrays import real
from jaxdrop._checks.numeric import at_least


def weights(
    kernel: jax.typing.ArrayLike, bias: jax.typing.ArrayLike | None, x: jax.Array, ranks: Sequence[int], groups: int = 1
) -> tuple[jax.Array, jax.Array | None]:
    """Returns a kernel (..., in / groups, out), of one of the `ranks`, and a bias (out,) or None as arrays.

    Raises unless they fit each other and the `groups` of the last axis of `x`.
    """
    array = real("kernel", kernel)
    if array.ndim not in ranks:
        raise ValueError(f"kernel must have {' or '.join(map(str, ranks))} axes, got shape {array.shape}.")
    at_least("feature_group_count", groups, 1)
    if x.ndim < array.ndim - 1 or x.shape[-1] != array.shape[-2] * groups or array.shape[-1] % groups:
        raise ValueError(
            "kernel must be (..., in / groups, out) for x (..., in), in and out multiples of the groups, got shapes"
            f" {array.shape} and {x.shape} and {groups} groups."
        )
    if bias is None:
        return array, None
    offset = real("bias", bias)
    if offset.shape != array.shape[-1:]:
        raise ValueError(f"bias must have shape {array.shape[-1:]}, got {offset.shape}.")
    return array, offset


def kernel(name: str, value: jax.typing.ArrayLike) -> jax.Array:
    """Returns `value` as an array; raises unless it is real floating point of two or more axes."""
    array = real(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name} must have 2 or more axes, got shape {array.shape}.")
    return array


def kernel_of_layer(layer: object, kernel: jax.Array | None) -> jax.Array:
    """Returns the kernel of a layer; raises if it has none."""
    if kernel is None:
        raise ValueError(
            f"layer must have a parameter 'kernel' (..., in, out), as Dense and Conv have, got {type(layer).__name__}."
        )
    return kernel


def params_given(params: object) -> None:
    """Raises what optax does where a transformation needs `params` and gets None."""
    if params is None:
        raise ValueError(
            "You are using a transformation that requires the current value of parameters, but you are not passing"
            " `params` when calling `update`."
        )


def some_chosen(name: str, chosen: Sequence[bool], paths: Sequence[Sequence[str]]) -> None:
    """Raises if a predicate on paths chooses none of them."""
    if not any(chosen):
        raise ValueError(f"{name} must choose at least one leaf, got none of {', '.join(map('/'.join, paths))}.")
