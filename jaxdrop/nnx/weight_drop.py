"""Weight drop around an nnx module."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from jaxdrop import _paths, functional
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class WeightDrop(StochasticModule):
    """Runs a module on kernels of which entries are missing; see `jaxdrop.weight_drop`.

    The call is that of a copy with other parameters, so those of the module stay as they are whatever happens in it,
    and gradients are theirs. All other variables are shared with the copy and updated as ever: batch statistics, RNG
    streams. Plain attributes that a call sets are set in the copy.

    One call has one mask. For AWD-LSTM, where that serves a whole sequence, wrap the `nnx.RNN` and not its cell, which
    flax would refuse.

    Args:
      module: The module to run.
      rate: Probability of dropping an entry; a number in [0, 1] or a scalar array.
      where: Which parameters to drop from: a function of the path to a bool, by default those named "kernel". The path
        starts at `module`, and the key of each mask is made from it.
      method: Name of the method of `module` that a call runs.
      deterministic: Whether to run the module on its parameters as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> def hidden_to_hidden(path):
      ...     return path[-2:] == ("dense_h", "kernel")
      >>> lstm = nnx.RNN(nnx.OptimizedLSTMCell(3, 8, rngs=nnx.Rngs(0)))
      >>> awd_lstm = jaxdrop.nnx.WeightDrop(lstm, 0.5, where=hidden_to_hidden, rngs=nnx.Rngs(1))
      >>> awd_lstm(jnp.ones((2, 5, 3))).shape
      (2, 5, 8)
    """

    def __init__(
        self,
        module: nnx.Module,
        rate: jax.typing.ArrayLike,
        *,
        where: Callable[[_paths.Path], bool] = _paths.is_kernel,
        method: str = "__call__",
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.module = module
        self.rate = rate
        self.where = where
        self.method = method
        self.bits = bits

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *args: Any,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        """Runs the module on `args` and `kwargs`.

        Args:
          *args: Arguments of the module.
          deterministic: Whether to run it on its parameters as they are; takes precedence over the attribute.
          rngs: Where the key of the masks comes from; takes precedence over the attribute.
          **kwargs: Keyword arguments of the module.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above, or for the conditions of the function.
        """
        both: Any = (args, kwargs)
        return super().__call__(both, deterministic=deterministic, rngs=rngs)

    def noise(self, key: jax.Array | None, inputs: Any) -> Any:
        graph, params, others = nnx.split(self.module, nnx.Param, ...)
        dropped = functional.weight_drop(key, params, self.rate, where=self.where, bits=self.bits)
        return self._run(nnx.merge(graph, dropped, others), inputs)  # which shares the variables in `others`

    def expectation(self, inputs: Any) -> Any:
        return self._run(self.module, inputs)

    def _run(self, module: nnx.Module, inputs: Any) -> Any:
        args, kwargs = inputs
        return getattr(module, self.method)(*args, **kwargs)
