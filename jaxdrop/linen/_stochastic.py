"""What every linen layer with noise shares: a flag, a key, and no maths."""

import abc
from typing import Any

import flax.linen as nn
import jax

from jaxdrop import _checks


class NoiseModule(nn.Module):
    """A module whose call takes `deterministic` and `rng`, and which samplers therefore switch on.

    A subclass has the fields `deterministic` and `rng_collection`.
    """


def flag_and_key(
    module: NoiseModule, deterministic: bool | None, rng: jax.Array | None, *, key_needed: bool = True
) -> tuple[bool, jax.Array | None]:
    """Returns whether a call is deterministic and, where it needs one, the key `rng` or else one from the stream."""
    fields: Any = module  # declared in the base class, they would come before the subclass's own
    deterministic = bool(nn.merge_param("deterministic", fields.deterministic, deterministic))
    if deterministic or not key_needed or rng is not None:
        return deterministic, rng
    return False, module.make_rng(fields.rng_collection)


class StochasticModule(NoiseModule):
    """The call of a layer that applies noise to its inputs unless it is deterministic.

    A subclass has the fields `deterministic` and `rng_collection`, and gives `key_needed`, `noise` and, where
    prediction without noise is not the identity, `expectation`.
    """

    @abc.abstractmethod
    def key_needed(self) -> bool:
        """Whether there is anything random; raises if the rate is not allowed."""

    @abc.abstractmethod
    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        """Applies noise; `key` is None only where none is needed."""

    def expectation(self, inputs: jax.Array) -> jax.Array:
        """Predicts without noise."""
        return inputs

    def prediction(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        """Predicts without noise on the inputs, with the call's own key, if there is one, for what is sampled."""
        return self.expectation(inputs)

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None) -> jax.Array:
        """Applies the layer to `inputs`, with the key `rng` or else one from the stream.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of the function.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic, key = flag_and_key(self, deterministic, rng, key_needed=self.key_needed())
        return self.prediction(key, inputs) if deterministic else self.noise(key, inputs)


def rate_needs_key(rate: jax.typing.ArrayLike, name: str = "rate") -> bool:
    """Whether dropping at `rate` is random; raises if the rate, which the user knows by `name`, is not allowed."""
    return _checks.static_rate(name, rate) not in (0.0, 1.0)


class StochasticLayer(StochasticModule):
    """A `StochasticModule` with a rate.

    Attributes:
      rate: Probability of dropping; a number in [0, 1] or an array.
      deterministic: Whether to predict without noise.
      rng_collection: Name of the RNG stream that the key comes from.
    """

    rate: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def key_needed(self) -> bool:
        return rate_needs_key(self.rate)
