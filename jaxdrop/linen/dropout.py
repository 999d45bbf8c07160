"""Standard dropout as a linen module."""

import flax.linen as nn
import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import StochasticModule, rate_needs_key


class Dropout(StochasticModule, nn.Dropout):
    """Drop-in replacement for `flax.linen.Dropout`; see `jaxdrop.dropout` for the method.

    The fields, the call and the conventions are flax's: an RNG stream named `rng_collection`, none of it used when
    deterministic or at rates 0 and 1, and an error when nobody chose `deterministic`.

    Attributes:
      rate: Probability of dropping an entry; a number in [0, 1], or an array, traced or not, that broadcasts against
        the inputs.
      broadcast_dims: Axes along which all entries share one mask value.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.

    Examples:
      >>> class MLP(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, train):
      ...         x = nn.relu(nn.Dense(64)(x))
      ...         x = jaxdrop.linen.Dropout(0.5, deterministic=not train)(x)
      ...         return nn.Dense(10)(x)
      >>> model, x = MLP(), jnp.ones((1, 8))
      >>> variables = model.init(jax.random.key(0), x, train=False)
      >>> model.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)}).shape
      (1, 10)
    """

    bits: int | None = None

    def key_needed(self) -> bool:
        return rate_needs_key(self.rate)

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.dropout(key, inputs, self.rate, broadcast_dims=self.broadcast_dims, bits=self.bits)
