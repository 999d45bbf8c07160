"""Stochastic depth as an nnx module."""

from typing import Literal

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class StochasticDepth(StochasticLayer):
    """Drops the output of a residual branch as a whole; see `jaxdrop.stochastic_depth`.

    Args:
      rate: Probability of dropping; a number in [0, 1] or an array.
      mode: 'row' decides for each example, 'batch' once for all.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.StochasticDepth(0.2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 3))).shape
      (2, 3)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        mode: Literal["row", "batch"] = "row",
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.mode: Literal["row", "batch"] = mode
        self.bits = bits

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.stochastic_depth(key, inputs, self.rate, mode=self.mode, bits=self.bits)
