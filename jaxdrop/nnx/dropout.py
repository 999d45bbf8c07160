"""Standard dropout as an nnx module."""

from collections.abc import Sequence

import jax
from flax import nnx
from flax.nnx import rnglib

from jaxdrop import _checks, functional


class Dropout(nnx.Dropout):
    """Drop-in replacement for `flax.nnx.Dropout`; see `jaxdrop.dropout` for the method.

    The constructor, the call and the conventions are flax's: `.train()`, `.eval()` and `nnx.view` switch it, and no key
    is used when deterministic or at rates 0 and 1.

    Args:
      rate: Probability of dropping an entry; a number in [0, 1], or an array, traced or not, that broadcasts against
        the inputs.
      broadcast_dims: Axes along which all entries share one mask value.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> model = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), jaxdrop.nnx.Dropout(0.5, rngs=nnx.Rngs(1)))
      >>> model.eval()
      >>> bool(jnp.all(model(jnp.ones((1, 3))) == model(jnp.ones((1, 3)))))
      True
      >>> model.train()
      >>> model(jnp.ones((1, 3))).shape
      (1, 4)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: rnglib.Rngs | rnglib.RngStream | None = None,
    ):
        super().__init__(
            rate,  # pyright: ignore[reportArgumentType]
            broadcast_dims=broadcast_dims,
            deterministic=deterministic,
            rng_collection=rng_collection,
            rngs=rngs,
        )
        self.bits = bits

    def __call__(
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: rnglib.Rngs | rnglib.RngStream | jax.Array | None = None,
    ) -> jax.Array:
        """Applies dropout to `inputs`, floating point of any shape.

        Args:
          inputs: The inputs.
          deterministic: Whether to return them as they are; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of
            `jaxdrop.dropout`.
          TypeError: If `rngs` is none of the above.
        """
        static_rate = _checks.static_rate("rate", self.rate)
        deterministic = nnx.module.first_from(
            deterministic,
            self.deterministic,
            error_msg="No `deterministic` argument was provided to Dropout: give it to the constructor or the call, or"
            " use `model.train()`, `model.eval()` or `nnx.view`.",
        )
        if deterministic:
            return inputs
        key = None if static_rate in (0.0, 1.0) else self._key(rngs)
        return functional.dropout(key, inputs, self.rate, broadcast_dims=self.broadcast_dims, bits=self.bits)

    def _key(self, rngs: rnglib.Rngs | rnglib.RngStream | jax.Array | None) -> jax.Array:
        rngs = nnx.module.first_from(
            rngs,
            self.rngs,
            error_msg="`deterministic` is False, but no `rngs` argument was provided to Dropout, neither to the"
            " constructor nor to the call.",
        )
        if isinstance(rngs, rnglib.Rngs):
            return rngs[self.rng_collection]()
        if isinstance(rngs, rnglib.RngStream):
            return rngs()
        if isinstance(rngs, jax.Array):
            return rngs
        raise TypeError(f"rngs must be a Rngs, RngStream or jax.Array, but got {type(rngs)}.")
