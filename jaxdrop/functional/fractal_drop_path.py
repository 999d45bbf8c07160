"""FractalNet's drop-path: which inputs of a join survive."""

import functools
import numbers
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdrop import _bits, _checks, _masks

Branches = Sequence[jax.typing.ArrayLike] | jax.Array


def fractal_drop_path(
    key: jax.Array | None,
    branches: Branches,
    rate: jax.typing.ArrayLike,
    *,
    column: jax.typing.ArrayLike = -1,
    mode: Literal["row", "batch"] = "batch",
) -> jax.Array:
    r"""Joins branches: the mean of those that survive.

    .. math:: y = \frac{\sum_c m_c x_c}{\sum_c m_c}, \quad m_c \sim \mathrm{Bernoulli}(1 - p)

    Local sampling drops each branch with probability `rate`; if that leaves none, one of them, uniformly drawn,
    survives. So do the authors' code and this function; by symmetry :math:`E[y]` is the mean of all branches, unless
    their rates differ. Predict with that mean, `fractal_drop_path_expectation`.

    Global sampling passes one column through the whole network: give every join the same `column`, drawn once per step
    by `fractal_column`, which mixes it with local sampling. Columns count from the deepest, so list branches that way.
    Then a join inside a block, of the deeper columns alone, knows its columns by the same numbers. If `column` is
    beyond them, the join is not on the path: it returns the mean of all, which no later join lets through.

    Papers since call stochastic depth DropPath as well: that has one branch, and is `stochastic_depth`.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed. Not read at the static rate 0, for a Python
        number `column` from 0 on, or for one branch: None will do.
      branches: Floating-point or complex arrays (batch, ...) of one shape and dtype, deepest column first; or one array
        with a leading axis of branches.
      rate: Probability :math:`p` of dropping a branch, 0.15 in re-implementations that say they follow the paper; a
        number in [0, 1], or an array, traced or not, of shape () or one per branch. No gradient flows into it.
      column: Number of the branch to pass, or a negative one for local sampling; an integer, traced or not, or an array
        of one for each entry of the first axis. A Python number selects before tracing: other branches that nothing
        else uses are not computed under jit.
      mode: 'batch' samples locally once for all, 'row' for each entry of the first axis.

    Returns:
      An array of the shape and dtype of a branch.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, an array rate is not of one of these shapes, there is no
        branch, branches are scalars or differ in shape, `column` has another shape, or `mode` is neither.
      TypeError: If a branch is not floating point, their dtypes differ, `rate` is neither a number nor an array,
        `column` is not an integer, or `key` is not one key.

    Examples:
      A block of three columns, :math:`f_{C+1}(z) = (f_C \circ f_C)(z) \oplus \mathrm{conv}(z)`, with neighbouring joins
      merged into one:

      >>> def columns(z, depth, join, conv):
      ...     if depth == 1:
      ...         return [conv(z)]
      ...     half = join(columns(z, depth - 1, join, conv))
      ...     return [*columns(half, depth - 1, join, conv), conv(z)]
      >>> def block(key, z, conv):
      ...     keys = iter(jax.random.split(key, 5))
      ...     column = jaxdrop.fractal_column(next(keys), 3)
      ...     join = lambda branches: jaxdrop.fractal_drop_path(next(keys), branches, 0.15, column=column)
      ...     return join(columns(z, 3, join, conv))
      >>> jax.jit(block, static_argnums=2)(jax.random.key(0), jnp.ones((2, 8)), jnp.tanh).shape
      (2, 8)

    References:
      Larsson et al., `FractalNet: ultra-deep neural networks without residuals <https://arxiv.org/abs/1605.07648>`_,
      2017
    """
    arrays = _arrays(branches)
    static_rate = _checks.static_rate("rate", rate)
    _checks.one_of("mode", mode, ("row", "batch"))
    chosen = _column(column, arrays[0])
    known = _known(column)
    if static_rate == 0 or len(arrays) == 1 or (known is not None and known >= 0):
        return fractal_drop_path_expectation(branches, column=column)
    key = _checks.prng_key("key", key)
    return _fractal_drop_path(key, arrays, jnp.asarray(rate, jnp.float32), chosen, mode == "row")


def fractal_drop_path_expectation(branches: Branches, *, column: jax.typing.ArrayLike = -1) -> jax.Array:
    r"""Joins branches without noise: their mean, or one column.

    Args:
      branches: Arrays of one shape and dtype, as in `fractal_drop_path`.
      column: Number of the branch to pass, as in `fractal_drop_path`, or a negative one for the mean. Given to all
        joins, it extracts one column of a network, by itself a network that FractalNet trains to predict.

    Returns:
      An array of the shape and dtype of a branch.

    Raises:
      ValueError: If there is no branch, branches are scalars or differ in shape, or `column` has another shape.
      TypeError: If a branch is not floating point, their dtypes differ, or `column` is not an integer.

    Examples:
      >>> jaxdrop.fractal_drop_path_expectation([jnp.ones(2), jnp.zeros(2)])
      Array([0.5, 0.5], dtype=float32)

    References:
      Larsson et al., `FractalNet: ultra-deep neural networks without residuals <https://arxiv.org/abs/1605.07648>`_,
      2017
    """
    arrays = _arrays(branches)
    chosen = _column(column, arrays[0])
    known = _known(column)
    if known is not None and 0 <= known < len(arrays):
        return arrays[known]
    return _mean(arrays, _pass_column(chosen, jnp.ones((len(arrays), *chosen.shape[1:]), bool)))


def fractal_column(
    key: jax.Array | None, num_columns: int, *, local: jax.typing.ArrayLike = 0.5, shape: tuple[int, ...] = ()
) -> jax.Array:
    """Draws the `column` of all joins of a FractalNet: -1 for local sampling, or a uniform one for global sampling.

    Re-implementations that say they follow the paper sample locally and globally half of the time each, anew for every
    batch.

    Args:
      key: PRNG key, typed or legacy, of any implementation; consumed.
      num_columns: Columns of the network, at least 1.
      local: Probability of local sampling; a number in [0, 1], or a scalar array.
      shape: () for one decision for the batch, or (batch,) for one for each example.

    Returns:
      An int32 array of shape `shape`.

    Raises:
      ValueError: If `num_columns` is below 1, or `local` is a number outside [0, 1] or an array that is not a scalar.
      TypeError: If `local` is neither a number nor an array, or `key` is not one key.

    Examples:
      >>> column = jaxdrop.fractal_column(jax.random.key(0), 3, shape=(1000,))
      >>> bool(jnp.all((column >= -1) & (column < 3)))
      True

    References:
      Larsson et al., `FractalNet: ultra-deep neural networks without residuals <https://arxiv.org/abs/1605.07648>`_,
      2017
    """
    key = _checks.prng_key("key", key)
    _checks.at_least("num_columns", num_columns, 1)
    _checks.static_rate("local", local)
    probability = jnp.asarray(local, jnp.float32)
    _checks.rate_shape("local", probability.shape, (), ())
    _bits.mark_used(key)
    which, choice = _bits.split(key, 2)
    return jnp.where(_bits.uniform(which, shape) < probability, np.int32(-1), _integers(choice, shape, num_columns))


@functools.partial(jax.jit, static_argnums=4)
def _fractal_drop_path(
    key: jax.Array, branches: list[jax.Array], rate: jax.Array, column: jax.Array, by_row: bool
) -> jax.Array:
    number, ndim = len(branches), branches[0].ndim
    rate = rate.reshape(*_checks.rate_shape("rate", rate.shape, (number,), ()), *(1,) * ndim)

    @_masks.redraw
    def draw(key: jax.Array, branches: list[jax.Array], rate: jax.Array, column: jax.Array) -> jax.Array:
        shape = (branches[0].shape[0] if by_row else 1, *(1,) * (ndim - 1))
        decision, choice = _bits.split(key, 2)
        survives = _masks.keep_mask(decision, (number, *shape), rate, bits=32).mask
        spared = lax.broadcasted_iota(jnp.int32, (number, *shape), 0) == _integers(choice, (1, *shape), number)
        survives = survives | (spared & ~jnp.any(survives, axis=0, keepdims=True))
        y = _mean(branches, _pass_column(column, survives))
        return jnp.where(jnp.any(jnp.isnan(rate)), jnp.asarray(jnp.nan, y.dtype), y)

    return draw(key, branches, lax.stop_gradient(rate), column)


def _pass_column(column: jax.Array, survives: jax.Array) -> jax.Array:
    """Lets one of the branches, along the first axis, survive where `column` is among their numbers."""
    number = survives.shape[0]
    chosen = lax.broadcasted_iota(jnp.int32, (number, *column.shape[1:]), 0) == column
    outside = (column < 0) | (column >= number)
    return chosen | (outside & (survives | (column >= number)))


def _mean(branches: list[jax.Array], survives: jax.Array) -> jax.Array:
    dtype = _masks.wide(branches[0].dtype)
    zero = jnp.zeros((), dtype)
    total = sum((jnp.where(keep, x.astype(dtype), zero) for keep, x in zip(survives, branches, strict=True)), zero)
    return (total / jnp.sum(survives, axis=0, dtype=jnp.int32).astype(dtype)).astype(branches[0].dtype)


def _integers(key: jax.Array, shape: tuple[int, ...], number: int) -> jax.Array:
    """Draws integers that are uniform on `[0, number)`."""
    scaled = _bits.uniform(key, shape) * np.float32(number)
    return jnp.minimum(scaled.astype(jnp.int32), number - 1)  # the product may round to `number` itself


def _arrays(branches: Branches) -> list[jax.Array]:
    arrays = [_checks.inexact(f"branches[{number}]", branch) for number, branch in enumerate(branches)]
    _checks.at_least("the number of branches", len(arrays), 1)
    _checks.at_least("branches[0].ndim", arrays[0].ndim, 1)
    for number, array in enumerate(arrays):
        _checks.same_shape("branches[0]", arrays[0], f"branches[{number}]", array)
        _checks.same_dtype("branches[0]", arrays[0], f"branches[{number}]", array)
    return arrays


def _column(column: jax.typing.ArrayLike, branch: jax.Array) -> jax.Array:
    """Returns `column` as an array that broadcasts against (branches, *shape of a branch)."""
    array = _checks.integers("column", column)
    if array.ndim:
        _checks.rate_shape("column", array.shape, branch.shape[:1], ())
    return array.astype(jnp.int32).reshape(1, -1, *(1,) * (branch.ndim - 1))


def _known(column: jax.typing.ArrayLike) -> int | None:
    """Returns a column known before tracing, and None for an array."""
    return int(column) if isinstance(column, numbers.Integral) else None
