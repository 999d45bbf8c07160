"""Uniform dropout (Uout) as a linen module."""

import jax

from jaxdrop import _checks, functional
from jaxdrop.linen._stochastic import StochasticModule


class UniformDropout(StochasticModule):
    """Multiplicative uniform noise; see `jaxdrop.uniform_dropout`.

    Nothing is dropped, so that instead of a `rate` there is a `beta`.

    Attributes:
      beta: Half-width of the noise; a number in [0, 1] or an array that broadcasts against the inputs.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.

    Examples:
      >>> layer = jaxdrop.linen.UniformDropout(0.1, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 3)
    """

    beta: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def key_needed(self) -> bool:
        return _checks.static_rate("beta", self.beta) != 0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.uniform_dropout(key, inputs, self.beta)
