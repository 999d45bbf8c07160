"""Another method in place of a linen model's dropout layers."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
from flax.core.scope import LazyRng

from jaxdrop.inference.sampler import Static
from jaxdrop.linen import _programs
from jaxdrop.linen._stochastic import StochasticLayer, StochasticModule

Layer = nn.Dropout | StochasticLayer


def always(layer: Layer) -> bool:
    """Chooses every dropout layer."""
    return True


def replace(model: nn.Module, make: Callable[[Any], nn.Module], *, where: Callable[[Any], bool] = always) -> nn.Module:
    """Returns a model like `model` in which other layers stand for its dropout layers.

    The variables are those of `model`: the same `params` serve both. A new layer draws from the key and obeys the
    `deterministic` of the one that it stands for, whichever way the model gives them.

    Args:
      model: The model; it stays as it is.
      make: Function from a dropout layer (with `rate`, `path`, ...) to the layer that stands for it: one without
        variables, called as `layer(inputs, deterministic=...)` with the stream that its `rng_collection` names.
      where: Function from a dropout layer to whether it is replaced; its `path` is a tuple of names. By default all
        layers with a rate of dropping inputs are: flax's own `Dropout`, and jaxdrop's but `UniformDropout`, which has
        none, and those with parameters.

    Returns:
      The model to use in place of `model`, with the same methods `init`, `apply` and `__call__`.

    Examples:
      >>> model = nn.Sequential([nn.Dense(4), nn.Dropout(0.1, deterministic=False)])
      >>> gaussian = jaxdrop.linen.replace(model, lambda layer: jaxdrop.linen.GaussianDropout(layer.rate))
      >>> variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, jnp.ones((2, 3)))
      >>> gaussian.apply(variables, jnp.ones((2, 3)), rngs={"dropout": jax.random.key(1)}).shape
      (2, 4)
    """
    return _Replaced(model, make, where)


class _Replaced(nn.Module):
    model: nn.Module
    make: Callable[[Any], nn.Module]
    where: Callable[[Any], bool]

    def setup(self) -> None:
        nn.share_scope(self, self.model)  # so that variables are where they were

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inside: list[nn.Module] = []  # the new layer that is running: not to be replaced in its turn

        def intercept(next_fun: Callable[..., Any], args, kwargs, context: nn.module.InterceptorContext) -> Any:
            layer = context.module
            dropout = isinstance(layer, Layer) and context.method_name == "__call__"
            if inside or not dropout or not self.where(layer):
                return next_fun(*args, **kwargs)
            inside.append(self.make(layer))
            try:
                return _call(inside[0], layer, *args, **kwargs)
            finally:
                inside.clear()

        with nn.intercept_methods(intercept), _named(self, _programs.name(Static(self.make), Static(self.where))):
            return self.model(*args, **kwargs)


@contextlib.contextmanager
def _named(module: nn.Module, name: str) -> Iterator[None]:
    """Adds a stream for a while that nobody reads, for the sake of its name."""
    scope: Any = module.scope
    before = scope.rngs
    scope.rngs = {**before, name: LazyRng.create(jax.random.key(0))}
    try:
        yield
    finally:
        scope.rngs = before


def _call(new: Any, layer: Any, inputs: Any, deterministic: bool | None = None, rng: Any = None) -> Any:
    """Calls `new` as `layer` was called."""
    deterministic = nn.merge_param("deterministic", layer.deterministic, deterministic)
    if deterministic:
        return new.apply({}, inputs, deterministic=True)
    if isinstance(new, StochasticModule) and not new.key_needed():
        return new.apply({}, inputs, deterministic=False)
    key = layer.make_rng(layer.rng_collection) if rng is None else rng
    return new.apply({}, inputs, deterministic=False, rngs={new.rng_collection: key})
