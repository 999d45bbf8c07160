"""Standard dropout as a linen module."""

import flax.linen as nn
import jax

from jaxdrop import _checks, functional


class Dropout(nn.Dropout):
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

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None) -> jax.Array:
        """Applies dropout to `inputs`, floating point of any shape, with the key `rng` or else one from the stream.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of `jaxdrop.dropout`.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        static_rate = _checks.static_rate("rate", self.rate)
        if deterministic:
            return inputs
        if rng is None and static_rate not in (0.0, 1.0):
            rng = self.make_rng(self.rng_collection)
        return functional.dropout(rng, inputs, self.rate, broadcast_dims=self.broadcast_dims, bits=self.bits)
