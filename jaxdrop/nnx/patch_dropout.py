"""PatchDropout as an nnx module."""

import jax

from jaxdrop import _checks, functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class PatchDropout(StochasticLayer):
    """Shortens the sequence to a random part of its tokens; see `jaxdrop.patch_dropout`.

    Args:
      rate: Part of the patches to drop; a Python number in [0, 1].
      num_prefix_tokens: How many tokens in front are not patches and always stay.
      deterministic: Whether to return all tokens.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.PatchDropout(0.5, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 197, 64))).shape
      (2, 99, 64)
    """

    rate: float

    def __init__(
        self,
        rate: float,
        *,
        num_prefix_tokens: int = 1,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.num_prefix_tokens = num_prefix_tokens

    def key_needed(self) -> bool:
        return _checks.known_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.patch_dropout(key, inputs, self.rate, num_prefix_tokens=self.num_prefix_tokens)
