"""Uniform dropout (Uout) as an nnx module."""

import jax

from jaxdrop import _checks, functional
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class UniformDropout(StochasticModule):
    """Multiplicative uniform noise; see `jaxdrop.uniform_dropout`.

    Nothing is dropped, so that instead of a `rate` there is a `beta`.

    Args:
      beta: Half-width of the noise; a number in [0, 1] or an array that broadcasts against the inputs.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.UniformDropout(0.1, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 3))).shape
      (2, 3)
    """

    def __init__(
        self,
        beta: jax.typing.ArrayLike,
        *,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.beta = beta

    def key_needed(self) -> bool:
        return _checks.static_rate("beta", self.beta) != 0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.uniform_dropout(key, inputs, self.beta)
