"""What every nnx layer with noise shares: a flag, a key, and no maths."""

import abc

import jax
from flax import nnx
from flax.nnx import rnglib

from jaxdrop import _checks

RngSource = rnglib.Rngs | rnglib.RngStream


def take_key(rngs: RngSource | jax.Array, collection: str) -> jax.Array:
    """Returns a key from the stream `collection`, from a stream, or the key that was given."""
    if isinstance(rngs, rnglib.Rngs):
        return rngs[collection]()
    if isinstance(rngs, rnglib.RngStream):
        return rngs()
    if isinstance(rngs, jax.Array):
        return rngs
    raise TypeError(f"rngs must be a Rngs, RngStream or jax.Array, but got {type(rngs)}.")


class NoiseMixin:
    """What has `rate`, `deterministic`, `rng_collection` and `rngs`."""

    rate: jax.typing.ArrayLike
    deterministic: bool | None
    rng_collection: str
    rngs: RngSource | None

    def key_needed(self) -> bool:
        """Whether there is anything random; raises if the rate is not allowed."""
        return _checks.static_rate("rate", self.rate) not in (0.0, 1.0)

    def flag_and_key(
        self,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
        *,
        key_needed: bool = True,
    ) -> tuple[bool, jax.Array | None]:
        """Returns whether to predict without noise and, where one is needed, the key; the arguments as in a call."""
        name = type(self).__name__
        deterministic = nnx.module.first_from(
            deterministic,
            self.deterministic,
            error_msg=f"No `deterministic` argument was provided to {name}: give it to the constructor or the call, or"
            " use `model.train()`, `model.eval()` or `nnx.view`.",
        )
        if deterministic or not key_needed:
            return bool(deterministic), None
        source = nnx.module.first_from(
            rngs,
            self.rngs,
            error_msg=f"`deterministic` is False, but no `rngs` argument was provided to {name}, neither to the"
            " constructor nor to the call.",
        )
        return False, take_key(source, self.rng_collection)


class StochasticMixin(NoiseMixin):
    """The call of a layer with noise on its inputs.

    A class gives `noise`, `expectation` where prediction without noise is not the identity, and `key_needed` where it
    has no `rate`.
    """

    @abc.abstractmethod
    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        """Applies noise; `key` is None only where none is needed."""

    def expectation(self, inputs: jax.Array) -> jax.Array:
        """Predicts without noise."""
        return inputs

    def prediction(self, rngs: RngSource | jax.Array | None, inputs: jax.Array) -> jax.Array:
        """Predicts without noise on the inputs, with keys from the call's own source, if any, for what is sampled."""
        return self.expectation(inputs)

    def __call__(
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> jax.Array:
        """Applies the layer to `inputs`.

        Args:
          inputs: The inputs.
          deterministic: Whether to predict without noise; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above.
        """
        deterministic, key = self.flag_and_key(deterministic, rngs, key_needed=self.key_needed())
        return self.prediction(rngs, inputs) if deterministic else self.noise(key, inputs)


class NoiseModule(NoiseMixin, nnx.Module):
    """A module with noise, which samplers switch on.

    Args:
      deterministic: Whether to predict without noise.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.
    """

    def __init__(
        self,
        *,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        if not isinstance(rngs, RngSource | None):
            raise TypeError(f"rngs must be a Rngs, RngStream or None, but got {type(rngs)}.")
        self.deterministic = deterministic
        self.rng_collection = rng_collection
        stream = rngs[rng_collection] if isinstance(rngs, rnglib.Rngs) else rngs
        self.rngs = nnx.data(None if stream is None else stream.fork())

    def set_view(self, deterministic: bool | None = None) -> None:
        """Sets `deterministic`; called by `nnx.view`.

        Args:
          deterministic: Whether to predict without noise.
        """
        if deterministic is not None:
            self.deterministic = deterministic


class StochasticModule(StochasticMixin, NoiseModule):
    """A module that applies noise to its inputs unless it is deterministic; constructed as a `NoiseModule`."""


class StochasticLayer(StochasticModule):
    """A `StochasticModule` with a rate.

    Args:
      rate: Probability of dropping; a number in [0, 1] or an array.
      deterministic: Whether to predict without noise.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
