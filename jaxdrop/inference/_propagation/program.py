"""Evaluating a traced program on values of which some are random."""

import traceback
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jaxdrop.inference._propagation import rules
from jaxdrop.inference._propagation.equations import apply, fold
from jaxdrop.inference._propagation.gaussian import Stats
from jaxdrop.inference._propagation.random import (
    INNOVATIONS,
    KEY,
    Random,
    Value,
    mixture,
    normal,
    probability,
    stats,
)
from jaxdrop.inference._propagation.softmaxes import Softmax, softmaxes
from jaxdrop.inference._propagation.uniform import Uniform, as_random, draw

_CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call")
_LIBRARIES = ("/jax/", "/flax/", "/jaxdrop/", "<")


def evaluate(jaxpr: core.Jaxpr, consts: list[Any], args: list[Value]) -> list[Value]:
    """Evaluates a program.

    Raises:
      NotImplementedError: If there is no rule for an equation with random operands.
    """
    values: dict[core.Var, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(v: Any) -> Value:
        return v.val if isinstance(v, core.Literal) else values[v]

    shortcuts = softmaxes(jaxpr)
    for eqn in _needed(jaxpr, shortcuts):
        if eqn in shortcuts:
            outs = [rules.softmax(as_random(read(shortcuts[eqn].logits)), shortcuts[eqn])]
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
            inputs = [shortcuts[eqn].logits] if eqn in shortcuts else eqn.invars
            live.update(v for v in inputs if isinstance(v, core.Var))
            needed.append(eqn)
    return needed[::-1]


def _evaluate(eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    name = eqn.primitive.name
    if not any(value is KEY or isinstance(value, Random | Uniform) for value in values):
        return fold(eqn, values)
    if name in _CALLS:
        inner = eqn.params["call_jaxpr" if "call_jaxpr" in eqn.params else "jaxpr"]
        return evaluate(*((inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, [])), values)
    if name == "scan":
        outs = _scan(eqn, values)
    elif name == "cond":
        outs = _cond(eqn, values)
    elif KEY in values:
        outs = _of_key(eqn)
    else:
        outs = rules.evaluate(eqn, values)
    if outs is None:
        raise NotImplementedError(f"moments has no rule for {name!r} of what is random{_place(eqn)}.")
    return outs


def _of_key(eqn: core.JaxprEqn) -> list[Value] | None:
    outs = [v.aval for v in eqn.outvars]
    if eqn.primitive.name == "random_bits":
        return [draw(outs[0].shape, eqn.params["bit_width"])]
    return [KEY] * len(outs) if all(jnp.issubdtype(out.dtype, jax.dtypes.prng_key) for out in outs) else None


def _place(eqn: core.JaxprEqn) -> str:
    """Says which line of the user's own code an equation is from, where that is known."""
    try:
        frames = traceback.extract_tb(eqn.source_info.traceback.as_python_traceback())
    except AttributeError:  # which jax does not promise to have
        return ""
    own = [frame for frame in frames if not any(part in frame.filename for part in _LIBRARIES)]
    return f", at {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""


def _packed(value: Value) -> Any:
    return stats(as_random(value)) if isinstance(value, Random | Uniform) else value


def _unpacked(value: Any) -> Value:
    return normal(value) if isinstance(value, Stats) else value


def _scan(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    """A loop, whose state is random as soon as one turn makes it so."""
    body, length, num_consts, num_carry = (eqn.params[name] for name in ("jaxpr", "length", "num_consts", "num_carry"))
    split = num_consts + num_carry
    consts, packed = values[:num_consts], [_packed(value) for value in values[num_consts:]]
    carry, xs = packed[:num_carry], packed[num_carry:]
    if any(v.aval.dtype == bool for v, x in zip(eqn.invars[num_consts:], packed, strict=True) if isinstance(x, Stats)):
        return None
    keys = {i for i, x in enumerate(packed) if x is KEY}
    del split

    def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], list[Any]]:
        args = [KEY if i in keys else _unpacked(x) for i, x in enumerate([*carry, *xs])]
        outs = [_packed(out) for out in evaluate(body.jaxpr, body.consts, [*consts, *args])]
        outs = [None if i in keys else out for i, out in enumerate(outs[:num_carry])] + outs[num_carry:]
        return outs[:num_carry], outs[num_carry:]

    carry = [None if x is KEY else x for x in carry]
    xs = [None if x is KEY else x for x in xs]
    if INNOVATIONS.get() is not None:  # which a compiled loop could not write down
        carry, ys = _unrolled(step, carry, xs, length, eqn.params["reverse"])
    else:
        for _ in range(num_carry):
            carry = _as_random_as(carry, jax.eval_shape(step, carry, jax.tree.map(lambda x: x[0], xs))[0])
        options = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
        carry, ys = lax.scan(lambda c, x: _fitted(c, *step(c, x)), carry, xs, **options)
    outs = [*(KEY if i in keys else _unpacked(x) for i, x in enumerate(carry)), *map(_unpacked, ys)]
    return outs


def _as_random_as(carry: list[Any], after: list[Any]) -> list[Any]:
    """Makes what is random after a turn random before it, too."""
    return [stats(x) if isinstance(y, Stats) and not isinstance(x, Stats) else x for x, y in zip(carry, after, strict=True)]


def _fitted(before: list[Any], carry: list[Any], ys: list[Any]) -> tuple[list[Any], list[Any]]:
    return _as_random_as(carry, before), ys


def _unrolled(step: Any, carry: list[Any], xs: list[Any], length: int, reverse: bool) -> tuple[list[Any], list[Any]]:
    turns = []
    for i in reversed(range(length)) if reverse else range(length):
        carry, ys = step(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        turns.append(ys)
    return carry, [_stacked(ys) for ys in zip(*(turns[::-1] if reverse else turns), strict=True)]


def _stacked(ys: tuple[Any, ...]) -> Any:
    if any(isinstance(y, Stats) for y in ys):
        ys = tuple(y if isinstance(y, Stats) else stats(y) for y in ys)
    return jax.tree.map(lambda *y: jnp.stack(y), *ys)


def _cond(eqn: core.JaxprEqn, values: list[Value]) -> list[Value] | None:
    """A choice of branches, or their mixture where the choice is random."""
    index, *rest = values
    branches, outs = eqn.params["branches"], [v.aval for v in eqn.outvars]
    if isinstance(index, Random):
        if len(branches) != 2:
            return None
        no, yes = ([as_random(v) for v in evaluate(branch.jaxpr, branch.consts, rest)] for branch in branches)
        weight = probability(index)
        return [mixture(jnp.broadcast_to(weight, out.shape), y, n, out) for y, n, out in zip(yes, no, outs, strict=True)]
    if INNOVATIONS.get() is not None or any(out.dtype == bool for out in outs):
        return None

    def alternative(branch: core.ClosedJaxpr) -> Any:
        return lambda: [stats(as_random(value)) for value in evaluate(branch.jaxpr, branch.consts, rest)]

    return [normal(moments) for moments in lax.switch(index, [alternative(branch) for branch in branches])]
