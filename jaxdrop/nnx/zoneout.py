"""Zoneout as an nnx module."""

from typing import Any

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class Zoneout(StochasticModule):
    """Lets units of a state stay as they were; see `jaxdrop.zoneout`.

    Args:
      rate: Probability of staying; a number in [0, 1], or an array that broadcasts against the state.
      deterministic: Whether to return the expectation.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.Zoneout(0.1, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5)), jnp.zeros((2, 5))).shape
      (2, 5)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
        self.bits = bits

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        new: jax.Array,
        old: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> jax.Array:
        """Mixes the states after and before a step.

        Args:
          new: The state after the step.
          old: The state before the step.
          deterministic: Whether to return the expectation; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above, or for the conditions of the function.
        """
        both: Any = (new, old)
        return super().__call__(both, deterministic=deterministic, rngs=rngs)

    def noise(self, key: jax.Array | None, inputs: Any) -> jax.Array:
        new, old = inputs
        return functional.zoneout(key, new, old, self.rate, bits=self.bits)

    def expectation(self, inputs: Any) -> jax.Array:
        new, old = inputs
        return functional.zoneout_expectation(new, old, self.rate, bits=self.bits)
