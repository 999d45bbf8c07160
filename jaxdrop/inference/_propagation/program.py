"""Evaluating a traced program on values of which some are random."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jaxdrop.inference._propagation import rules
from jaxdrop.inference._propagation.equations import CALLS, fold, in_types, out_types
from jaxdrop.inference._propagation.gaussian import Stats
from jaxdrop.inference._propagation.random import (
    INNOVATIONS,
    KEY,
    Random,
    Value,
    chance,
    mixture,
    normal,
    settle,
    stats,
)
from jaxdrop.inference._propagation.softmaxes import Softmax, softmaxes
from jaxdrop.inference._propagation.uniform import Uniform, as_random, draw


class NoRuleError(NotImplementedError):
    """An equation of random operands for which there is no rule, and where it is from."""

    def __init__(self, primitive: str):
        self.primitive, self.place = primitive, ""
        super().__init__(primitive)

    def __str__(self) -> str:
        at = f", at {self.place}" if self.place else ""
        return f"moments has no rule for the primitive {self.primitive!r} with random operands{at}"


def evaluate(jaxpr: core.Jaxpr, consts: list[Any], args: list[Value]) -> list[Value]:
    """Evaluates a program.

    Raises:
      NoRuleError: If there is no rule for an equation with random operands.
    """
    values: dict[core.Var, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(v: Any) -> Value:
        return v.val if isinstance(v, core.Literal) else values[v]

    shortcuts = softmaxes(jaxpr)
    for eqn in _needed(jaxpr, shortcuts):
        logits = as_random(read(shortcuts[eqn].logits)) if eqn in shortcuts else None
        if eqn in shortcuts and (shortcuts[eqn].kind != "unknown" or isinstance(logits, Random)):
            outs = [_softmax(eqn, logits, shortcuts[eqn])]
        else:
            outs = _evaluate(eqn, [read(v) for v in eqn.invars])
        values.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _needed(jaxpr: core.Jaxpr, shortcuts: dict[core.JaxprEqn, Softmax]) -> list[core.JaxprEqn]:
    """The equations on which the results depend."""
    live = {v for v in jaxpr.outvars if isinstance(v, core.Var)}
    needed = []
    for eqn in reversed(jaxpr.eqns):
        if not live.isdisjoint(eqn.outvars):
            known = eqn in shortcuts and shortcuts[eqn].kind != "unknown"
            inputs = [shortcuts[eqn].logits] if known else eqn.invars
            live.update(v for v in inputs if isinstance(v, core.Var))
            needed.append(eqn)
    return needed[::-1]


def _softmax(eqn: core.JaxprEqn, logits: Value, softmax: Softmax) -> Value:
    if softmax.kind == "unknown":
        error = NoRuleError("div (of exponentials by what has their sum in it, but is no plain softmax)")
        error.place = _place(eqn)
        raise error
    return rules.softmax(logits, softmax)


def _evaluate(eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    if not any(value is KEY or isinstance(value, Random | Uniform) for value in values):
        return fold(eqn, values)
    try:
        outs = _apply(eqn, values)
        if outs is None:
            raise NoRuleError(eqn.primitive.name)
        return outs
    except NoRuleError as error:
        error.place = error.place or _place(eqn)
        raise


def _apply(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    name = eqn.primitive.name
    if name in CALLS:
        inner = eqn.params["call_jaxpr" if "call_jaxpr" in eqn.params else "jaxpr"]
        return evaluate(*((inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, [])), values)
    if name in ("scan", "cond"):
        for value in values:
            settle(value)
        return _scan(eqn, values) if name == "scan" else _cond(eqn, values)
    return _of_key(eqn) if any(value is KEY for value in values) else rules.evaluate(eqn, values)


def _of_key(eqn: core.JaxprEqn) -> list[Value] | None:
    outs = out_types(eqn)
    if eqn.primitive.name == "random_bits":
        return [draw(outs[0].shape, eqn.params["bit_width"])]
    return [KEY] * len(outs) if all(jnp.issubdtype(out.dtype, jax.dtypes.prng_key) for out in outs) else None


def _place(eqn: core.JaxprEqn) -> str:
    """Says which line of the user's own code an equation is from, where that is known."""
    packages = Path(jax.__file__).parent, Path(jax.__file__).parents[1] / "flax", Path(__file__).parents[2]
    try:
        source: Any = eqn.source_info.traceback
        frames = traceback.extract_tb(source.as_python_traceback())
    except AttributeError:  # jax does not promise to have these
        return ""
    own = [frame for frame in frames if not any(package in Path(frame.filename).parents for package in packages)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""


def _packed(value: Value) -> Any:
    return stats(as_random(value)) if isinstance(value, Random | Uniform) else value


def _unpacked(value: Any, aval: Any) -> Value:
    if not isinstance(value, Stats):
        return value
    return chance(value.mean) if aval.dtype == bool else normal(value)


def _scan(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    """A loop, whose state is random as soon as one turn makes it so."""
    body, length = eqn.params["jaxpr"], eqn.params["length"]
    # jax's versions differ in how they say which is which, but only what is looped over has an axis more outside.
    num_xs = _longer(in_types(eqn), body.jaxpr.invars)
    num_ys = _longer(out_types(eqn), body.jaxpr.outvars)
    num_carry = len(eqn.outvars) - num_ys
    num_consts = len(eqn.invars) - num_carry - num_xs
    consts, rest = values[:num_consts], [_packed(value) for value in values[num_consts:]]
    types = in_types(eqn)[num_consts:]
    keys = {i for i, x in enumerate(rest) if x is KEY}
    rest = [None if x is KEY else x for x in rest]  # the loop holds arrays only
    carry, xs = rest[:num_carry], rest[num_carry:]

    def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], list[Any]]:
        args = [KEY if i in keys else _unpacked(x, types[i]) for i, x in enumerate([*carry, *xs])]
        outs = [_packed(out) for out in evaluate(body.jaxpr, body.consts, [*consts, *args])]
        return [None if i in keys else out for i, out in enumerate(outs[:num_carry])], outs[num_carry:]

    if INNOVATIONS.get() is not None:  # which a compiled loop could not write down
        carry, ys = _unrolled(step, carry, xs, length, eqn.params["reverse"])
    else:
        for _ in range(num_carry):
            carry = _as_random_as(jax.eval_shape(step, carry, jax.tree.map(lambda x: x[0], xs))[0], carry)

        def turn(before: list[Any], xs: list[Any]) -> tuple[list[Any], list[Any]]:
            after, ys = step(before, xs)
            return _as_random_as(before, after), ys

        carry, ys = lax.scan(turn, carry, xs, length=length, reverse=eqn.params["reverse"], unroll=eqn.params["unroll"])
    outs = enumerate(zip([*carry, *ys], out_types(eqn), strict=True))
    return [KEY if i in keys and i < num_carry else _unpacked(x, aval) for i, (x, aval) in outs]


def _longer(types: list[Any], inside: list[Any]) -> int:
    return sum(outer.ndim > v.aval.ndim for outer, v in zip(types, inside, strict=True))


def _as_random_as(pattern: list[Any], values: list[Any]) -> list[Any]:
    """Makes those values random that others are."""
    pairs = zip(values, pattern, strict=True)
    return [stats(x) if isinstance(y, Stats) and not isinstance(x, Stats) else x for x, y in pairs]


def _unrolled(
    step: Callable[..., tuple[list[Any], list[Any]]], carry: list[Any], xs: list[Any], length: int, reverse: bool
) -> tuple[list[Any], list[Any]]:
    turns = []
    for i in reversed(range(length)) if reverse else range(length):
        carry, ys = step(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        turns.append(ys)
    return carry, [_stacked(ys) for ys in zip(*(turns[::-1] if reverse else turns), strict=True)]


def _stacked(ys: tuple[Any, ...]) -> Any:
    pattern = [next((y for y in ys if isinstance(y, Stats)), None)] * len(ys)
    return jax.tree.map(lambda *y: jnp.stack(y), *_as_random_as(pattern, list(ys)))


def _cond(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    """A choice of branches, or their mixture where the choice is random."""
    index, *rest = values
    branches, outs = eqn.params["branches"], out_types(eqn)
    if isinstance(index, Random):
        if len(branches) != 2:
            return None
        no, yes = ([as_random(v) for v in evaluate(branch.jaxpr, branch.consts, rest)] for branch in branches)
        return [mixture(index, y, n, out) for y, n, out in zip(yes, no, outs, strict=True)]
    if INNOVATIONS.get() is not None or any(out.dtype == bool for out in outs):
        return None

    def alternative(branch: core.ClosedJaxpr) -> Any:
        return lambda: [stats(as_random(value)) for value in evaluate(branch.jaxpr, branch.consts, rest)]

    return [normal(moments) for moments in lax.switch(index, [alternative(branch) for branch in branches])]
