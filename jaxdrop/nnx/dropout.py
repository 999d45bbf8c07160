"""Standard dropout as an nnx module."""

from collections.abc import Sequence

import jax
from flax import nnx

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticMixin


class Dropout(StochasticMixin, nnx.Dropout):
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
        rngs: RngSource | None = None,
    ):
        super().__init__(
            rate,  # pyright: ignore[reportArgumentType]
            broadcast_dims=broadcast_dims,
            deterministic=deterministic,
            rng_collection=rng_collection,
            rngs=rngs,
        )
        self.bits = bits

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.dropout(key, inputs, self.rate, broadcast_dims=self.broadcast_dims, bits=self.bits)
