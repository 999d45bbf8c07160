"""Monte-Carlo samples of a linen model."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from jaxdrop import _paths
from jaxdrop.inference import Sampler
from jaxdrop.inference.sampler import Arguments, OneFunction, Static, split_arguments
from jaxdrop.linen import _programs
from jaxdrop.linen._stochastic import NoiseModule

# Layer, the flag that is forced, its value, and the argument, if any, with which a caller could fix the key.
_FORCED = (
    (nn.Dropout, "deterministic", False, "rng"),
    (NoiseModule, "deterministic", False, "rng"),
    (nn.MultiHeadDotProductAttention, "deterministic", False, "dropout_rng"),
    (nn.BatchNorm, "use_running_average", True, ""),
)


def sampler(
    model: nn.Module,
    variables: Mapping[str, Any],
    *args: Any,
    method: Callable[..., Any] | str | None = None,
    layers: Callable[[_paths.Path], bool] | None = None,
    share_masks: bool = False,
    **kwargs: Any,
) -> Sampler:
    """Turns a linen model into a function from a key to outputs, in which every dropout layer is on.

    Every `flax.linen.Dropout`, jaxdrop layer and attention dropout runs its noise, however deep it is and whatever the
    model passes to it as `deterministic`. Nothing else changes: batch normalisation uses its stored statistics, no
    variable is updated. Call the model as for evaluation (`train=False`, say).

    The noise is that of `model.apply(..., rngs={'dropout': key})`. RNG streams by any other name are seeded as well.

    Args:
      model: The model.
      variables: Its variables, as `model.init` returns them.
      *args: Arguments of the call; arrays may differ from call to call without compiling again.
      method: Method to call, as in `model.apply`.
      layers: Which stochastic layers are on, by their path, such as `("head", "Dropout_0")`; the others
        predict without noise. None for all. With noise in the last layers alone, all before them runs once.
      share_masks: Whether all examples see the same masks, so that each draw is one function: for Thompson sampling,
        and for predictions of several examples jointly. The model is then run for each example by itself, under
        `jax.vmap`: every array among the arguments but a scalar, and every output, has the examples along its first
        axis.
      **kwargs: Keyword arguments of the call.

    Returns:
      A function from a key to the model's outputs, for `jaxdrop.monte_carlo` or to be called as it is. It raises
      ValueError where no stochastic layer ran.

    Examples:
      >>> model = nn.Sequential([nn.Dense(4), nn.Dropout(0.5, deterministic=True)])
      >>> x = jnp.ones((2, 3))
      >>> sample = jaxdrop.linen.sampler(model, model.init(jax.random.key(0), x), x)
      >>> jaxdrop.monte_carlo(sample, jax.random.key(1), num_samples=10).mean.shape
      (2, 4)
    """
    arrays, arguments = split_arguments(args, kwargs)
    apply = _Apply(Static(model), Static(method), arguments, Static(layers))
    return Sampler(OneFunction(apply) if share_masks else apply, (variables, arrays))


def weight_scaling(
    model: nn.Module,
    variables: Mapping[str, Any],
    *args: Any,
    method: Callable[..., Any] | str | None = None,
    **kwargs: Any,
) -> Any:
    """Predicts without noise: one pass in which every dropout layer is off, whatever the model passes to it.

    Noise is taken for its mean in each layer, which makes the pass the exact mean over noise of a linear network, and
    an approximation for any other. Beside it stand `jaxdrop.monte_carlo`, which samples, and `jaxdrop.moments`.

    Args:
      model: The model.
      variables: Its variables, as `model.init` returns them.
      *args: Arguments of the call.
      method: Method to call, as in `model.apply`.
      **kwargs: Keyword arguments of the call.

    Returns:
      The model's outputs.

    Examples:
      >>> model = nn.Sequential([nn.Dense(4), nn.Dropout(0.5, deterministic=False)])
      >>> x = jnp.ones((2, 3))
      >>> variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, x)
      >>> y = jaxdrop.linen.weight_scaling(model, variables, x)
      >>> bool(jnp.allclose(y, x @ variables["params"]["layers_0"]["kernel"], atol=1e-6))
      True

    References:
      Srivastava et al., `Dropout <https://jmlr.org/papers/v15/srivastava14a.html>`_, 2014, section 1
    """
    arrays, arguments = split_arguments(args, kwargs)
    apply = _Apply(Static(model), Static(method), arguments, Static(_paths.nowhere))
    return apply((variables, arrays), jax.random.key(0))


class _Apply(NamedTuple):
    model: Static
    method: Static
    arguments: Arguments
    layers: Static

    def __call__(self, arrays: tuple[Any, list[Any]], key: jax.Array) -> Any:
        variables, inputs = arrays
        args, kwargs = self.arguments.merge(inputs)
        # Linen falls back on 'params' for a stream that it does not find.
        rngs = {"dropout": key, "params": jax.random.fold_in(key, 1), _programs.name(self.layers): jax.random.key(0)}
        with nn.intercept_methods(functools.partial(_force, self.layers.value)):
            return self.model.value.apply(variables, *args, rngs=rngs, method=self.method.value, **kwargs)


def _force(
    layers: Callable[[_paths.Path], bool] | None,
    next_fun: Callable[..., Any],
    args,
    kwargs,
    context: nn.module.InterceptorContext,
) -> Any:
    """Interceptor that calls the layers in `_FORCED` with their flag forced, to the opposite in those not chosen."""
    for layer, flag, value, rng in _FORCED:
        if isinstance(context.module, layer) and context.method_name in ("__call__", "initialize_carry"):
            signature = inspect.signature(context.orig_method)  # not the module's, if that calls the one of its parent
            if flag not in signature.parameters:
                continue
            bound = signature.bind(*args, **kwargs)
            is_noise = layer is not nn.BatchNorm
            off = is_noise and layers is not None and not layers(context.module.path)
            bound.arguments[flag] = value != off
            if context.method_name == "__call__":  # the `rng` of `initialize_carry` is another
                bound.arguments.pop(rng, None)
            with _unset(context.module, flag):
                return next_fun(*bound.args, **bound.kwargs)
    return next_fun(*args, **kwargs)


@contextlib.contextmanager
def _unset(module: nn.Module, flag: str) -> Iterator[None]:
    """Sets a field to None for a while: linen refuses a flag that is given both as a field and in the call.

    The module is `apply`'s own copy, and frozen.
    """
    before = getattr(module, flag)
    object.__setattr__(module, flag, None)
    try:
        yield
    finally:
        object.__setattr__(module, flag, before)
