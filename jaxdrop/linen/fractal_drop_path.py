"""FractalNet's drop-path as a linen module."""

from typing import Literal

import flax.linen as nn
import jax

from jaxdrop import _checks, functional
from jaxdrop.functional.fractal_drop_path import Branches
from jaxdrop.linen._stochastic import NoiseModule, flag_and_key


class FractalDropPath(NoiseModule):
    """A join: the mean of the branches that survive; see `jaxdrop.fractal_drop_path`.

    Attributes:
      rate: Probability of dropping a branch; a number in [0, 1], a scalar array or one of a rate per branch.
      deterministic: Whether to return the mean of all branches.
      rng_collection: Name of the RNG stream that the key comes from.
      mode: 'batch' samples once for all, 'row' for each example.

    Examples:
      >>> join = jaxdrop.linen.FractalDropPath(0.15, deterministic=False)
      >>> join.apply({}, [jnp.ones(2), jnp.zeros(2)], rngs={"dropout": jax.random.key(0)}).shape
      (2,)
    """

    rate: jax.typing.ArrayLike
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    mode: Literal["row", "batch"] = "batch"

    @nn.compact
    def __call__(
        self,
        inputs: Branches,
        column: jax.typing.ArrayLike = -1,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
    ) -> jax.Array:
        """Joins the branches `inputs`, or passes the one with the number `column`, also if deterministic.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of the function.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        key_needed = _checks.static_rate("rate", self.rate) != 0.0
        deterministic, key = flag_and_key(self, deterministic, rng, key_needed=key_needed)
        if deterministic:
            return functional.fractal_drop_path_expectation(inputs, column=column)
        return functional.fractal_drop_path(key, inputs, self.rate, column=column, mode=self.mode)
