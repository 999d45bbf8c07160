"""Standard dropout without rescaling in training, as an nnx module."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class StandardDropout(StochasticLayer):
    """Zeroes entries in training, scales them in prediction; see `jaxdrop.standard_dropout`.

    Args:
      rate: Probability of dropping an entry; a number in [0, 1] or an array that broadcasts against the inputs.
      broadcast_dims: Axes along which all entries share one mask value.
      deterministic: Whether to return the expectation, the inputs times the probability of keeping.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.StandardDropout(0.25, deterministic=True)
      >>> layer(jnp.ones(2))
      Array([0.75, 0.75], dtype=float32)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.broadcast_dims = tuple(broadcast_dims)
        self.bits = bits

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.standard_dropout(key, inputs, self.rate, broadcast_dims=self.broadcast_dims, bits=self.bits)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return functional.standard_dropout_expectation(inputs, self.rate, bits=self.bits)
