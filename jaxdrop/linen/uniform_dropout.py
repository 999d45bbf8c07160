"""Uniform dropout (Uout) as a linen module."""

import flax.linen as nn
import jax

from jaxdrop import _checks, functional


class UniformDropout(nn.Module):
    """Multiplicative uniform noise; see `jaxdrop.uniform_dropout`.

    Nothing is dropped, so that instead of a `rate` there is a `beta`.

    Attributes:
      beta: Half-width of the noise; a number in [0, 1] or an array that broadcasts against the inputs.
      deterministic: Whether to return the inputs as they are.
      rng_collection: Name of the RNG stream that the key comes from.

    Examples:
      >>> layer = jaxdrop.linen.UniformDropout(0.1, deterministic=False)
      >>> layer.apply({}, jnp.ones((2, 3)), rngs={"dropout": jax.random.key(0)}).shape
      (2, 3)
    """

    beta: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None) -> jax.Array:
        """Applies the layer to `inputs`, with the key `rng` or else one from the stream.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of the function.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        key_needed = _checks.static_rate("beta", self.beta) != 0
        if deterministic:
            return inputs
        key = self.make_rng(self.rng_collection) if key_needed and rng is None else rng
        return functional.uniform_dropout(key, inputs, self.beta)
