"""Embedding dropout as an nnx module."""

from typing import Any

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class EmbeddingDropout(StochasticModule):
    """Dropout of word types, wherever they occur; see `jaxdrop.embedding_dropout`.

    Args:
      rate: Probability of dropping a type; a number in [0, 1] or a scalar array.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a type: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> rngs, tokens = nnx.Rngs(0), jnp.array([[3, 1, 3]])
      >>> embed, drop = nnx.Embed(10, 4, rngs=rngs), jaxdrop.nnx.EmbeddingDropout(0.1, rngs=rngs)
      >>> drop(embed(tokens), tokens).shape
      (1, 3, 4)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
        self.bits = bits

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: jax.Array,
        tokens: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> jax.Array:
        """Applies the layer to the embedded tokens.

        Args:
          inputs: The embedded tokens, (*batch, features).
          tokens: The tokens, (*batch,).
          deterministic: Whether to return the inputs as they are; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above, or for the conditions of the function.
        """
        both: Any = (inputs, tokens)
        return super().__call__(both, deterministic=deterministic, rngs=rngs)

    def noise(self, key: jax.Array | None, inputs: Any) -> jax.Array:
        x, tokens = inputs
        return functional.embedding_dropout(key, x, tokens, self.rate, bits=self.bits)

    def expectation(self, inputs: Any) -> jax.Array:
        return inputs[0]
