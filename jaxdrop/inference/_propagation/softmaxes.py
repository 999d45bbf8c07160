"""Finding softmax in a program, where it is written out."""

from typing import Any, Literal, NamedTuple

from jax.extend import core

from jaxdrop.inference._propagation.equations import out_type

_OF_SHAPE = {"broadcast_in_dim", "reshape", "squeeze"}
_OF_POSITIVE = {"abs", "stop_gradient"}  # which leave positive sums as they are


class Softmax(NamedTuple):
    """What an equation computes in the end.

    Attributes:
      logits: Its input.
      axis: Along which exponentials are summed.
      kind: 'softmax', 'log_softmax' or 'logsumexp'; 'unknown' for exponentials divided by what has their sum in it.
      shape: Of the result.
    """

    logits: core.Var
    axis: int
    kind: Literal["softmax", "log_softmax", "logsumexp", "unknown"]
    shape: tuple[int, ...]


def softmaxes(jaxpr: core.Jaxpr) -> dict[core.JaxprEqn, Softmax]:
    """Finds the last equations of softmax, its logarithm, and the logarithm of a sum of exponentials.

    Their parts depend on each other, which rules for the single steps would not know. With `e = exp(y)`, the patterns
    are `e / sum(e)`, `y - log(sum(e))` and `log(sum(e)) + m`, where `y` is the logits less a number `m` for each sum;
    in the first two, any number will do, as it cancels. The last one taken from the logits is the second one, too.
    """
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}

    def maker(v: Any, name: str) -> Any:
        eqn = None if isinstance(v, core.Literal) else made.get(v)
        return eqn if eqn is not None and eqn.primitive.name == name else None

    def sum_of_powers(v: Any) -> tuple[Any, Any] | None:
        """The equations of `sum(e)`, and of `e`, if `v` is the former."""
        total = maker(_source(v, made), "reduce_sum")
        power = None if total is None or len(total.params["axes"]) != 1 else maker(total.invars[0], "exp")
        return None if power is None else (total, power)

    def logarithm_of_sum(v: Any) -> tuple[Any, Any] | None:
        logarithm = maker(_source(v, made), "log")
        return None if logarithm is None else sum_of_powers(logarithm.invars[0])

    found = {}
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name not in ("div", "sub", "add"):
            continue
        first: Any
        first, second = eqn.invars
        shape = out_type(eqn).shape
        parts = sum_of_powers(second) if name == "div" else logarithm_of_sum(second)
        if name == "add" and parts is None:
            parts, first, second = logarithm_of_sum(first), second, first
        if parts is not None:
            total, power = parts
            (axis,), y = total.params["axes"], power.invars[0]
            sums = y.aval.shape, axis
            shifted = maker(y, "sub")
            logits, shift = (y, None) if shifted is None else shifted.invars
            if logits.aval.shape != y.aval.shape:
                logits, shift = y, None
            if name == "add":
                source = _source(first, made)
                if shift is not None and _source(shift, made) is source:
                    places = [_aligned(v, made, *sums) for v in (shift, first, second)]
                    # Both without the axis, or both with one entry along it.
                    if places[0] == "kept" and places[1] == places[2] is not None:
                        found[eqn] = Softmax(logits, axis, "logsumexp", shape)
            elif first is (total.invars[0] if name == "div" else y) and _aligned(second, made, *sums) == "kept":
                cancels = shift is not None and shift.aval.shape[axis : axis + 1] == (1,)
                kind = "softmax" if name == "div" else "log_softmax"
                found[eqn] = Softmax(logits if cancels else y, axis, kind, shape)
        if name == "sub" and eqn not in found:
            logsumexp = found.get(maker(_source(second, made), "add"))
            if logsumexp is not None and first is logsumexp.logits:
                axis = logsumexp.axis
                if _aligned(second, made, first.aval.shape, axis) == "kept":
                    found[eqn] = Softmax(first, axis, "log_softmax", shape)
        if name == "div" and eqn not in found:
            power = maker(_source(first, made), "exp")
            if power is not None and _has_sum_of(power, second, made):
                found[eqn] = Softmax(power.invars[0], 0, "unknown", shape)
    return {eqn: softmax for eqn, softmax in found.items() if isinstance(softmax.logits, core.Var)}


def _source(v: Any, made: dict[core.Var, core.JaxprEqn]) -> Any:
    """What `v` was before changes of shape, and before the absolute value that jax takes of a positive sum."""
    while not isinstance(v, core.Literal) and v in made:
        if made[v].primitive.name not in _OF_SHAPE | _OF_POSITIVE:
            break
        v = made[v].invars[0]
    return v


def _aligned(
    v: Any, made: dict[core.Var, core.JaxprEqn], shape: tuple[int, ...], axis: int
) -> Literal["reduced", "kept"] | None:
    """How `v` stands beside an array of `shape`, over whose `axis` a sum was taken that `v` comes of by `_source`.

    'reduced' is without that axis; 'kept' has it, with one entry or with equal ones; None is neither, as if the sums
    of rows were put beside columns.
    """
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    reduced = (*shape[:axis], *shape[axis + 1 :])
    others = tuple(i for i in range(len(shape)) if i != axis)
    steps = []
    while v in made and made[v].primitive.name in _OF_SHAPE | _OF_POSITIVE:
        steps.append(made[v])
        v = made[v].invars[0]
    place = {reduced: "reduced", kept: "kept"}.get(v.aval.shape)
    for step in reversed(steps):
        after, name = step.outvars[0].aval.shape, step.primitive.name
        if place is None or name in _OF_POSITIVE:
            continue
        if name == "broadcast_in_dim":
            dims = tuple(step.params["broadcast_dimensions"])
            fits = dims == (others if place == "reduced" else tuple(range(len(shape)))) and after in (kept, shape)
            place = "kept" if fits else None
        else:
            place = {reduced: "reduced", kept: "kept"}.get(after)
    return place  # pyright: ignore[reportReturnType]


def _has_sum_of(power: core.JaxprEqn, v: Any, made: dict[core.Var, core.JaxprEqn]) -> bool:
    """Whether some sum of entries of what `power` made, or another equation like it, is part of `v`."""
    seen, open_ends = set(), [(v, False)]
    while open_ends:
        v, summed = open_ends.pop()
        if isinstance(v, core.Literal) or v not in made or (v, summed) in seen:
            continue
        seen.add((v, summed))
        eqn = made[v]
        if eqn.primitive.name == "exp" and eqn.invars[0] is power.invars[0]:
            if summed:
                return True
            continue
        open_ends += [(operand, summed or eqn.primitive.name == "reduce_sum") for operand in eqn.invars]
    return False
