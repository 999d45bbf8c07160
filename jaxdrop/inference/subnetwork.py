r"""Samples of sub-networks: with masks that a batch shares, units that are dropped need not be computed.

`jaxdrop.linen.subnetwork_sampler` and `jaxdrop.nnx.subnetwork_sampler` are what users call; they translate models.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _bits, _checks
from jaxdrop.functional.drop_connect_dense import add_bias
from jaxdrop.inference.sampler import Sampler, Static

Function = Callable[[jax.Array], jax.Array]


class Dense(NamedTuple):
    """A dense layer: kernel (in, out) and bias (out,) or None; in which type it computes, and how exactly."""

    kernel: jax.Array
    bias: jax.Array | None
    dtype: Any = None
    precision: Any = None


class Drop(NamedTuple):
    """A dropout layer of a static rate."""

    rate: float


class _Place(NamedTuple):
    """Where a dense layer stands, and how many of its outputs are kept for the next one, None for all."""

    number: int
    dtype: Any
    precision: Any
    kept: int | None = None


class _Scale(NamedTuple):
    """What a dropout layer multiplies survivors by."""

    factor: float


def subnetwork_sampler(stages: Sequence[Dense | Drop | Function], x: jax.Array) -> Sampler:
    """Returns a sampler of a chain of dense layers, dropout layers, and functions of single entries.

    Raises:
      ValueError: If nothing is dropped, there is no dense layer after a dropout layer, two dropout layers follow one
        another, a rate drops no unit or all, or a function is not of single entries.
      TypeError: If a rate is an array.
    """
    layers = [stage for stage in stages if isinstance(stage, Dense)]
    if not layers:
        raise ValueError("model must have a dense layer, got none.")
    places: list[Any] = []
    x = jnp.asarray(x)
    shape, dtype = x.shape, x.dtype
    position: int | None = None  # of what chose the units of the current segment: the place, or the input, -1
    input_kept, width, number = None, shape[-1], 0
    source = -1
    for stage in stages:
        if isinstance(stage, Drop):
            kept = _number_kept(stage.rate, width)
            if position is not None:
                raise ValueError("dropout layers must have a dense layer between them, got two in a row.")
            position = source
            if source < 0:
                input_kept = kept
            else:
                places[source] = places[source]._replace(kept=kept)
            places.append(_Scale(width / kept))
        elif isinstance(stage, Dense):
            source, position, width = len(places), None, stage.kernel.shape[-1]
            places.append(_Place(number, stage.dtype, stage.precision))
            number += 1
        else:
            if source >= 0 or position is not None:
                _check_entrywise(stage, width, of_dropped=position is not None)
            else:
                out = jax.eval_shape(stage, jax.ShapeDtypeStruct(shape, dtype))
                shape, dtype, width = out.shape, out.dtype, out.shape[-1]
            places.append(Static(stage))
    if position is not None:
        raise ValueError("model must have a dense layer after its last dropout layer, got none.")
    if not any(isinstance(place, _Scale) for place in places):
        raise ValueError("model must have a dropout layer with a rate other than 0, got none.")
    return Sampler(_Chain(tuple(places), input_kept), ([(layer.kernel, layer.bias) for layer in layers], x))


class _Chain(NamedTuple):
    places: tuple[Any, ...]
    input_kept: int | None

    def __call__(self, arrays: tuple[list[tuple[jax.Array, Any]], jax.Array], key: jax.Array) -> jax.Array:
        """Draws the units that are kept and computes no others."""
        layers, x = arrays
        keys = iter(_bits.split(key, len(layers) + 1))
        _bits.mark_used(key)
        units = None
        # How many units the next dropout keeps of all that are there, if that is not chosen yet. So it is of the input,
        # and of the first layer's outputs if nothing is dropped before: they are the same for all samples.
        waiting, waiting_key = self.input_kept, next(keys)
        same = waiting is None
        for place in self.places:
            if isinstance(place, Static):
                x = place.value(x)
                continue
            if isinstance(place, _Scale):
                if waiting is not None:
                    units = _choose(waiting_key, x.shape[-1], waiting)
                    # Whole rows of the transpose, which is the same for all samples: a copy of columns is slower.
                    x, waiting = jnp.moveaxis(jnp.moveaxis(x, -1, 0)[units], 0, -1), None
                x *= jnp.asarray(place.factor, x.dtype)
                continue
            kernel, bias = layers[place.number]
            kernel = kernel if units is None else kernel[units]
            layer_key = next(keys)
            if same:
                units, waiting, waiting_key, same = None, place.kept, layer_key, place.kept is None
            else:
                units = None if place.kept is None else _choose(layer_key, kernel.shape[-1], place.kept)
            if units is not None:
                kernel, bias = kernel[:, units], None if bias is None else bias[units]
            if place.dtype is not None:
                x, kernel = x.astype(place.dtype), kernel.astype(place.dtype)
                bias = None if bias is None else bias.astype(place.dtype)
            x = add_bias(jnp.matmul(x, kernel, precision=place.precision), bias)
        return x


def _number_kept(rate: float, width: int) -> int:
    rate = _checks.known_rate("rate", rate)
    kept = round((1 - rate) * width)
    if not 0 < kept < width:
        raise ValueError(f"rate must drop at least 1 of {width} units and keep at least 1, got {rate}.")
    return kept


def _choose(key: jax.Array, width: int, kept: int) -> jax.Array:
    """Draws `kept` of `width` units, each subset with the same probability, in ascending order."""
    order = jnp.argsort(_bits.random_uints(key, (width,), 32))
    return jnp.sort(order[:kept])


def _check_entrywise(function: Function, width: int, *, of_dropped: bool) -> None:
    x = np.linspace(-2, 2, 2 * width, dtype=np.float32).reshape(2, width)
    order = np.arange(width)[::-1]
    half = max(width // 2, 1)
    try:
        whole, reordered, part = (
            function(jnp.asarray(x)),
            function(jnp.asarray(x[:, order])),
            function(jnp.asarray(x[:, :half])),
        )
        same = whole.shape == x.shape and np.allclose(whole[:, order], reordered, atol=1e-5)
        same = same and np.allclose(whole[:, :half], part, atol=1e-5)
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(f"functions between layers must be of single entries, got {_name(function)}.")
    if of_dropped and np.any(np.asarray(function(jnp.zeros((1, width)))) != 0):
        raise ValueError(
            "functions behind a dropout layer must be 0 at 0, so that units that are dropped need not be computed, got "
            f"{_name(function)}; before the layer it may be any."
        )


def _name(function: Function) -> str:
    return getattr(function, "__name__", repr(function))
