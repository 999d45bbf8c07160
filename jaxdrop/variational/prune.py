"""From noisy parameters to exact zeros, and what is left."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop.variational.weights import (
    LOG_ALPHA_RANGE,
    AdditiveWeights,
    MultiplicativeWeights,
    NoisyWeights,
    pruned,
)

# Edges of the bins of log alpha in a report.
LOG_ALPHA_EDGES = np.linspace(*LOG_ALPHA_RANGE, 17)
# How the layers of `jaxdrop.linen` and `jaxdrop.nnx` name their noise.
_KINDS = {"log_sigma2": AdditiveWeights, "log_rate": MultiplicativeWeights}
_MEANS = ("kernel", "embedding")


class LayerReport(NamedTuple):
    """What pruning left of a layer.

    Attributes:
      name: Path of the layer, its parts separated by slashes.
      kept: Weights that are not zero.
      total: All weights, without the bias.
      log_alpha_counts: Weights in each of 16 equal bins of log alpha from -8 to 8.
    """

    name: str
    kept: int
    total: int
    log_alpha_counts: tuple[int, ...]

    @property
    def sparsity(self) -> float:
        """Share of the weights that are zero."""
        return 1 - self.kept / self.total


@dataclasses.dataclass(frozen=True)
class PruningReport:
    """What pruning left of a network; printed, it is a table.

    Attributes:
      layers: The pruned layers, in the order of the parameters.
    """

    layers: tuple[LayerReport, ...]

    @property
    def compression(self) -> float:
        """All weights of these layers over those that are left; infinite if none is."""
        kept = sum(layer.kept for layer in self.layers)
        return sum(layer.total for layer in self.layers) / kept if kept else float("inf")

    def __str__(self) -> str:
        """The table."""
        width = max(len("layer"), *(len(layer.name) for layer in self.layers))
        lines = [f"{'layer':<{width}}  {'weights':>9}  {'kept':>9}  {'sparsity, %':>11}"]
        lines += [
            f"{layer.name:<{width}}  {layer.total:>9}  {layer.kept:>9}  {100 * layer.sparsity:>11.1f}"
            for layer in self.layers
        ]
        return "\n".join([*lines, f"compression {self.compression:.1f}"])


class Pruned(NamedTuple):
    """Parameters without noise, and what is left of them.

    Attributes:
      params: As those of flax's own layers, with exact zeros.
      report: What was zeroed where.
    """

    params: dict[str, Any]
    report: PruningReport


def prune(params: Mapping[str, Any], threshold: float | None = 3.0) -> Pruned:
    r"""Zeroes the weights that are drowned in noise, and takes the noise away.

    What comes out are parameters of the same network with flax's own layers, and predicts as the noisy one does.

    Args:
      params: Parameters of a model with variational layers: the collection "params" of a linen model, or
        `nnx.to_pure_dict(nnx.state(model, nnx.Param))`.
      threshold: Weights with :math:`\log\alpha` at or above it become 0; None for none.

    Returns:
      The parameters and a report. Not for use under `jax.jit`, for it counts.

    Raises:
      ValueError: If there is no layer with learned noise.

    Examples:
      >>> layer = {"kernel": jnp.array([[1.0, 0.1], [0.1, 0.1]]), "log_sigma2": jnp.zeros((2, 2)), "bias": jnp.ones(2)}
      >>> params, report = jaxdrop.variational.prune({"dense": layer})
      >>> params["dense"]["kernel"]
      Array([[1., 0.],
             [0., 0.]], dtype=float32)
      >>> print(report)
      layer    weights       kept  sparsity, %
      dense          4          1         75.0
      compression 4.0
    """
    layers: list[LayerReport] = []
    plain = _prune(params, (), threshold, layers)
    if not layers:
        raise ValueError("params must hold a layer with learned noise, such as VariationalDense, got none.")
    return Pruned(plain, PruningReport(tuple(layers)))


def _prune(params: Mapping[str, Any], path: tuple[str, ...], threshold: float | None, layers: list) -> dict[str, Any]:
    noisy = {name: weights for name in _MEANS if (weights := noisy_weights(params, name)) is not None}
    plain = {}
    for name, value in params.items():
        if noisy and name in _KINDS:
            continue
        if name in noisy:
            weights = noisy[name]
            value = pruned(weights, threshold)
            counts, _ = np.histogram(weights.log_alpha, LOG_ALPHA_EDGES)
            name_of_layer = "/".join(path)
            layers.append(LayerReport(name_of_layer, int(jnp.count_nonzero(value)), value.size, tuple(counts.tolist())))
        plain[name] = _prune(value, (*path, str(name)), threshold, layers) if isinstance(value, Mapping) else value
    return plain


def noisy_weights(params: Mapping[str, Any], name: str) -> NoisyWeights | None:
    """The noisy weights of which the parameter `name` of a layer is the mean, if it is one."""
    for noise, kind in _KINDS.items():
        parts = params.get(name), params.get(noise)
        if all(isinstance(part, jax.Array | np.ndarray) for part in parts):  # of numpy as flax restores them
            return kind(*map(jnp.asarray, parts))
    return None
