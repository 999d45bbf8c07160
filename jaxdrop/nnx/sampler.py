"""Monte-Carlo samples of an nnx model."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx import rnglib

from jaxdrop import _paths
from jaxdrop.inference import Sampler
from jaxdrop.inference.sampler import Arguments, OneFunction, Static, split_arguments
from jaxdrop.nnx._stochastic import NoiseModule

_NOISE = (nnx.Dropout, NoiseModule, nnx.MultiHeadAttention)


def sampler(
    model: Callable[..., Any],
    *args: Any,
    method: Callable[..., Any] | str | None = None,
    layers: Callable[[_paths.Path], bool] | None = None,
    share_masks: bool = False,
    **kwargs: Any,
) -> Sampler:
    """Turns an nnx model into a function from a key to outputs, in which every dropout layer is on.

    Every `flax.nnx.Dropout`, jaxdrop layer and attention dropout runs its noise, however deep it is and whatever the
    model passes to it as `deterministic` or `rngs`. Nothing else changes: batch normalisation uses its stored
    statistics, and the model given here stays as it is, its RNG streams included. Each draw works on a copy, all of
    whose RNG streams are seeded from the key, so that `jax.vmap` over keys gives different samples.

    Args:
      model: The model, an `nnx.Module`.
      *args: Arguments of the call; arrays may differ from call to call without compiling again.
      method: Method to call, as a name or as a function of the model, or None for `__call__`.
      layers: Which stochastic layers are on, by their path, a tuple of names such as `('blocks', '0', 'dropout')`; the
        others predict without noise. None for all. With noise in the last layers alone, all before them runs once.
      share_masks: Whether all examples see the same masks, so that each draw is one function: for Thompson sampling,
        and for predictions of several examples jointly. The model is then run for each example by itself, under
        `jax.vmap`: every array among the arguments but a scalar, and every output, has the examples along its first
        axis.
      **kwargs: Keyword arguments of the call.

    Returns:
      A function from a key to the model's outputs, for `jaxdrop.monte_carlo` or to be called as it is. It raises
      ValueError where no stochastic layer ran. It holds the model's state as it is now: make a new one after training.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> model = nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
      >>> model.eval()
      >>> sample = jaxdrop.nnx.sampler(model, jnp.ones((2, 3)))
      >>> jaxdrop.monte_carlo(sample, jax.random.key(1), num_samples=10).mean.shape
      (2, 4)
    """
    graph, state = nnx.split(model)
    arrays, arguments = split_arguments(args, kwargs)
    apply = _Apply(graph, Static(method), arguments, Static(layers))
    return Sampler(OneFunction(apply) if share_masks else apply, (state, arrays))


def weight_scaling(
    model: Callable[..., Any], *args: Any, method: Callable[..., Any] | str | None = None, **kwargs: Any
) -> Any:
    """Predicts without noise: one pass in which every dropout layer is off, whatever the model passes to it.

    Noise is taken for its mean in each layer, which makes the pass the exact mean over noise of a linear network, and
    an approximation for any other. Beside it stand `jaxdrop.monte_carlo`, which samples, and `jaxdrop.moments`. The
    model given here stays as it is.

    Args:
      model: The model, an `nnx.Module`.
      *args: Arguments of the call.
      method: Method to call, as a name or as a function of the model, or None for `__call__`.
      **kwargs: Keyword arguments of the call.

    Returns:
      The model's outputs.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> model = nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
      >>> y = jaxdrop.nnx.weight_scaling(model, jnp.ones((2, 3)))
      >>> bool(jnp.allclose(y, model.layers[0](jnp.ones((2, 3)))))
      True

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014, section 1
    """
    graph, state = nnx.split(model)
    arrays, arguments = split_arguments(args, kwargs)
    apply = _Apply(graph, Static(method), arguments, Static(_paths.nowhere))
    return apply((state, arrays), jax.random.key(0))


class _Apply(NamedTuple):
    graph: nnx.GraphDef
    method: Static
    arguments: Arguments
    layers: Static

    def __call__(self, arrays: tuple[Any, list[Any]], key: jax.Array) -> Any:
        state, inputs = arrays
        args, kwargs = self.arguments.merge(inputs)
        model = nnx.merge(self.graph, state, copy=True)
        _make_stochastic(model, key, self.layers.value)
        method = self.method.value
        if isinstance(method, str):
            return getattr(model, method)(*args, **kwargs)
        return type(model).__call__(model, *args, **kwargs) if method is None else method(model, *args, **kwargs)


def _make_stochastic(model: Any, key: jax.Array, layers: Callable[[_paths.Path], bool] | None) -> None:
    """Forces the flags of stochastic layers and of normalisation, and seeds every RNG stream, in place."""
    for path, node in list(nnx.iter_graph(model)):
        if isinstance(node, nnx.BatchNorm):
            node.use_running_average = True
            _force(node, {"use_running_average": True})
        elif isinstance(node, _NOISE):
            off = layers is not None and not layers(tuple(map(str, path)))
            if getattr(node, "rngs", ...) is None:  # every call would have brought its own
                node.rngs = nnx.data(rnglib.RngStream(key, tag="dropout"))  # pyright: ignore[reportAttributeAccessIssue]
            node.deterministic = off  # for methods other than the call, and calls that do not take the flag
            _force(node, {"deterministic": off, "rngs": None})
    streams = [node for _, node in nnx.iter_graph(model) if isinstance(node, rnglib.RngStream)]
    for number, stream in enumerate(streams):
        seed = jax.random.fold_in(key, number)
        shape = stream.key.shape  # not () in layers that were made under nnx.vmap
        stream.key.set_value(jax.random.split(seed, shape) if shape else seed)
        stream.count.set_value(jnp.zeros(shape, jnp.uint32))


def _force(node: Any, flags: dict[str, Any]) -> None:
    # A call's own argument takes precedence over an attribute, so it is the call that must change.
    object.__setattr__(node, "__class__", _forcing(type(node), tuple(flags.items())))


@functools.cache
def _forcing(layer: type, flags: tuple[tuple[str, Any], ...]) -> type:
    """Returns a subclass whose call ignores what it is given for `flags`, by name or by position."""
    signature = inspect.signature(layer.__call__)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        for flag, value in flags:
            if flag in kwargs:
                kwargs[flag] = value
        bound = signature.bind(self, *args, **kwargs)
        bound.arguments.update((flag, value) for flag, value in flags if flag in signature.parameters)
        return layer.__call__(*bound.args, **bound.kwargs)

    return type(layer.__name__, (layer,), {"__call__": call})
