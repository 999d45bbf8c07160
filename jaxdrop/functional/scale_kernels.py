"""Weight scaling: the trained parameters of a network with standard dropout, ready for one without."""

from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _paths
from jaxdrop.functional.standard_dropout import standard_dropout_expectation

Tree = TypeVar("Tree")


def scale_kernels(
    params: Tree, rates: Mapping[str | tuple[str | int, ...], jax.typing.ArrayLike], *, bits: int | None = None
) -> Tree:
    r"""Multiplies the kernels that follow a `standard_dropout` by its probability of keeping.

    A dense or convolutional layer is linear in its inputs and in its kernel, :math:`((1 - p) x) W + b = x ((1 - p) W) +
    b`, so the scaled network predicts without any dropout layer what the unscaled one predicts with
    `standard_dropout_expectation`. Nothing nonlinear and no bias may stand between a dropout and the kernel.

    Args:
      params: A tree of parameters: a linen dictionary, or an nnx state or its pure dictionary.
      rates: Maps the path of each layer that follows a dropout to the rate of that dropout, a number or a scalar array.
        A path is a string as `"encoder/Dense_1"`, or a tuple as `("encoder", "Dense_1")` or `("layers", 0)`, and starts
        at the root of `params`. The layer's own `kernel` is scaled; biases and all other layers stay as they are.
      bits: The `bits` of those dropouts: rates are rounded as there.

    Returns:
      A new tree like `params`.

    Raises:
      ValueError: If a path leads to no layer with a kernel, a static rate is outside [0, 1] or NaN, an array rate is
        not scalar, or `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If a scaled kernel is not floating point, or a rate is neither a number nor an array.

    Examples:
      >>> params = {"Dense_0": {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(2)}}
      >>> jaxdrop.scale_kernels(params, {"Dense_0": 0.5})
      {'Dense_0': {'bias': Array([1., 1.], dtype=float32), 'kernel': Array([[0.5, 0.5]], dtype=float32)}}

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014
    """
    by_layer = {path if isinstance(path, str) else "/".join(map(str, path)): rate for path, rate in rates.items()}
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    layers = [_layer(path) for path, _ in leaves]
    for name, rate in by_layer.items():
        _checks.one_of("each path in rates", name, [layer for layer in layers if layer is not None])
        _checks.rate_shape(f"rates[{name!r}]", jnp.shape(rate), (), ())
    scaled = [
        standard_dropout_expectation(leaf, by_layer[layer], bits=bits) if layer in by_layer else leaf
        for layer, (_, leaf) in zip(layers, leaves, strict=True)
    ]
    return jax.tree.unflatten(treedef, scaled)


def _layer(path: tuple) -> str | None:
    """Returns the path of the layer whose kernel this leaf is, or None for any other leaf."""
    names = _paths.names(path)
    return "/".join(names[:-1]) if _paths.is_kernel(names) else None
