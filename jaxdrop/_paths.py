"""The paths of a tree of parameters or layers, by which some of them are chosen."""

import jax

Path = tuple[str, ...]


def names(path: jax.tree_util.KeyPath) -> Path:
    """Returns a path as names: of modules, numbers of lists, and last of the parameter."""
    # Variables of nnx, and boxed parameters of linen, hold their array as an attribute `value`.
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def nowhere(path: Path) -> bool:
    """Chooses nothing."""
    del path
    return False


def is_kernel(path: Path) -> bool:
    """Chooses the kernels: what flax's layers multiply their inputs by, and no bias, scale or embedding."""
    return path[-1:] == ("kernel",)
