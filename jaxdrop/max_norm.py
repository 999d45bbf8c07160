"""The max-norm constraint, as the last link of an optax chain."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxdrop import _checks, _masks, _paths


def max_norm(limit: float, kernels: Callable[[_paths.Path], bool] = _paths.is_kernel) -> optax.GradientTransformation:
    r"""Keeps the norm of each unit's incoming weights within `limit`, after every update.

    .. math:: w_j \leftarrow w_j \min(1, c / \lVert w_j \rVert_2)

    for each unit :math:`j`, which is the projection onto the ball: the closest weights that satisfy the constraint. In
    flax's layout the units are the last axis of a kernel, and the norm is over all others, those of a convolution's
    window included. Where an earlier axis counts units too (the heads of an attention kernel, the layers of a scanned
    stack), they share one norm: leave such kernels out by `kernels`.

    It goes last in a chain, for it corrects the update that the others arrived at. A unit within the limit keeps its
    update as it is; the norm of another exceeds the limit by rounding in the kernel's dtype at most. The norm is that
    of the weights as rounded to their dtype, computed in float32 or wider.

    Args:
      limit: Largest norm :math:`c`, above 0; the paper has 2 to 4.
      kernels: Which leaves to constrain: a function of the path, such as `("Dense_0", "kernel")`, to a bool. By default
        those named "kernel". They must be real.

    Returns:
      A gradient transformation without state, whose `update` needs `params`.

    Raises:
      ValueError: If `limit` is not positive and finite; in `init`, if `kernels` selects nothing; in `update`, if
        `params` is None.

    Examples:
      >>> import optax
      >>> optimizer = optax.chain(optax.sgd(0.1, momentum=0.95), jaxdrop.max_norm(2.0))
      >>> params = {"kernel": jnp.array([[3.0, 0.3], [4.0, 0.4]]), "bias": jnp.full(2, 9.0)}
      >>> grads = jax.tree.map(jnp.zeros_like, params)
      >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
      >>> params = optax.apply_updates(params, updates)
      >>> [round(float(norm), 4) for norm in jnp.linalg.norm(params["kernel"], axis=0)]
      [2.0, 0.5]

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014
    """
    _checks.positive("limit", limit)

    def init(params: optax.Params) -> optax.EmptyState:
        selected = [kernels(_paths.names(path)) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        _checks.at_least("the number of leaves that kernels selects", sum(map(bool, selected)), 1)
        return optax.EmptyState()

    def update(
        updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:
        _checks.params_given(params)

        def constrain(path: jax.tree_util.KeyPath, update: jax.Array | None, kernel: jax.Array) -> jax.Array | None:
            return update if update is None or not kernels(_paths.names(path)) else _project(update, kernel, limit)

        return jax.tree_util.tree_map_with_path(constrain, updates, params, is_leaf=lambda x: x is None), state

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def _project(update: jax.Array, kernel: jax.Array, limit: float) -> jax.Array:
    wide = _masks.wide(kernel.dtype)
    info = jnp.finfo(kernel.dtype)

    def moved(update: jax.Array) -> jax.Array:
        # Rounded as optax.apply_updates will round it, which XLA is free to skip in a plain chain of casts.
        return jax.lax.reduce_precision(kernel.astype(wide) + update.astype(wide), info.nexp, info.nmant)

    free = moved(update)
    norm = jnp.sqrt(jnp.sum(jnp.square(free), axis=tuple(range(kernel.ndim - 1)), keepdims=True))
    # A little below the limit, for the norm itself is rounded; and what is projected once is then within for good.
    target = free * (limit * (1 - 4 * float(jnp.finfo(wide).eps)) / jnp.maximum(norm, limit))
    projected = (target - kernel.astype(wide)).astype(update.dtype)
    # From far outside, the update is much larger than what it leaves behind, and so is its rounding: let it be inwards.
    reached = moved(projected)
    inwards = jnp.nextafter(projected, jnp.copysign(jnp.inf, -reached).astype(update.dtype))
    projected = jnp.where(jnp.abs(reached) > jnp.abs(target), inwards, projected)
    return jnp.where(norm > limit, projected, update)
