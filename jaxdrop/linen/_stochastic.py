"""What every linen layer with noise shares: a flag, a key, and no maths."""

import abc

import flax.linen as nn
import jax

from jaxdrop import _checks


class StochasticLayer(nn.Module):
    """A layer that applies noise to its inputs unless it is deterministic.

    A subclass gives `noise`, `expectation` where prediction without noise is not the identity, and `key_needed` where
    other rates than 0 and 1 need no key.

    Attributes:
      rate: Probability of dropping; a number in [0, 1] or an array.
      deterministic: Whether to predict without noise.
      rng_collection: Name of the RNG stream that the key comes from.
    """

    rate: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @abc.abstractmethod
    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        """Applies noise; `key` is None only where none is needed."""

    def expectation(self, inputs: jax.Array) -> jax.Array:
        """Predicts without noise."""
        return inputs

    def key_needed(self) -> bool:
        """Whether there is anything random; raises if the rate is not allowed."""
        return _checks.static_rate("rate", self.rate) not in (0.0, 1.0)

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None) -> jax.Array:
        """Applies the layer to `inputs`, with the key `rng` or else one from the stream.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of the function.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        key_needed = self.key_needed()
        if deterministic:
            return self.expectation(inputs)
        return self.noise(self.make_rng(self.rng_collection) if key_needed and rng is None else rng, inputs)
