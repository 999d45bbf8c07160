"""Smaller linen models that predict as the pruned ones."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdrop import variational
from jaxdrop.linen._noisy_inputs import NoisyInputs
from jaxdrop.linen._stochastic import StochasticModule
from jaxdrop.linen.log_normal import LogNormalNoise
from jaxdrop.linen.variational import VariationalConv, VariationalDense
from jaxdrop.variational import compact as chains
from jaxdrop.variational.prune import noisy_weights


def compact(
    model: nn.Sequential, variables: Mapping[str, Any], x: jax.typing.ArrayLike
) -> tuple[nn.Sequential, dict[str, Any]]:
    """Makes a pruned chain of layers smaller: what predicts alike, without the units that do not matter.

    Units that do not depend on the input, as when all of their weights are zero, and units that nobody reads are cut
    out; what the former add to the next layer goes into its bias. Noise is taken away, as in prediction: weights of
    variational layers are pruned at their threshold, and factors of `LogNormalNoise` become part of the next kernel.
    Single zeros inside what is left stay where they are: see `sparsify`.

    Args:
      model: An `nn.Sequential` of `nn.Dense`, `nn.Conv`, `VariationalDense`, `VariationalConv`, `LogNormalNoise`,
        dropout layers, and functions which between layers treat each channel by itself: activations, pooling, and
        reshaping to (batch, features).
      variables: Its variables.
      x: An example of the input, (batch, ...), for its shape.

    Returns:
      A model of `nn.Dense`, `nn.Conv` and functions, and its variables. If inputs are not read, it begins with a
      function that picks the others. A convolution in groups, its inputs and its outputs stay whole.

    Raises:
      TypeError: If `model` is not an `nn.Sequential`, or has other layers.
      ValueError: If it has no layer, a function between layers mixes channels, or factors of `LogNormalNoise` cannot be
        put into a later kernel.

    Examples:
      >>> model = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)])
      >>> x = jnp.ones((1, 4))
      >>> variables = model.init(jax.random.key(0), x)
      >>> kernel = variables["params"]["layers_0"]["kernel"]
      >>> variables["params"]["layers_0"]["kernel"] = kernel.at[:, 1].set(0)  # a unit that pruning left nothing of
      >>> small, small_variables = jaxdrop.linen.compact(model, variables, x)
      >>> small_variables["params"]["layers_0"]["kernel"].shape
      (4, 2)
      >>> bool(jnp.allclose(small.apply(small_variables, x), model.apply(variables, x)))
      True
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"model must be a flax.linen.Sequential, got {type(model).__name__}.")
    params = jax.tree.map(jnp.asarray, variables.get("params", {}))  # which flax restores as arrays of numpy
    stages = []
    for number, layer in enumerate(model.layers):
        stages += _stages(layer, params.get(f"layers_{number}", {}))
    layers, small = [], {}
    for stage in chains.compact(stages, jnp.asarray(x)):
        if isinstance(stage, chains.Linear):
            bias = {} if stage.bias is None else {"bias": stage.bias}
            small[f"layers_{len(layers)}"] = {"kernel": stage.kernel, **bias}
            layers.append(stage.layer.clone(features=stage.kernel.shape[-1], use_bias=bool(bias)))
        else:
            layers.append(stage)
    return nn.Sequential(layers), {"params": small}


def _stages(layer: Any, params: Mapping[str, Any]) -> list[Any]:
    """A layer as a stage of a chain, or as none where it does nothing in prediction."""
    if isinstance(layer, NoisyInputs):
        return _stages(layer.layer, params.get("layer", {}))  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(layer, VariationalDense | VariationalConv):
        weights = noisy_weights(params, "kernel")
        params = {**params, "kernel": variational.pruned(weights, layer.threshold)} if weights else params
        layer = _plain(layer)
    if isinstance(layer, nn.Dense | nn.Conv):
        return [_linear(layer, params)]
    if isinstance(layer, LogNormalNoise):
        factors = variational.LogNormalFactors(params["mu"], params["log_sigma"])
        return [chains.Scale(variational.kept_factors(factors, layer.threshold))]
    if isinstance(layer, nn.Dropout) or getattr(type(layer), "expectation", None) is StochasticModule.expectation:
        return []
    if isinstance(layer, nn.Module):
        raise TypeError(f"model must have Dense, Conv, noise and functions, got a {type(layer).__name__}.")
    return [layer]


def _plain(layer: VariationalDense | VariationalConv) -> nn.Dense | nn.Conv:
    options: dict[str, Any] = {
        name: getattr(layer, name) for name in ("use_bias", "dtype", "param_dtype", "kernel_init", "bias_init")
    }
    if isinstance(layer, VariationalDense):
        return nn.Dense(layer.features, **options)
    size = (layer.kernel_size,) if isinstance(layer.kernel_size, int) else layer.kernel_size
    for name in ("strides", "padding", "kernel_dilation", "feature_group_count"):
        options[name] = getattr(layer, name)
    return nn.Conv(layer.features, size, **options)


def _linear(layer: nn.Dense | nn.Conv, params: Mapping[str, Any]) -> chains.Linear:
    # Parentless: a layer that has been used knows its model, and would be looked up there.
    layer = layer.clone(parent=None, name=None)
    fixed = isinstance(layer, nn.Conv) and (layer.feature_group_count != 1 or layer.mask is not None)

    def apply(x: jax.Array, kernel: jax.Array) -> Any:
        return layer.clone(features=kernel.shape[-1], use_bias=False).apply({"params": {"kernel": kernel}}, x)

    return chains.Linear(layer, params["kernel"], params.get("bias"), apply, fixed)
