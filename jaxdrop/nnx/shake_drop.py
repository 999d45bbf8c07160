"""ShakeDrop as an nnx module."""

from typing import Literal

import jax

from jaxdrop import _checks, functional
from jaxdrop.nnx._stochastic import RngSource, StochasticLayer


class ShakeDrop(StochasticLayer):
    """Shakes the output of a residual branch, forward and backward; see `jaxdrop.shake_drop`.

    Args:
      rate: Probability of shaking; a number in [0, 1] or an array.
      alpha_range: Ends of the interval of the forward factor.
      beta_range: Ends of the interval of the backward factor.
      level: What shares a factor: 'batch', 'image', 'channel' or, for nothing, 'pixel'.
      mode: 'batch' decides once for all whether to shake, 'row' for each example.
      deterministic: Whether to return the expectation, the inputs times the probability of keeping by default.
      rng_collection: Name of the RNG stream that keys come from.
      rngs: Where keys come from; None if every call brings its own.

    Examples:
      >>> layer = jaxdrop.nnx.ShakeDrop(0.5, deterministic=True)
      >>> layer(jnp.ones(2))
      Array([0.5, 0.5], dtype=float32)
    """

    def __init__(
        self,
        rate: jax.typing.ArrayLike,
        *,
        alpha_range: tuple[float, float] = (-1.0, 1.0),
        beta_range: tuple[float, float] = (0.0, 1.0),
        level: Literal["batch", "image", "channel", "pixel"] = "pixel",
        mode: Literal["row", "batch"] = "batch",
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: RngSource | None = None,
    ):
        super().__init__(rate, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        self.alpha_range = _checks.interval("alpha_range", alpha_range)
        self.beta_range = _checks.interval("beta_range", beta_range)
        self.level: Literal["batch", "image", "channel", "pixel"] = level
        self.mode: Literal["row", "batch"] = mode

    def key_needed(self) -> bool:
        return _checks.static_rate("rate", self.rate) != 0.0

    def noise(self, key: jax.Array | None, inputs: jax.Array) -> jax.Array:
        return functional.shake_drop(
            key,
            inputs,
            self.rate,
            alpha_range=self.alpha_range,
            beta_range=self.beta_range,
            level=self.level,
            mode=self.mode,
        )

    def expectation(self, inputs: jax.Array) -> jax.Array:
        return functional.shake_drop_expectation(inputs, self.rate, alpha_range=self.alpha_range)
