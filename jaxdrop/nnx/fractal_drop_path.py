"""FractalNet's drop-path as an nnx module."""

from typing import Any, Literal

import jax

from jaxdrop import _checks, functional
from jaxdrop.functional.fractal_drop_path import Branches
from jaxdrop.nnx._stochastic import RngSource, StochasticModule


class FractalDropPath(StochasticModule):
    """A join: the mean of the branches that survive; see `jaxdrop.fractal_drop_path`.

    Args:
      rate: Probability of dropping a branch; a number in [0, 1], a scalar array or one of a rate per branch.
      mode: 'batch' samples once for all, 'row' for each example.
      deterministic: Whether to return the mean of all branches.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> join = jaxdrop.nnx.FractalDropPath(0.15, rngs=nnx.Rngs(0))
      >>> join([jnp.ones(2), jnp.zeros(2)]).shape
      (2,)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        mode: Literal["row", "batch"] = "batch",
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.rate = rate
        self.mode: Literal["row", "batch"] = mode

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: Branches,
        column: jax.typing.ArrayLike = -1,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> jax.Array:
        """Joins branches.

        Args:
          inputs: The branches.
          column: The number of the branch to pass, also if deterministic; negative for none in particular.
          deterministic: Whether to return the mean of all branches; takes precedence over the attribute.
          rngs: Where the key comes from; takes precedence over the attribute.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of the function.
          TypeError: If `rngs` is none of the above, or for the conditions of the function.
        """
        both: Any = (inputs, column)
        return super().__call__(both, deterministic=deterministic, rngs=rngs)

    def key_needed(self) -> bool:
        return _checks.static_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: Any) -> jax.Array:
        branches, column = inputs
        return functional.fractal_drop_path(key, branches, self.rate, column=column, mode=self.mode)

    def expectation(self, inputs: Any) -> jax.Array:
        branches, column = inputs
        return functional.fractal_drop_path_expectation(branches, column=column)
