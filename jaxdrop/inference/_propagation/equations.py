"""Equations of a traced program: applying them to arrays, and what the rules for random arrays need of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from jaxdrop import _masks

COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
# Functions of one entry of each operand.
LINEAR_ENTRYWISE = {"add", "add_any", "sub", "neg", "convert_element_type", "copy", "copy_p", "stop_gradient"}
KINKED = {"max", "min", "abs", "clamp"}
SMOOTH = {"integer_pow", "pow", "square", "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "logistic"}
SMOOTH |= {"sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"}
SMOOTH |= {"erf", "erfc", "erf_inv", "lgamma", "digamma"}
ENTRYWISE = COMPARISONS | LINEAR_ENTRYWISE | KINKED | SMOOTH | {"mul", "div", "select_n", "sign", "is_finite"}
DECISIONS = {"and", "or", "not", "xor"}
# Entries put elsewhere, and sums of entries: variances of independent entries move and add up as means do.
MOVES = {"broadcast_in_dim", "reshape", "transpose", "squeeze", "expand_dims", "rev", "slice", "split", "concatenate"}
MOVES |= {"stack", "unstack", "pad", "gather", "dynamic_slice", "dynamic_update_slice", "scatter", "tile"}
SUMS = MOVES | {"reduce_sum", "cumsum", "reduce_window_sum", "scatter-add"}
PRODUCTS = {"dot_general", "conv_general_dilated"}
CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call")


def in_types(eqn: core.JaxprEqn) -> list[Any]:
    """Shape and dtype of each operand."""
    return [v.aval for v in eqn.invars]


def out_types(eqn: core.JaxprEqn) -> list[Any]:
    """Shape and dtype of each result."""
    return [v.aval for v in eqn.outvars]


def out_type(eqn: core.JaxprEqn) -> Any:
    """Shape and dtype of the first result."""
    return eqn.outvars[0].aval


def inner(eqn: core.JaxprEqn) -> list[core.Jaxpr]:
    """The programs among an equation's parameters."""

    def is_program(value: Any) -> bool:
        return isinstance(value, core.Jaxpr | core.ClosedJaxpr)

    programs = filter(is_program, jax.tree.leaves(eqn.params, is_leaf=is_program))
    return [program.jaxpr if isinstance(program, core.ClosedJaxpr) else program for program in programs]


def apply(eqn: core.JaxprEqn, *operands: Any, **changes: Any) -> list[jax.Array]:
    """Applies an equation to arrays, with some of its parameters changed."""
    params = eqn.primitive.get_bind_params({**eqn.params, **changes})
    results = eqn.primitive.bind(*operands, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def is_constant(*values: Any) -> bool:
    """Whether values are known before tracing."""
    return not any(isinstance(value, Tracer) for value in values)


def fold(eqn: core.JaxprEqn, operands: list[Any]) -> list[jax.Array]:
    """Applies an equation to arrays; small constants stay such, so that rules can tell the ends of an interval."""
    small = all(np.size(x) < 32 for x in operands) and all(out.size < 32 for out in out_types(eqn))
    if small and eqn.primitive.name in ENTRYWISE | MOVES and is_constant(*operands):
        with jax.ensure_compile_time_eval():
            return apply(eqn, *operands)
    return apply(eqn, *operands)


def float_dtype(aval: Any) -> Any:
    """What the entries of a random array are computed in; random integers are floats too."""
    return _masks.wide(aval.dtype) if jnp.issubdtype(aval.dtype, jnp.inexact) else jnp.float32
