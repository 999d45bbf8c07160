"""LayerDrop around an nnx module."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from jaxdrop import _checks
from jaxdrop.functional.layer_drop import layer_runs
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class LayerDrop(StochasticModule):
    """Applies a layer, or skips it for the whole batch; see `jaxdrop.layer_drop`.

    Args:
      layer: Module from inputs to outputs of the same shape and dtype.
      rate: Probability of skipping; a number in [0, 1] or a scalar array.
      deterministic: Whether always to apply the layer.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> layers = [nnx.Linear(8, 8, rngs=rngs) for _ in range(6)]
      >>> model = nnx.Sequential(*[jaxdrop.nnx.LayerDrop(layer, 0.2, rngs=rngs) for layer in layers])
      >>> model(jnp.ones((2, 8))).shape
      (2, 8)
    """

    def __init__(
        self,
        layer: Callable[..., Any],
        rate: jax.typing.ArrayLike,
        *,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
        self.layer = layer

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: Any,
        *args: Any,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        """Applies `layer(inputs, *args, **kwargs)` or returns `inputs`.

        Args:
          inputs: The inputs.
          *args: Further arguments of the layer.
          deterministic: Whether to apply the layer for sure; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.
          **kwargs: Keyword arguments of the layer.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above.
        """
        everything: Any = (inputs, args, kwargs)
        return super().__call__(everything, deterministic=deterministic, rngs=rngs)

    def noise(self, key: jax.Array | None, inputs: Any) -> Any:
        x, args, kwargs = inputs
        rate = _checks.static_rate("rate", self.rate)
        if rate in (0.0, 1.0):
            return self.layer(x, *args, **kwargs) if rate == 0 else x
        return nnx.cond(
            layer_runs(key, self.rate), lambda layer, x: layer(x, *args, **kwargs), lambda layer, x: x, self.layer, x
        )

    def expectation(self, inputs: Any) -> Any:
        x, args, kwargs = inputs
        return self.layer(x, *args, **kwargs)
