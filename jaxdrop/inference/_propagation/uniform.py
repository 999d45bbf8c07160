"""Uniform numbers: from random bits to decisions and normal numbers."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxdrop.inference._propagation import gaussian
from jaxdrop.inference._propagation.equations import COMPARISONS, MOVES, apply, is_constant, out_type, out_types
from jaxdrop.inference._propagation.gaussian import Stats
from jaxdrop.inference._propagation.random import (
    Random,
    Root,
    Value,
    as_float,
    chance,
    innovate,
    normal,
    stats,
)

# Moves that put entries beside others, which may not be uniform.
_JOINS = {"pad", "scatter", "dynamic_update_slice", "concatenate", "stack"}
# Whole numbers of more values than this are as good as continuous: the variance is 1 / n² less.
_FEW = 64
# The same comparison with its operands exchanged.
_EXCHANGED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
# Integers that have no rule: as floats, as other random arrays are taken, they would be wrong.
REFUSED: Any = object()
_COMPARE = {
    "lt": jnp.less,
    "le": jnp.less_equal,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
    "eq": jnp.equal,
    "ne": jnp.not_equal,
}


@dataclasses.dataclass(eq=False)
class Uniform:
    """Numbers `shift + scale * u`, or `shift + sign(scale) * floor(|scale| * u)` if `whole`, for uniform `u`.

    What bits pass through on their way to floats keeps this form, so that a threshold's probability is exact.
    """

    root: Root
    shift: Any
    scale: Any
    shape: tuple[int, ...]
    whole: bool

    def place(self, limit: Any, shape: tuple[int, ...], *, inclusive: bool) -> jax.Array:
        """The `u` on whose one side the numbers are below a limit of this shape, or up to it."""
        if not self.whole:
            place = (limit - self.shift) / self.scale
        else:
            # shift + k < c means k < c - shift, and shift - k < c means not k < shift - c + 1.
            up, down = limit - self.shift + np.float32(inclusive), self.shift - limit + np.float32(not inclusive)
            place = jnp.where(self.scale > 0, up, down) / abs(self.scale)
        return jnp.broadcast_to(jnp.clip(place, 0, 1), shape)

    def at(self, u: jax.Array) -> jax.Array:
        if not self.whole:
            return self.shift + u * self.scale
        return self.shift + jnp.floor(u * abs(self.scale)) * (self.scale / abs(self.scale))


def draw(shape: tuple[int, ...], bits: int) -> Uniform:
    """Random bits as integers."""
    return _fresh(np.float32(0), np.float32(2.0**bits), shape, True)


def _fresh(shift: Any, scale: Any, shape: tuple[int, ...], whole: bool) -> Uniform:
    return Uniform(Root(jnp.zeros(shape, jnp.float32)), shift, scale, shape, whole)


def as_random(value: Value) -> Value:
    """Forgets that an array is uniform."""
    if not isinstance(value, Uniform):
        return value
    random = Random(value.root, lambda u, memo: value.at(u), value.shape, None if value.whole else 1)
    if value.whole:
        mean = value.shift + (value.scale - value.scale / abs(value.scale)) / 2
        moments = Stats(*(jnp.broadcast_to(as_float(y), value.shape) for y in (mean, (value.scale**2 - 1) / 12)))
        random.cached = innovate(moments, lambda: jnp.zeros(value.shape))
    return random


def on_uniform(eqn: core.JaxprEqn, values: list[Value]) -> Value | list[Value] | None:
    """Applies an equation of which an operand is uniform; returns None where the result has another distribution.

    And `REFUSED` where it has one that is not known; of moves a list of results.
    """
    name, out = eqn.primitive.name, out_type(eqn)
    number, u = next((i, value) for i, value in enumerate(values) if isinstance(value, Uniform))
    others = [value for i, value in enumerate(values) if i != number]
    if name in COMPARISONS:
        return _compare(u, name if number == 0 else _EXCHANGED[name], others[0], out.shape)
    if any(isinstance(value, Random | Uniform) for value in others):
        if name == "select_n" and number and all(_alike(u, value) for value in values[1:]):
            return _fresh(u.shift, u.scale, out.shape, u.whole)
        return None
    if name in MOVES:
        return _move(eqn, u, values) if number == 0 else None
    known = [_float32(value) for value in others]
    moved = functools.partial(Uniform, u.root, shape=out.shape, whole=u.whole)
    match name:
        case "stop_gradient" | "copy" | "copy_p":
            return u
        case "add" | "add_any" | "or":  # bits that are joined to others are below them
            return moved(u.shift + known[0], u.scale)
        case "sub":
            return moved(u.shift - known[0], u.scale) if number == 0 else moved(known[0] - u.shift, -u.scale)
        case "neg":
            return moved(-u.shift, -u.scale)
        case "mul" if not u.whole:
            return moved(u.shift * known[0], u.scale * known[0])
        case "div" if not u.whole and number == 0:
            return moved(u.shift / known[0], u.scale / known[0])
        case "convert_element_type":
            whole = not jnp.issubdtype(out.dtype, jnp.inexact)
            if u.whole and not whole and is_constant(u.scale) and np.all(abs(np.asarray(u.scale)) <= _FEW):
                return _few(u, out.shape)
            # On average, floor(k u) is half a step below k u.
            if whole:
                return _as_integers(u, out)
            half = np.float32(0.5) * u.scale / abs(u.scale) if u.whole else np.float32(0)
            return Uniform(u.root, u.shift - half, u.scale, out.shape, whole)
        case "shift_right_logical" if number == 0:
            return moved(u.shift, u.scale * np.float32(2) ** -known[0])
        case "and" if is_constant(known[0]) and _lower_bits(others[0]):  # which are independent of the others
            if not is_constant(u.shift, u.scale):  # bits that were moved by a number of places that is not known yet
                return _fresh(np.float32(0), known[0] + 1, out.shape, True)
            return _fresh(np.float32(0), np.minimum(known[0] + 1, u.scale), out.shape, True) if _are_bits(u) else None
        case "bitcast_convert_type" if u.whole and jnp.issubdtype(out.dtype, jnp.floating):
            # How floats are made: random bits in place of those of 1 after the point, so from 1 to 2.
            one = np.ones((), out.dtype).view(f"u{out.dtype.itemsize}").astype(np.float32)
            steps = np.float32(2.0 ** jnp.finfo(out.dtype).nmant)
            return Uniform(u.root, (u.shift - one) / steps + 1, u.scale / steps, out.shape, False)
        case "max" | "min" if is_constant(u.shift, u.scale, known[0]):
            ends = u.shift, u.shift + u.scale - np.float32(u.whole)
            guard = known[0] <= np.minimum(*ends) if name == "max" else known[0] >= np.maximum(*ends)
            return u if np.all(guard) else None  # against rounding
        case "erf_inv" if is_constant(u.shift, u.scale) and np.allclose(u.shift, -1) and np.allclose(u.scale, 2):
            # How normal numbers are made: they have the variance 1/2 here.
            return normal(innovate(Stats(u.root.zeros, jnp.full_like(u.root.zeros, 0.5)), lambda: u.root.zeros))
    return None


def _float32(x: Any) -> Any:
    return np.asarray(x, np.float32) if is_constant(x) else as_float(x).astype(jnp.float32)


def _alike(u: Uniform, value: Value) -> bool:
    if not isinstance(value, Uniform) or not is_constant(u.shift, u.scale, value.shift, value.scale):
        return False
    return value.whole == u.whole and np.array_equal((u.shift, u.scale), (value.shift, value.scale))


def _are_bits(u: Uniform) -> bool:
    """Whether whole numbers are all those of some number of bits."""
    return bool(u.whole and np.all(np.asarray(u.shift) == 0) and np.all(np.log2(u.scale) % 1 == 0))


def _as_integers(u: Uniform, out: Any) -> Any:
    """Converts to the integers of the type `out`: too large ones wrap, and floats are cut at the point."""
    if out.dtype == bool or not is_constant(u.shift, u.scale):
        return REFUSED
    limits = jnp.iinfo(out.dtype)
    low, high = np.asarray(u.shift), np.asarray(u.shift + u.scale - np.float32(u.whole))
    if u.whole and np.all((low >= limits.min) & (high <= limits.max)):
        return dataclasses.replace(u, shape=out.shape)
    if _are_bits(u) and np.all(u.scale >= 2.0**limits.bits):
        return _fresh(np.float32(limits.min), np.float32(2.0**limits.bits), out.shape, True)
    whole = np.all(low % 1 == 0) and np.all(np.asarray(u.scale) % 1 == 0)
    if u.whole or not whole or np.any(low < 0) or np.any(np.asarray(u.scale) <= 0) or np.any(high > limits.max):
        return REFUSED
    return dataclasses.replace(u, shape=out.shape, whole=True)


def _lower_bits(mask: Any) -> bool:
    """Whether integers have ones at their lower bits alone."""
    numbers = np.asarray(mask).astype(np.uint64)
    return bool(np.all(numbers & (numbers + np.uint64(1)) == 0))


def _few(u: Uniform, shape: tuple[int, ...]) -> Random:
    """Whole numbers of few values, as floats: constant between breaks."""
    number = abs(np.asarray(u.scale)).max()
    places = (np.float32(k) / abs(u.scale) for k in range(1, int(number)))
    breaks = {object(): jnp.broadcast_to(jnp.minimum(place, 1), u.root.zeros.shape) for place in places}
    return Random(u.root, lambda z, memo: u.at(z), shape, 0, breaks)


def _move(eqn: core.JaxprEqn, u: Uniform, values: list[Value]) -> list[Value] | None:
    """Puts entries elsewhere; new ones, as they are when padding, or entries put twice, would not be uniform."""
    if eqn.primitive.name in _JOINS:
        return None
    outs = out_types(eqn)

    def move(y: Any) -> list[Any]:
        if np.size(y) == 1:
            return [y.reshape(())] * len(outs)
        return apply(eqn, jnp.broadcast_to(y, u.shape), *values[1:])

    moved = zip(move(u.shift), move(u.scale), outs, strict=True)
    return [_fresh(shift, scale, out.shape, u.whole) for shift, scale, out in moved]


# Midpoints of as many equal cells, over which one of two uniform numbers is averaged.
_CELLS = (np.arange(256, dtype=np.float32) + 0.5) / 256


def _compare(u: Uniform, name: str, limit: Value, shape: tuple[int, ...]) -> Value | None:
    if isinstance(limit, Uniform) and not (u.whole or limit.whole or name in ("eq", "ne")):
        if is_constant(u.scale, limit.scale) and np.max(abs(u.scale)) < np.max(abs(limit.scale)):
            u, name, limit = limit, _EXCHANGED[name], u
        # The average over the narrower one of the probability for one.
        total, _ = jax.lax.scan(
            lambda total, cell: (total + u.place(limit.at(cell), shape, inclusive=False), None),
            jnp.zeros(shape, jnp.float32),
            jnp.asarray(_CELLS),
        )
        share = total / np.float32(len(_CELLS))
        return chance(jnp.where((u.scale > 0) == (name in ("lt", "le")), share, 1 - share))
    if isinstance(limit, Uniform) or (isinstance(limit, Random) and name in ("eq", "ne")):
        return None
    if isinstance(limit, Random):  # which decides a probability, that is what matters of it

        def place(mean: jax.Array) -> jax.Array:
            place = u.place(mean, shape, inclusive=name in ("le", "gt"))
            return jnp.where((u.scale > 0) == (name in ("lt", "le")), place, 1 - place)

        def explained() -> jax.Array:
            slope = gaussian.tangent(place, jnp.broadcast_to(moments.mean, shape))[1]
            return jnp.square(slope) * moments.variance

        moments = stats(limit)
        return chance(place(moments.mean), explained)
    limit = _float32(limit)
    ends = {"lt": (False,), "ge": (False,), "le": (True,), "gt": (True,)}.get(name, (False, True))
    breaks = {object(): u.place(limit, shape, inclusive=end) for end in ends}
    return Random(u.root, lambda z, memo: _COMPARE[name](u.at(z), limit), shape, 0, breaks)
