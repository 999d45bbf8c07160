"""Dense layers that store and read only the weights that are not zero, in linen."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jax.experimental import sparse

from jaxdrop.functional.drop_connect_dense import add_bias
from jaxdrop.variational.nonzeros import nonzeros


class SparseDense(nn.Module):
    """A dense layer with a kernel in coordinate format, `jax.experimental.sparse.BCOO`; for prediction.

    Its parameters are "data" (weights,) and "indices" (weights, 2), the row and the column of each, and maybe "bias".
    `sparsify` makes them.

    Attributes:
      features: Number of outputs.
      num_weights: Number of weights that are stored.
      use_bias: Whether there is a bias.
      param_dtype: Of weights and bias.
      dtype: Of the computation; None for the common one of inputs and parameters.

    Examples:
      >>> layer = jaxdrop.linen.SparseDense(3, num_weights=2, use_bias=False)
      >>> params = {"data": jnp.array([5.0, 7.0]), "indices": jnp.array([[0, 2], [1, 0]])}
      >>> layer.apply({"params": params}, jnp.ones((1, 2)))
      Array([[7., 0., 5.]], dtype=float32)
    """

    features: int
    num_weights: int
    use_bias: bool = True
    param_dtype: Dtype = jnp.float32
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies the layer to (..., in)."""
        zeros = nn.initializers.zeros_init()
        data = self.param("data", zeros, (self.num_weights,), self.param_dtype)
        indices = self.param("indices", zeros, (self.num_weights, 2), jnp.int32)
        bias = self.param("bias", zeros, (self.features,), self.param_dtype) if self.use_bias else None
        # NumPy arrays would take a sparse kernel apart, entry by entry: they become JAX's here.
        inputs, data, bias = promote_dtype(inputs, data, bias, dtype=self.dtype)
        kernel = sparse.BCOO((data, indices), shape=(inputs.shape[-1], self.features))
        y = (inputs.reshape(-1, inputs.shape[-1]) @ kernel).reshape(*inputs.shape[:-1], self.features)
        return add_bias(y, bias)


def sparsify(
    model: nn.Sequential, variables: Mapping[str, Any], *, max_density: float = 0.1
) -> tuple[nn.Sequential, dict[str, Any]]:
    """Stores the kernels of dense layers that are nearly empty as coordinates.

    A weight takes three numbers then instead of one. On a CPU a sparse product is slower than a dense one unless very
    little is left: measure.

    Args:
      model: An `nn.Sequential`.
      variables: Its variables.
      max_density: Dense layers with more than this share of weights other than zero stay as they are.

    Returns:
      The model with `SparseDense` in the place of such layers, and its variables.

    Raises:
      TypeError: If `model` is not an `nn.Sequential`.

    Examples:
      >>> model = nn.Sequential([nn.Dense(3)])
      >>> kernel = jnp.zeros((20, 3)).at[4, 2].set(1.0)
      >>> variables = {"params": {"layers_0": {"kernel": kernel, "bias": jnp.zeros(3)}}}
      >>> small, small_variables = jaxdrop.linen.sparsify(model, variables)
      >>> small_variables["params"]["layers_0"]["data"]
      Array([1.], dtype=float32)
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"model must be a flax.linen.Sequential, got {type(model).__name__}.")
    layers, params = [], dict(variables["params"])
    for number, layer in enumerate(model.layers):
        name = f"layers_{number}"
        if isinstance(layer, nn.Dense):
            found = nonzeros(params[name]["kernel"], max_density)
            if found is not None:
                rest = {key: value for key, value in params[name].items() if key != "kernel"}
                params[name] = {**found._asdict(), **rest}
                layer = SparseDense(layer.features, len(found.data), layer.use_bias, layer.param_dtype, layer.dtype)
        layers.append(layer)
    return nn.Sequential(layers), {**variables, "params": params}
