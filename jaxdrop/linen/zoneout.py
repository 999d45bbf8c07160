"""Zoneout as a linen module."""

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import NoiseModule, flag_and_key, rate_needs_key


class Zoneout(NoiseModule):
    """Lets units of a state stay as they were; see `jaxdrop.zoneout`.

    Attributes:
      rate: Probability of staying; a number in [0, 1], or an array that broadcasts against the state.
      deterministic: Whether to return the expectation.
      rng_collection: Name of the RNG stream that the key comes from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.

    Examples:
      >>> layer = jaxdrop.linen.Zoneout(0.1, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 5)), jnp.zeros((2, 5)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 5)
    """

    rate: jax.typing.ArrayLike
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    def __call__(
        self, new: jax.Array, old: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None
    ) -> jax.Array:
        """Mixes the state after a step, `new`, with that before it, `old`.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of the function.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic, key = flag_and_key(self, deterministic, rng, key_needed=rate_needs_key(self.rate))
        if deterministic:
            return functional.zoneout_expectation(new, old, self.rate, bits=self.bits)
        return functional.zoneout(key, new, old, self.rate, bits=self.bits)
