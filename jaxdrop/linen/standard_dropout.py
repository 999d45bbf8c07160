"""Standard dropout without rescaling in training, as a linen module."""

from collections.abc import Sequence

import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticLayer


class StandardDropout(StochasticLayer):
    """Zeroes entries in training, scales them in prediction; see `jaxdrop.standard_dropout`.

    Attributes:
      rate: Probability of dropping an entry; a number in [0, 1] or an array that broadcasts against the inputs.
      deterministic: Whether to return the expectation, the inputs times the probability of keeping.
      rng_collection: Name of the RNG stream that the key comes from.
      broadcast_dims: Axes along which all entries share one mask value.
      bits: Random bits that decide an entry: None, 8, 16 or 32.

    Examples:
      >>> layer = jaxdrop.linen.StandardDropout(0.25)
      >>> layer.apply({}, jnp.ones(2), deterministic=True)
      Array([0.75, 0.75], dtype=float32)
    """

    broadcast_dims: Sequence[int] = ()
    bits: int | None = None

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.standard_dropout(key, inputs, self.rate, broadcast_dims=self.broadcast_dims, bits=self.bits)

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return functional.standard_dropout_expectation(inputs, self.rate, bits=self.bits)
