"""Dense layers that store and read only the weights that are not zero, in nnx."""

from typing import Any

import jax
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from flax.typing import Dtype
from jax.experimental import sparse

from jaxdrop.functional.drop_connect_dense import add_bias
from jaxdrop.variational.nonzeros import nonzeros


class SparseLinear(nnx.Module):
    """A dense layer with a kernel in coordinate format, `jax.experimental.sparse.BCOO`; for prediction.

    Args:
      data: Weights (weights,).
      indices: Row and column of each, (weights, 2).
      shape: (in, out).
      bias: Array (out,), or None.
      dtype: Of the computation; None for the common one of inputs and parameters.

    Examples:
      >>> layer = jaxdrop.nnx.SparseLinear(jnp.array([5.0, 7.0]), jnp.array([[0, 2], [1, 0]]), shape=(2, 3))
      >>> layer(jnp.ones((1, 2)))
      Array([[7., 0., 5.]], dtype=float32)
    """

    def __init__(
        self,
        data: jax.Array,
        indices: jax.Array,
        *,
        shape: tuple[int, int],
        bias: jax.Array | None = None,
        dtype: Dtype | None = None,
    ):
        self.data = nnx.Param(data)
        self.indices = nnx.Variable(indices)
        self.bias = nnx.data(None if bias is None else nnx.Param(bias))
        self.shape = shape
        self.dtype = dtype

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Applies the layer to (..., in)."""
        bias = None if self.bias is None else self.bias[...]
        # NumPy arrays would take a sparse kernel apart, entry by entry: they become JAX's here.
        inputs, data, bias = promote_dtype((inputs, self.data[...], bias), dtype=self.dtype)
        kernel = sparse.BCOO((data, self.indices[...]), shape=self.shape)
        y = (inputs.reshape(-1, self.shape[0]) @ kernel).reshape(*inputs.shape[:-1], self.shape[1])
        return add_bias(y, bias)


def sparsify(model: nnx.Sequential, *, max_density: float = 0.1) -> nnx.Sequential:
    """Stores the kernels of dense layers that are nearly empty as coordinates.

    As `jaxdrop.linen.sparsify`.

    Args:
      model: An `nnx.Sequential`; it is left as it is.
      max_density: Dense layers with more than this share of weights other than zero stay as they are.

    Returns:
      The model with `SparseLinear` in the place of such layers.

    Raises:
      TypeError: If `model` is not an `nnx.Sequential`.

    Examples:
      >>> model = nnx.Sequential(nnx.Linear(20, 3, rngs=nnx.Rngs(0)))
      >>> model.layers[0].kernel[...] = jnp.zeros((20, 3)).at[4, 2].set(1.0)
      >>> jaxdrop.nnx.sparsify(model).layers[0].data[...]
      Array([1.], dtype=float32)
    """
    if not isinstance(model, nnx.Sequential):
        raise TypeError(f"model must be a flax.nnx.Sequential, got {type(model).__name__}.")
    return nnx.Sequential(*(_sparse(layer, max_density) for layer in model.layers))


def _sparse(layer: Any, max_density: float) -> Any:
    found = nonzeros(layer.kernel[...], max_density) if isinstance(layer, nnx.Linear) else None
    if found is None:
        return layer
    bias = None if layer.bias is None else layer.bias[...]
    shape = (layer.in_features, layer.out_features)
    return SparseLinear(found.data, found.indices, shape=shape, bias=bias, dtype=layer.dtype)
