"""Weight drop around a linen module."""

import operator
from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
from flax.core import Scope, unfreeze
from flax.linen.transforms import get_module_scopes

from jaxdrop import _paths
from jaxdrop.functional.weight_drop import drop_leaves
from jaxdrop.linen._stochastic import NoiseModule, rate_needs_key


class WeightDrop(NoiseModule):
    """Runs a module on kernels of which entries are missing; see `jaxdrop.weight_drop`.

    The variables are those of the module alone, at the same paths, and stay as they are: a checkpoint serves both.
    Gradients are those of the stored parameters. All other collections are updated as ever.

    One call has one mask. For AWD-LSTM, where that serves a whole sequence, wrap the `nn.RNN` and not its cell, which
    flax would refuse; in an `nn.scan` of one's own, a wrapped cell draws a mask at every step, or one for all steps,
    as `split_rngs` has it.

    Attributes:
      module: The module to run.
      rate: Probability of dropping an entry; a number in [0, 1] or a scalar array.
      where: Which parameters to drop from: a function of the path to a bool, by default those named "kernel". The path
        starts at the root of the parameters that `apply` is given, and the key of each mask is made from it.
      method: Name of the method of `module` that a call runs.
      deterministic: Whether to run the module on its parameters as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.

    Examples:
      >>> def hidden_to_hidden(path):
      ...     return path[-1] == "kernel" and path[-2] in ("hi", "hf", "hg", "ho")
      >>> lstm, x = nn.RNN(nn.OptimizedLSTMCell(8)), jnp.ones((2, 5, 3))
      >>> awd_lstm = jaxdrop.linen.WeightDrop(lstm, 0.5, hidden_to_hidden)
      >>> variables = lstm.init(jax.random.key(0), x)
      >>> awd_lstm.apply(variables, x, deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
      (2, 5, 8)
    """

    module: nn.Module
    rate: jax.typing.ArrayLike
    where: Callable[[_paths.Path], bool] = _paths.is_kernel
    method: str = "__call__"
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    def setup(self) -> None:
        ours, its = cast(Scope, self.scope), cast(Scope, self.module.scope)
        if its.parent is ours:
            ours.reservations.pop(cast(str, its.name))  # which the module's own children may have
        nn.share_scope(self, self.module)  # so that variables are where they were

    def __call__(
        self, *args: Any, deterministic: bool | None = None, rng: jax.Array | None = None, **kwargs: Any
    ) -> Any:
        """Runs the module on `args` and `kwargs`; `deterministic` and `rng` are the wrapper's own.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of `jaxdrop.weight_drop`.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        key_needed = rate_needs_key(self.rate)

        def run(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return getattr(module, self.method)(*args, **kwargs)

        if deterministic or self.is_initializing():
            return run(self.module, *args, **kwargs)
        key = self.make_rng(self.rng_collection) if key_needed and rng is None else rng

        def drop(paths: list[_paths.Path], leaves: list[jax.Array]) -> list[jax.Array]:
            return drop_leaves(key, paths, leaves, self.rate, self.where, self.bits)

        return nn.map_variables(run, "params", _Dropped(self.module, drop))(self.module, *args, **kwargs)


class _Dropped:
    """Function from variables to those with dropped parameters, for `nn.map_variables`.

    That maps one tree for each scope that the module reaches, its own or that of a module beside it, and does not say
    which scope it is.
    """

    def __init__(self, module: nn.Module, drop: Callable[[list[_paths.Path], list[jax.Array]], list[jax.Array]]):
        scopes: list[Any] = get_module_scopes(module)[0]
        self.stored = [(scope.path, unfreeze(scope.variables()).get("params", {})) for scope in scopes]
        leaves = {path: leaf for scope, params in self.stored for path, leaf in _with_paths(scope, params)}
        self.dropped = dict(zip(leaves, drop(list(leaves), list(leaves.values())), strict=True))

    def __call__(self, variables: Any) -> Any:
        params = variables.get("params", {})
        number = next(number for number, (_, stored) in enumerate(self.stored) if _is_same(stored, params))
        scope, _ = self.stored.pop(number)  # so that one with the same arrays is found by its turn
        dropped = [self.dropped[path] for path, _ in _with_paths(scope, params)]
        return jax.tree.unflatten(jax.tree.structure(variables), dropped)


def _with_paths(scope: _paths.Path, params: Any) -> list[tuple[_paths.Path, jax.Array]]:
    return [(scope + _paths.names(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]


def _is_same(first: Any, second: Any) -> bool:
    same_structure = jax.tree.structure(first) == jax.tree.structure(second)
    return same_structure and all(map(operator.is_, jax.tree.leaves(first), jax.tree.leaves(second)))
