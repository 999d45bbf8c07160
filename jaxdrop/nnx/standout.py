"""Standout as an nnx module."""

from typing import Any

import jax

from jaxdrop import functional
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class Standout(StochasticModule):
    """Adaptive dropout, tied or free; see `jaxdrop.standout`.

    It has no parameters: the belief network is the layer before it (tied), or another one beside that (free).

    Args:
      alpha: Slope of the belief; a number, or an array that broadcasts against the inputs.
      beta: Offset of the belief, in the same forms.
      straight_through: Whether the belief network gets a gradient, without which it does not learn.
      deterministic: Whether to return the expectation.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> rngs, x = nnx.Rngs(0), jnp.ones((1, 8))
      >>> dense, belief = nnx.Linear(8, 64, rngs=rngs), nnx.Linear(8, 64, rngs=rngs)
      >>> tied = jaxdrop.nnx.Standout(beta=1.0, rngs=rngs)
      >>> free = jaxdrop.nnx.Standout(straight_through=True, rngs=rngs)
      >>> h = dense(x)
      >>> tied(nnx.relu(h), h).shape, free(nnx.relu(h), belief(x)).shape
      ((1, 64), (1, 64))
    """

    def __init__(
        self,
        *,
        alpha: jax.typing.ArrayLike = 1.0,
        beta: jax.typing.ArrayLike = 0.0,
        straight_through: bool = False,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.alpha = alpha
        self.beta = beta
        self.straight_through = straight_through
        self.bits = bits

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: jax.Array,
        logits: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> jax.Array:
        """Applies the layer to the activations `inputs`, given the belief network's pre-activations `logits`.

        Args:
          inputs: The inputs.
          logits: The pre-activations, which broadcast against the inputs.
          deterministic: Whether to return the expectation; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above, or for the conditions of the function.
        """
        both: Any = (inputs, logits)
        return super().__call__(both, deterministic=deterministic, rngs=rngs)

    def key_needed(self) -> bool:
        return True

    def noise(self, key: jax.Array | None, inputs: Any) -> jax.Array:
        return functional.standout(
            key, *inputs, alpha=self.alpha, beta=self.beta, straight_through=self.straight_through, bits=self.bits
        )

    def expectation(self, inputs: Any) -> jax.Array:
        return functional.standout_expectation(*inputs, alpha=self.alpha, beta=self.beta)
