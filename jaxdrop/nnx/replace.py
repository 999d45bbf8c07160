"""Another method in place of an nnx model's dropout layers."""

from collections.abc import Callable
from typing import Any, TypeVar

from flax import nnx

from jaxdrop.nnx._stochastic import StochasticLayer

Layer = nnx.Dropout | StochasticLayer
Model = TypeVar("Model", bound=nnx.Module)


def always(path: tuple[Any, ...], layer: Layer) -> bool:
    """Chooses every dropout layer."""
    return True


def replace(
    model: Model, make: Callable[[Any], Any], *, where: Callable[[tuple[Any, ...], Any], bool] = always
) -> Model:
    """Returns a copy of `model` in which other layers stand for its dropout layers.

    Args:
      model: The model; it stays as it is. A model that is itself a dropout layer is replaced as a whole.
      make: Function from a dropout layer (with `rate`, ...) to the layer that stands for it. That takes over the
        `deterministic` of the one it replaces, and its stream unless it was made with `rngs`.
      where: Function from the path (a tuple of names) and the dropout layer to whether it is replaced. By default all
        layers with a rate of dropping inputs are: flax's own `Dropout`, and jaxdrop's but `UniformDropout`, which has
        none, and those with parameters.

    Returns:
      The copy; its parameters are copies too.

    Raises:
      TypeError: If a layer is held by anything else than an nnx module or pytree, a list, a dictionary or a tuple.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> model = nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.Dropout(0.1, rngs=rngs))
      >>> gaussian = jaxdrop.nnx.replace(model, lambda layer: jaxdrop.nnx.GaussianDropout(layer.rate))
      >>> type(gaussian.layers[1]).__name__
      'GaussianDropout'
    """
    copy = nnx.clone(model)
    chosen = {
        id(layer): _made(make, layer)
        for path, layer in nnx.iter_graph(copy)
        if isinstance(layer, Layer) and where(path, layer)
    }
    if id(copy) in chosen:
        return chosen[id(copy)]
    for _, node in list(nnx.iter_graph(copy)):
        _swap(node, chosen)
    left = [type(node).__name__ for _, node in nnx.iter_graph(copy) if id(node) in chosen]
    if left:
        raise TypeError(f"model must hold its layers in modules, lists, dictionaries and tuples, not so a {left[0]}.")
    return copy


def _made(make: Callable[[Any], Any], layer: Layer) -> Any:
    new = make(layer)
    new.deterministic = layer.deterministic
    if new.rngs is None:
        new.rngs = nnx.data(layer.rngs)
    return new


def _swap(node: Any, chosen: dict[int, Any]) -> None:
    """Puts the new layers where the old ones are held: in attributes, lists and dictionaries, and tuples in these."""
    if isinstance(node, nnx.List | list):
        items = enumerate(list(node))
    elif isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, nnx.Pytree):
        items = list(vars(node).items())
    else:
        return
    for place, value in items:
        new = _swapped(value, chosen)
        if new is value:
            continue
        if isinstance(node, nnx.Pytree) and isinstance(place, str):
            setattr(node, place, nnx.data(new))
        else:
            node[place] = new  # pyright: ignore[reportIndexIssue, reportArgumentType, reportCallIssue]


def _swapped(value: Any, chosen: dict[int, Any]) -> Any:
    """The new layer for an old one, a tuple like one that holds some, and anything else as it is."""
    if not isinstance(value, tuple):
        return chosen.get(id(value), value)
    items = [_swapped(item, chosen) for item in value]
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
