"""Splitting a model's program into what depends on the key, and what is the same in all samples."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxdrop.inference._propagation.equations import DECISIONS, ENTRYWISE, MOVES, apply, inner

# Better computed again, inside the loop that reads it and fused into what does, than read from memory.
_CHEAP = ENTRYWISE | MOVES | DECISIONS | {"iota", "shift_left", "shift_right_logical", "rem", "optimization_barrier"}


class _Name(int):
    """Stands for a value in the program."""


class _Step(NamedTuple):
    equation: core.JaxprEqn
    inputs: list[_Name]  # of its variables, not its literals
    outputs: list[_Name]


class _Program:
    """The equations of a function and of those that it calls, in one list."""

    def __init__(self, program: core.ClosedJaxpr):
        self.steps: list[_Step] = []
        self.known: dict[_Name, Any] = {}
        self._numbers = itertools.count()
        self.key = self._name()
        self.outputs = self._inline(program.jaxpr, [*map(self._constant, program.consts), self.key])

    def _name(self) -> _Name:
        return _Name(next(self._numbers))

    def _constant(self, value: Any) -> _Name:
        name = self._name()
        self.known[name] = value
        return name

    def _inline(self, jaxpr: core.Jaxpr, inputs: list[_Name]) -> list[_Name]:
        names = dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs, strict=True))

        def read(v: Any) -> _Name:
            aval: Any = v.aval
            return self._constant(jnp.asarray(v.val, aval.dtype)) if isinstance(v, core.Literal) else names[v]

        for equation in jaxpr.eqns:
            if _is_plain_call(equation):
                called = equation.params["jaxpr"]
                given = [*map(self._constant, called.consts), *map(read, equation.invars)]
                outputs = self._inline(called.jaxpr, given)
            else:
                outputs = [self._name() for _ in equation.outvars]
                inputs = [names[v] for v in equation.invars if isinstance(v, core.Var)]
                self.steps.append(_Step(equation, inputs, outputs))
            names.update(zip(equation.outvars, outputs, strict=True))
        return [read(v) for v in jaxpr.outvars]


def run_once(sample: Callable[[jax.Array], Any], key: jax.Array) -> Callable[[jax.Array], Any]:
    """Evaluates the part of a stochastic function that does not depend on its key, and returns the rest.

    That part is matrix products, convolutions and whatever else takes time, and what follows from their results alone.
    Only the type of `key` is used.

    Returns:
      A function like `sample`, and a pytree whose leaves are the arrays that it reads.
    """
    traced, shapes = jax.make_jaxpr(sample, return_shape=True)(key)
    program = _Program(traced)
    varying, computed, first, rest = {program.key}, set[_Name](), list[_Step](), list[_Step]()
    for step in program.steps:
        if step.equation.effects or not varying.isdisjoint(step.inputs):
            varying.update(step.outputs)
            rest.append(step)
        elif computed.isdisjoint(step.inputs) and _is_cheap(step.equation):
            # Left for the rest, but what is computed now may read it too.
            first.append(step)
            rest.append(step)
        else:
            computed.update(step.outputs)
            first.append(step)
    known = _evaluate(first, program.known)

    read = {name for step in rest for name in step.inputs} | set(program.outputs)
    made = {name for step in rest for name in step.outputs} | {program.key}
    kept = sorted(read - made)
    structure = jax.tree.structure(shapes)

    def again(arrays: list[Any], key: jax.Array) -> Any:
        values = _evaluate(rest, {program.key: key, **dict(zip(kept, arrays, strict=True))})
        return jax.tree.unflatten(structure, [values[name] for name in program.outputs])

    return jax.tree_util.Partial(again, [known[name] for name in kept])


def _evaluate(steps: list[_Step], values: dict[_Name, Any]) -> dict[_Name, Any]:
    """Adds the results of steps to the values."""
    for step in steps:
        given = iter(step.inputs)
        operands = [v.val if isinstance(v, core.Literal) else values[next(given)] for v in step.equation.invars]
        values.update(zip(step.outputs, apply(step.equation, *operands), strict=True))
    return values


def _is_plain_call(equation: core.JaxprEqn) -> bool:
    """Whether an equation calls a function that is compiled like the one around it."""
    if equation.primitive.name not in ("jit", "pjit"):
        return False
    shardings = [*equation.params["in_shardings"], *equation.params["out_shardings"]]
    return not any(isinstance(sharding, jax.sharding.Sharding) for sharding in shardings)


def _is_cheap(equation: core.JaxprEqn) -> bool:
    if equation.primitive.name in ("scan", "while"):
        return False
    programs = inner(equation)
    if not programs:
        return equation.primitive.name in _CHEAP
    return all(_is_cheap(part) for program in programs for part in program.eqns)
