"""Equations of a traced program: applying them to arrays, and what the rules for random arrays need of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxdrop import _masks

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
# Functions of one entry of each operand.
LINEAR_ENTRYWISE = frozenset("add add_any sub neg convert_element_type copy copy_p stop_gradient".split())
KINKED = frozenset({"max", "min", "abs", "clamp"})
SMOOTH = frozenset(
    "integer_pow pow square sqrt rsqrt cbrt exp exp2 expm1 log log1p logistic tanh sin cos tan asin acos atan sinh cosh"
    " asinh acosh atanh erf erfc erf_inv lgamma digamma".split()
)
ENTRYWISE = COMPARISONS | LINEAR_ENTRYWISE | KINKED | SMOOTH | {"mul", "div", "select_n", "sign", "is_finite"}
DECISIONS = frozenset({"and", "or", "not", "xor"})
# Entries put elsewhere, and sums of entries: variances of independent entries move and add up as means do.
MOVES = frozenset(
    "broadcast_in_dim reshape transpose squeeze expand_dims rev slice split concatenate pad gather dynamic_slice"
    " dynamic_update_slice scatter tile".split()
)
SUMS = MOVES | {"reduce_sum", "cumsum", "reduce_window_sum", "scatter-add"}
PRODUCTS = frozenset({"dot_general", "conv_general_dilated"})


def apply(eqn: core.JaxprEqn, *operands: Any, **changes: Any) -> list[jax.Array]:
    """Applies an equation to arrays, with some of its parameters changed."""
    params = eqn.primitive.get_bind_params({**eqn.params, **changes})
    results = eqn.primitive.bind(*operands, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def is_constant(*values: Any) -> bool:
    """Whether values are known before tracing."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def fold(eqn: core.JaxprEqn, operands: list[Any]) -> list[jax.Array]:
    """Applies an equation to arrays; small constants stay such, so that rules can tell the ends of an interval."""
    small = all(np.size(x) < 32 for x in operands) and all(v.aval.size < 32 for v in eqn.outvars)
    if small and eqn.primitive.name in ENTRYWISE | MOVES and is_constant(*operands):
        with jax.ensure_compile_time_eval():
            return apply(eqn, *operands)
    return apply(eqn, *operands)


def float_dtype(aval: Any) -> Any:
    """What the entries of a random array are computed in; random integers are floats too."""
    return _masks.wide(aval.dtype) if jnp.issubdtype(aval.dtype, jnp.inexact) else jnp.float32
