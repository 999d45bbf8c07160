"""Mean and variance of a stochastic model's outputs in one pass, without samples."""

import functools
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxdrop import _masks
from jaxdrop.inference import _gaussian, _rules
from jaxdrop.inference._gaussian import Stats
from jaxdrop.inference._random import (
    INNOVATIONS,
    KEY,
    Innovations,
    Value,
    draw,
    innovate,
    is_random,
    mixture,
    normal,
    probability,
    stats,
)


class Moments(NamedTuple):
    """Mean and variance of a model's outputs under noise.

    Attributes:
      mean: A pytree like the outputs.
      variance: The variance of each entry; a pytree like the outputs.
      covariance: Covariances between the outputs of an example, (batch, outputs, outputs) for each leaf, or None.
    """

    mean: Any
    variance: Any
    covariance: Any = None


def moments(sample: Callable[[jax.Array], Any], *, covariance: bool = False) -> Moments:
    if jax.tree_util.all_leaves([sample]):
        sample = jax.tree_util.Partial(sample)
    return _run(sample, covariance)


@functools.partial(jax.jit, static_argnums=1)
def _run(sample: Callable[[jax.Array], Any], covariance: bool) -> Moments:
    key = jax.eval_shape(lambda: jax.random.key(0, impl=_masks.SYMBOLIC))
    program, outputs = jax.make_jaxpr(sample, return_shape=True)(key)
    structure = jax.tree.structure(outputs)

    def results(innovations: Innovations | None) -> list[Stats]:
        before = INNOVATIONS.set(innovations)
        try:
            return [stats(value) for value in _interpret(program.jaxpr, program.consts, [KEY])]
        finally:
            INNOVATIONS.reset(before)

    if not covariance:
        means, variances = zip(*results(None), strict=True)
        return Moments(*(jax.tree.unflatten(structure, leaves) for leaves in (means, variances)))
    innovations = Innovations()
    means = [result.mean for result in results(innovations)]
    covariances = _covariances(results, innovations.written, means)
    variances = [jnp.diagonal(c, axis1=-2, axis2=-1).reshape(y.shape) for c, y in zip(covariances, means, strict=True)]
    return Moments(*(jax.tree.unflatten(structure, leaves) for leaves in (means, variances, covariances)))


def _covariances(results: Callable[..., list[Stats]], written: list[Any], means: list[jax.Array]) -> list[jax.Array]:
    """Follows each output back to all noise that it depends on linearly."""

    def outputs(added: list[jax.Array]) -> list[jax.Array]:
        return [result.mean for result in results(Innovations(written, added))]

    _, pull_back = jax.vjp(outputs, [jnp.zeros_like(variance) for variance, _ in written])
    covariances = []
    for number, mean in enumerate(means):
        batch, size = mean.shape[0], mean[0].size
        total = jnp.zeros((batch, size, size), mean.dtype)

        def slopes(direction: jax.Array, number=number, mean=mean) -> list[jax.Array]:
            cotangents = [jnp.zeros_like(y) for y in means]
            cotangents[number] = jnp.broadcast_to(direction.reshape(mean.shape[1:]), mean.shape)
            return pull_back(cotangents)[0]

        for slope, (_, innovation) in zip(jax.vmap(slopes)(jnp.eye(size, dtype=mean.dtype)), written, strict=True):
            if innovation.shape[:1] != (batch,):
                raise NotImplementedError(
                    f"covariance must be False for noise that examples share, which has the shape {innovation.shape} "
                    f"and not {batch} examples along its first axis."
                )
            slope = slope.reshape(size, batch, -1)
            total += jnp.einsum("ibe,jbe->bij", slope * innovation.reshape(batch, -1), slope)
        covariances.append(total)
    return covariances


def _interpret(jaxpr: core.Jaxpr, consts: list[Any], args: list[Value]) -> list[Value]:
    """Evaluates a program on values of which some are random."""
    values: dict[core.Var, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(v: Any) -> Value:
        return v.val if isinstance(v, core.Literal) else values[v]

    shortcuts = _softmaxes(jaxpr)
    for eqn in _needed(jaxpr, shortcuts):
        if eqn in shortcuts:
            x, axis, log = shortcuts[eqn]
            results = [_softmax(read(x), axis, log)]
        else:
            results = _evaluate(eqn, [read(v) for v in eqn.invars])
        values.update(zip(eqn.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _evaluate(eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    name, outs = eqn.primitive.name, [v.aval for v in eqn.outvars]
    if not any(value is KEY or is_random(value) for value in operands):
        if all(not isinstance(x, jax.core.Tracer) and np.size(x) < 32 for x in operands):
            with jax.ensure_compile_time_eval():  # so that rules can look at the ends of intervals and the like
                return _rules.bind(eqn, *operands)
        return _rules.bind(eqn, *operands)
    inner = next((eqn.params[p] for p in ("jaxpr", "call_jaxpr") if p in eqn.params), None)
    if name in ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call"):
        return _interpret(*_open(inner), operands)
    if name in _CONTROL:
        results = _CONTROL[name](eqn, operands)
    elif any(value is KEY for value in operands):
        if name == "random_bits":
            return [draw(outs[0].shape, 2.0 ** eqn.params["bit_width"])]
        results = [KEY] * len(outs) if all(jnp.issubdtype(out.dtype, jax.dtypes.prng_key) for out in outs) else None
    else:
        results = _rules.apply(eqn, operands)
    if results is None:
        raise NotImplementedError(f"moments has no rule for {name!r} of random inputs{_place(eqn)}.")
    return results


def _open(jaxpr: Any) -> tuple[core.Jaxpr, list[Any]]:
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, core.ClosedJaxpr) else (jaxpr, [])


def _place(eqn: core.JaxprEqn) -> str:
    """Says where in the user's own code an equation comes from, if that is known."""
    try:
        frames = traceback.extract_tb(eqn.source_info.traceback.as_python_traceback())
    except AttributeError:
        return ""
    own = [frame for frame in frames if not any(part in frame.filename for part in _LIBRARIES)]
    return f", at {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""


_LIBRARIES = ("/jax/", "/flax/", "/jaxdrop/", "<")


def _scan(eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """A loop, whose carry is random as soon as one turn makes it so."""
    body, num_consts, num_carry = (eqn.params[name] for name in ("jaxpr", "num_consts", "num_carry"))
    consts, carry, xs = operands[:num_consts], operands[num_consts : num_consts + num_carry], operands[num_consts + num_carry :]
    random_xs, carry = [_packed(x) for x in xs], [_packed(x) for x in carry]

    def step(carry, xs):
        outs = _interpret(body.jaxpr, body.consts, [*consts, *map(_unpacked, carry), *map(_unpacked, xs)])
        return [_packed(out) for out in outs[:num_carry]], [_packed(out) for out in outs[num_carry:]]

    def become_random(carry):
        after, _ = jax.eval_shape(step, carry, jax.tree.map(lambda x: x[0], random_xs))
        return [
            _packed(normal(*stats(x))) if isinstance(y, Stats) and not isinstance(x, Stats) else x
            for x, y in zip(carry, after, strict=True)
        ]

    for _ in carry:
        carry = become_random(carry)

    def same_kind(carry, xs):
        after, ys = step(carry, xs)
        return [_like(x, y) for x, y in zip(carry, after, strict=True)], ys

    options = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    carry, ys = lax.scan(same_kind, carry, random_xs, **options)
    return [*map(_unpacked, carry), *map(_unpacked, ys)]


def _like(x: Any, y: Any) -> Any:
    return Stats(*stats(y)) if isinstance(x, Stats) and not isinstance(y, Stats) else y


def _packed(value: Value) -> Any:
    return stats(value) if is_random(value) else value


def _unpacked(value: Any) -> Value:
    return normal(*value) if isinstance(value, Stats) else value


def _cond(eqn: core.JaxprEqn, operands: list[Value]) -> list[Value] | None:
    """A choice of branches: as it is, or a mixture if the choice is random."""
    index, *rest = operands
    branches = eqn.params["branches"]
    if is_random(index):
        if len(branches) != 2:
            return None
        no, yes = (_interpret(branch.jaxpr, branch.consts, rest) for branch in branches)
        chosen = probability(index)
        outs = [v.aval for v in eqn.outvars]
        return [
            mixture(jnp.broadcast_to(chosen, out.shape), y, n, out)
            for y, n, out in zip(yes, no, outs, strict=True)
        ]
    functions = [
        lambda branch=branch: [stats(value) for value in _interpret(branch.jaxpr, branch.consts, rest)]
        for branch in branches
    ]
    return [normal(*result) for result in lax.switch(index, functions)]


_CONTROL = {"scan": _scan, "cond": _cond}


def _softmaxes(jaxpr: core.Jaxpr) -> dict[core.JaxprEqn, tuple[core.Var, int, bool]]:
    """Finds where a softmax or its logarithm is written out, and of what.

    Its numerator and its denominator depend on each other, and no rule for the single steps would know.
    """
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}

    def origin(v: Any, *passed: str) -> core.JaxprEqn | None:
        eqn = None if isinstance(v, core.Literal) else made.get(v)
        while eqn is not None and eqn.primitive.name in passed:
            v = eqn.invars[0]
            eqn = None if isinstance(v, core.Literal) else made.get(v)
        return eqn

    def is_made(eqn: core.JaxprEqn | None, *names: str) -> bool:
        return eqn is not None and eqn.primitive.name in names

    found = {}
    for eqn in jaxpr.eqns:
        log = eqn.primitive.name == "sub"
        if not log and eqn.primitive.name != "div":
            continue
        above, below = eqn.invars
        total = origin(below, "broadcast_in_dim", "reshape", "squeeze", "expand_dims")
        if log and is_made(total, "log"):
            total = origin(total.invars[0], "broadcast_in_dim", "reshape", "squeeze", "expand_dims")
        elif log:
            continue
        if not is_made(total, "reduce_sum") or len(total.params["axes"]) != 1:
            continue
        (axis,), terms = total.params["axes"], total.invars[0]
        power = origin(terms)
        if not is_made(power, "exp") or (power.invars[0] if log else terms) is not above:
            continue
        if below.aval.ndim != above.aval.ndim or below.aval.shape[axis] not in (1, above.aval.shape[axis]):
            continue
        logits = power.invars[0]
        shifted = origin(logits)
        if is_made(shifted, "sub") and _constant_along(axis, shifted.invars[1], made):
            logits = shifted.invars[0]
        found[eqn] = logits, axis, log
    return found


def _constant_along(axis: int, v: Any, made: dict[core.Var, core.JaxprEqn]) -> bool:
    shape = v.aval.shape
    return bool(shape) and shape[axis] == 1


def _softmax(x: Value, axis: int, log: bool) -> Value:
    if not is_random(x):
        return jax.nn.log_softmax(x, axis) if log else jax.nn.softmax(x, axis)
    logits = stats(x)

    def explained() -> jax.Array:
        p = jax.nn.softmax(logits.mean, axis)
        others = jnp.sum(jnp.square(p) * logits.variance, axis, keepdims=True)
        linear = others + (1 - 2 * p) * logits.variance
        return linear if log else jnp.square(p) * linear

    return normal(*innovate(_gaussian.softmax(logits, axis, jax.nn.log_sigmoid if log else jax.nn.sigmoid), explained))


def _needed(jaxpr: core.Jaxpr, shortcuts: dict[core.JaxprEqn, Any]) -> list[core.JaxprEqn]:
    """The equations on which the results depend."""
    live = {v for v in jaxpr.outvars if isinstance(v, core.Var)}
    needed = []
    for eqn in reversed(jaxpr.eqns):
        if not live.isdisjoint(eqn.outvars):
            inputs = shortcuts[eqn][:1] if eqn in shortcuts else eqn.invars
            live.update(v for v in inputs if isinstance(v, core.Var))
            needed.append(eqn)
    return needed[::-1]
