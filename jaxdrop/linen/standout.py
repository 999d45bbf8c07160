"""Standout as a linen module."""

import flax.linen as nn
import jax

from jaxdrop import functional
from jaxdrop.linen._stochastic import NoiseModule, flag_and_key


class Standout(NoiseModule):
    """Adaptive dropout, tied or free; see `jaxdrop.standout`.

    It has no parameters: the belief network is the layer before it (tied), or another one beside that (free).

    Attributes:
      alpha: Slope of the belief; a number, or an array that broadcasts against the inputs.
      beta: Offset of the belief, in the same forms.
      straight_through: Whether the belief network gets a gradient, without which it does not learn.
      deterministic: Whether to return the expectation.
      rng_collection: Name of the RNG stream that the key comes from.
      bits: Random bits that decide an entry: None, 8, 16 or 32.

    Examples:
      >>> class MLP(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, train):
      ...         h = nn.Dense(64)(x)
      ...         tied = jaxdrop.linen.Standout(beta=1.0)(nn.relu(h), h, not train)
      ...         h = nn.Dense(64)(tied)
      ...         free = jaxdrop.linen.Standout(straight_through=True)(nn.relu(h), nn.Dense(64)(tied), not train)
      ...         return nn.Dense(10)(free)
      >>> model, x = MLP(), jnp.ones((1, 8))
      >>> variables = model.init(jax.random.key(0), x, train=False)
      >>> model.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)}).shape
      (1, 10)
    """

    alpha: jax.typing.ArrayLike = 1.0
    beta: jax.typing.ArrayLike = 0.0
    straight_through: bool = False
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    @nn.compact
    def __call__(
        self, inputs: jax.Array, logits: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None
    ) -> jax.Array:
        """Applies the layer to the activations `inputs`, given the belief network's pre-activations `logits`.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of `jaxdrop.standout`.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic, key = flag_and_key(self, deterministic, rng)
        if deterministic:
            return functional.standout_expectation(inputs, logits, alpha=self.alpha, beta=self.beta)
        return functional.standout(
            key,
            inputs,
            logits,
            alpha=self.alpha,
            beta=self.beta,
            straight_through=self.straight_through,
            bits=self.bits,
        )
