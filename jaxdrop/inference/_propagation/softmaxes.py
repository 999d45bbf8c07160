"""Finding softmax in a program, where it is written out."""

from typing import Any, Literal, NamedTuple

from jax.extend import core


class Softmax(NamedTuple):
    """What an equation computes in the end.

    Attributes:
      logits: Its input.
      axis: Along which exponentials are summed.
      kind: 'softmax', 'log_softmax' or 'logsumexp'.
    """

    logits: core.Var
    axis: int
    kind: Literal["softmax", "log_softmax", "logsumexp"]


def softmaxes(jaxpr: core.Jaxpr) -> dict[core.JaxprEqn, Softmax]:
    """Finds the last equations of softmax, its logarithm, and the logarithm of a sum of exponentials.

    Their parts depend on each other, which rules for the single steps would not know. With `e = exp(y)`, the patterns
    are `e / sum(e)`, `y - log(sum(e))` and `log(sum(e)) + m`, where `y` is the logits less a number `m` for each sum;
    in the first two, any number will do, as it cancels.
    """
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}

    def maker(v: Any, *names: str) -> Any:
        """The equation that made `v`, up to a change of shape, if it has one of these names."""
        v = _source(v, made)
        eqn = None if isinstance(v, core.Literal) else made.get(v)
        return eqn if eqn is not None and eqn.primitive.name in names else None

    def sum_of_powers(v: Any) -> tuple[Any, Any] | None:
        """The equations of `sum(e)`, and of `e`, if `v` is the former."""
        total = maker(v, "reduce_sum")
        power = None if total is None or len(total.params["axes"]) != 1 else made.get(total.invars[0])
        return None if power is None or power.primitive.name != "exp" else (total, power)

    def logarithm_of_sum(v: Any) -> tuple[Any, Any] | None:
        logarithm = maker(v, "log")
        return None if logarithm is None else sum_of_powers(logarithm.invars[0])

    found = {}
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name not in ("div", "sub", "add"):
            continue
        first, second = eqn.invars
        parts = sum_of_powers(second) if name == "div" else logarithm_of_sum(second)
        if name == "add" and parts is None:
            parts, second = logarithm_of_sum(first), second
        elif name == "add":
            second = first
        if parts is None:
            continue
        total, power = parts
        (axis,), y = total.params["axes"], power.invars[0]
        shifted = maker(y, "sub")
        logits, shift = (y, None) if shifted is None else shifted.invars
        if name == "add":
            if shift is not None and _source(shift, made) is _source(second, made):
                found[eqn] = Softmax(logits, axis, "logsumexp")
        elif first is (total.invars[0] if name == "div" else y):
            cancels = shift is not None and shift.aval.shape[axis : axis + 1] == (1,)
            found[eqn] = Softmax(logits if cancels else y, axis, "softmax" if name == "div" else "log_softmax")
    return {eqn: softmax for eqn, softmax in found.items() if isinstance(softmax.logits, core.Var)}


def _source(v: Any, made: dict[core.Var, core.JaxprEqn]) -> Any:
    """What `v` was before changes of shape, and before the absolute value that jax takes of a positive sum."""
    while not isinstance(v, core.Literal) and v in made:
        if made[v].primitive.name not in ("broadcast_in_dim", "reshape", "abs"):
            break
        v = made[v].invars[0]
    return v
