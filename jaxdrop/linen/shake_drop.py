"""ShakeDrop as a linen module."""

from typing import Literal

import jax

from jaxdrop import _checks, functional
from jaxdrop.linen._stochastic import StochasticLayer


class ShakeDrop(StochasticLayer):
    """Shakes the output of a residual branch, forward and backward; see `jaxdrop.shake_drop`.

    Attributes:
      rate: Probability of shaking; a number in [0, 1] or an array.
      deterministic: Whether to return the expectation, the inputs times the probability of keeping by default.
      rng_collection: Name of the RNG stream that the key comes from.
      alpha_range: Ends of the interval of the forward factor.
      beta_range: Ends of the interval of the backward factor.
      level: What shares a factor: 'batch', 'image', 'channel' or, for nothing, 'pixel'.
      mode: 'batch' decides once for all whether to shake, 'row' for each example.

    Examples:
      >>> layer = jaxdrop.linen.ShakeDrop(0.5)
      >>> layer.apply({}, jnp.ones(2), deterministic=True)
      Array([0.5, 0.5], dtype=float32)
    """

    alpha_range: tuple[float, float] = (-1.0, 1.0)
    beta_range: tuple[float, float] = (0.0, 1.0)
    level: Literal["batch", "image", "channel", "pixel"] = "pixel"
    mode: Literal["row", "batch"] = "batch"

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
