"""A model, its parameters and its inputs as one function of a key."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from jaxdrop.inference._propagation.equations import CALLS, inner


@jax.tree_util.register_pytree_node_class
class Sampler:
    """A function from a PRNG key to one draw of a model's outputs.

    It is a pytree whose leaves are the arrays that the model reads. Two samplers of the same model on inputs of the
    same shapes therefore share one compiled program: predicting batch after batch compiles once.

    Attributes:
      apply: Hashable function `(arrays, key) -> outputs`; what does not change between batches.
      arrays: Pytree of arrays; what does.
    """

    def __init__(self, apply: Hashable, arrays: Any):
        self.apply = apply
        self.arrays = arrays

    def __call__(self, key: jax.Array) -> Any:
        """Draws the outputs once.

        Raises:
          ValueError: If the outputs do not depend on the key, so that every draw would be the same.
        """
        return _draw(self, key)

    def tree_flatten(self):
        return (self.arrays,), self.apply

    @classmethod
    def tree_unflatten(cls, apply, children):
        return cls(apply, *children)


class OneFunction(NamedTuple):
    """An `apply` of `Sampler`, for each example by itself: all see the same masks, and a draw is one function."""

    apply: Any

    def __call__(self, arrays: tuple[Any, list[jax.Array]], key: jax.Array) -> Any:
        """Draws the outputs once; every array but a scalar has the examples along its first axis."""
        parameters, inputs = arrays
        axes = [0 if np.ndim(x) else None for x in inputs]
        if not any(axis == 0 for axis in axes):
            raise ValueError("share_masks must be False for a model without arrays of examples, got True.")

        def one(inputs: list[jax.Array]) -> Any:
            batch = [x if axis is None else x[None] for x, axis in zip(inputs, axes, strict=True)]
            return jax.tree.map(lambda y: y[0], self.apply((parameters, batch), key))

        return jax.vmap(one, (axes,))(inputs)


@jax.jit
def _draw(sampler: Sampler, key: jax.Array) -> Any:
    apply: Callable[[Any, jax.Array], Any] = sampler.apply  # pyright: ignore[reportAssignmentType]
    jaxpr, shapes = jax.make_jaxpr(lambda key: apply(sampler.arrays, key), return_shape=True)(key)
    if not _read(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars))[0]:
        raise ValueError(
            "model must have a stochastic layer that runs with a rate other than 0, got one whose outputs do not"
            " depend on the key: every sample would be the same. Are all rates 0, or does the model skip its dropout"
            " layers unless it is called with, say, train=True?"
        )
    return jax.tree.unflatten(jax.tree.structure(shapes), core.jaxpr_as_fun(jaxpr)(key))


def _read(jaxpr: core.Jaxpr, wanted: Sequence[bool]) -> list[bool]:
    """Which inputs the wanted results of a program depend on; each equation but a call reads all that it is given."""
    live = {v for v, yes in zip(jaxpr.outvars, wanted, strict=True) if yes and isinstance(v, core.Var)}
    for equation in reversed(jaxpr.eqns):
        needed = [v in live for v in equation.outvars]
        if any(needed):
            programs = inner(equation) if equation.primitive.name in CALLS else []
            reads = _read(programs[0], needed) if programs else [True] * len(equation.invars)
            live.update(v for v, yes in zip(equation.invars, reads, strict=True) if yes and isinstance(v, core.Var))
    return [v in live for v in jaxpr.invars]


class Static(NamedTuple):
    """A value that `jax.jit` compares, by equality where it is hashable and else by identity."""

    value: Any

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:
            return id(self.value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static):
            return NotImplemented
        if self.value is other.value:
            return True
        try:
            return hash(self.value) == hash(other.value) and bool(self.value == other.value)
        except TypeError:
            return False


class Arguments(NamedTuple):
    """The parts of call arguments that are not arrays, such as `train=False`, and the structure of the whole."""

    structure: Hashable
    rest: Static

    def merge(self, arrays: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Puts arrays and the rest together again: `(args, kwargs)`."""
        given = iter(arrays)
        leaves = [next(given) if is_array else leaf for is_array, leaf, _ in self.rest.value]
        return jax.tree.unflatten(self.structure, leaves)  # pyright: ignore[reportArgumentType]


def split_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Arguments]:
    """Splits call arguments into the arrays in them, which may be traced, and the rest, which may not."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    is_array = [_is_array(leaf) for leaf in leaves]
    arrays = [leaf for leaf, yes in zip(leaves, is_array, strict=True) if yes]
    rest = tuple(
        (True, None, None) if yes else (False, leaf, _kind(leaf)) for leaf, yes in zip(leaves, is_array, strict=True)
    )
    return arrays, Arguments(structure, Static(rest))


def _is_array(leaf: Any) -> bool:
    """Whether this may be traced; a boolean of NumPy is a flag, which a model may branch on."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic) and not isinstance(leaf, np.bool_)


def _kind(leaf: Any) -> Hashable:
    """Tells apart what is equal and yet makes other programs: True and 1, 0.0 and -0.0."""
    return type(leaf), repr(leaf) if isinstance(leaf, float) else None
