"""Locked dropout as an nnx module."""

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class LockedDropout(StochasticLayer):
    """Dropout with one mask for all steps of a sequence; see `jaxdrop.locked_dropout`.

    Args:
      rate: Probability of dropping a feature; a number in [0, 1], or an array that broadcasts against the inputs and is
        constant along the steps.
      time_axis: The axis of the steps.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a feature: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.LockedDropout(0.2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 7, 5))).shape
      (2, 7, 5)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        time_axis: int = -2,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.time_axis = time_axis
        self.bits = bits

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.locked_dropout(key, inputs, self.rate, time_axis=self.time_axis, bits=self.bits)
