"""Compiling what works on a callable that draws samples."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import jax


def jit_with_sample(function: Callable[..., Any], static_argnums: int) -> Callable[..., Any]:
    """`jax.jit` of a function whose first argument is a callable from a key to outputs.

    A pytree, as the samplers are, is an argument like any other. For another callable there is a program of its own,
    which holds all that the callable closes over. It is found again for the same object, and goes when that goes: as a
    static argument, jax would keep it, with the parameters of each epoch of a training loop.
    """
    for_pytrees = jax.jit(function, static_argnums=static_argnums)
    programs: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()

    def program(sample: Callable[[jax.Array], Any]) -> Callable[..., Any]:
        try:
            found, reference = programs.get(sample), weakref.ref(sample)
        except TypeError:  # without a hash, or without room for a reference: nothing to find it by
            return jax.jit(functools.partial(function, sample), static_argnums=static_argnums - 1)
        if found is None:
            found = programs[sample] = jax.jit(
                lambda *args: function(reference(), *args), static_argnums=static_argnums - 1
            )
        return found

    @functools.wraps(function)
    def call(sample: Callable[[jax.Array], Any], *args: Any) -> Any:
        if jax.tree_util.all_leaves([sample]):
            return program(sample)(*args)
        return for_pytrees(sample, *args)

    return call
