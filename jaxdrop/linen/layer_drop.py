"""LayerDrop around a linen module."""

from typing import Any

import flax.linen as nn
import jax

from jaxdrop import _checks
from jaxdrop.functional.layer_drop import layer_runs
from jaxdrop.linen._stochastic import NoiseModule


class LayerDrop(NoiseModule):
    """Applies a layer, or skips it for the whole batch; see `jaxdrop.layer_drop`.

    Attributes:
      layer: Module from inputs to outputs of the same shape and dtype.
      rate: Probability of skipping; a number in [0, 1] or a scalar array.
      deterministic: Whether always to apply the layer.
      rng_collection: Name of the RNG stream that the key comes from.

    Examples:
      >>> model = nn.Sequential([jaxdrop.linen.LayerDrop(nn.Dense(8), 0.2, deterministic=False) for _ in range(6)])
      >>> rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
      >>> variables = model.init(rngs, jnp.ones((2, 8)))
      >>> model.apply(variables, jnp.ones((2, 8)), rngs=rngs).shape
      (2, 8)
    """

    layer: nn.Module
    rate: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(
        self, inputs: Any, *args: Any, deterministic: bool | None = None, rng: jax.Array | None = None, **kwargs: Any
    ) -> Any:
        """Applies `layer(inputs, *args, **kwargs)` or returns `inputs`.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of `jaxdrop.layer_drop`.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        rate = _checks.static_rate("rate", self.rate)
        layer: Any = self.layer
        if deterministic or rate == 0 or self.is_initializing():
            return layer(inputs, *args, **kwargs)
        if rate == 1:
            return inputs
        key = self.make_rng(self.rng_collection) if rng is None else rng
        return nn.cond(
            layer_runs(key, self.rate),
            lambda layer, x: layer(x, *args, **kwargs),
            lambda layer, x: x,
            layer,
            inputs,
        )
