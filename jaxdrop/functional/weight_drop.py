"""Weight drop: DropConnect on any kernels of a network, with one mask for a whole batch."""

import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _bits, _checks, _paths
from jaxdrop.functional.dropout import dropout

Tree = TypeVar("Tree")


def weight_drop(
    key: jax.Array | None,
    params: Tree,
    rate: jax.typing.ArrayLike,
    *,
    where: Callable[[_paths.Path], bool] = _paths.is_kernel,
    bits: int | None = None,
) -> Tree:
    r"""Zeroes each entry of the chosen kernels with probability `rate` and rescales the rest.

    .. math:: \tilde W_{ij} = m_{ij} W_{ij} / (1 - p), \quad m_{ij} \sim \mathrm{Bernoulli}(1 - p)

    so that :math:`E[\tilde W] = W`, and to predict is to use the parameters as they are. One mask serves all examples
    of a batch and all steps of a sequence, as in AWD-LSTM, where it is on the hidden-to-hidden kernels alone. Wan et
    al.'s DropConnect draws one for each example: `drop_connect_dense`, `drop_connect_conv`.

    The mask of a kernel is that of `dropout` for the key `jax.random.fold_in(key, crc32(path))`, the path joined by
    "/". So it depends neither on the other leaves, nor on the order of a dictionary, nor, as Python's own hash does, on
    the process.

    Args:
      key: PRNG key, typed or legacy; consumed. Not read at static rates 0 and 1: None will do.
      params: A tree of parameters: a linen dictionary, or an nnx state or its pure dictionary.
      rate: Probability :math:`p` of dropping an entry; a number in [0, 1] or a scalar array, traced or not. No gradient
        flows into it.
      where: Which leaves to drop from: a function of the path, such as `("Dense_0", "kernel")`, to a bool. By default
        those named "kernel", which leaves out biases, embeddings and norms.
      bits: Random bits that decide an entry; as in `dropout`.

    Returns:
      A new tree like `params`, with the very arrays of `params` where nothing is dropped.

    Raises:
      ValueError: If `where` chooses nothing, a static rate is outside [0, 1] or NaN, an array rate is not a scalar, or
        `bits` is not allowed or rounds a static rate to 0 or 1.
      TypeError: If a chosen leaf is not floating point, `rate` is neither a number nor an array, or `key` is not one
        key.

    Examples:
      >>> def hidden_to_hidden(path):
      ...     return path[-1] == "kernel" and path[-2] in ("hi", "hf", "hg", "ho")
      >>> lstm, x = nn.RNN(nn.LSTMCell(8)), jnp.ones((2, 5, 3))
      >>> variables = lstm.init(jax.random.key(0), x)
      >>> dropped = jaxdrop.weight_drop(jax.random.key(1), variables, 0.5, where=hidden_to_hidden)
      >>> lstm.apply(dropped, x).shape
      (2, 5, 8)

    References:
      Wan et al., `Regularization of neural networks using DropConnect
      <https://proceedings.mlr.press/v28/wan13.html>`_, 2013;
      Merity et al., `Regularizing and optimizing LSTM language models <https://arxiv.org/abs/1708.02182>`_, 2017
    """
    paths_and_leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    paths = [_paths.names(path) for path, _ in paths_and_leaves]
    leaves = [leaf for _, leaf in paths_and_leaves]
    return jax.tree.unflatten(treedef, drop_leaves(key, paths, leaves, rate, where, bits))


def drop_leaves(
    key: jax.Array | None,
    paths: Sequence[_paths.Path],
    leaves: Sequence[jax.Array],
    rate: jax.typing.ArrayLike,
    where: Callable[[_paths.Path], bool],
    bits: int | None,
) -> list[jax.Array]:
    """Does what `weight_drop` does to leaves that have these paths."""
    chosen = [bool(where(path)) for path in paths]
    _checks.some_chosen("where", chosen, paths)
    _checks.rate_shape("rate", jnp.shape(rate), (), ())
    if _checks.static_rate("rate", rate) in (0.0, 1.0):
        tree_key = None
    else:
        tree_key = _checks.prng_key("key", key)
        _bits.mark_used(tree_key)

    def drop(path: _paths.Path, leaf: jax.Array) -> jax.Array:
        name = "/".join(path)
        leaf = _checks.inexact(f"params[{name!r}]", leaf)
        number = np.uint32(zlib.crc32(name.encode()))
        return dropout(None if tree_key is None else jax.random.fold_in(tree_key, number), leaf, rate, bits=bits)

    return [drop(path, leaf) if yes else leaf for path, leaf, yes in zip(paths, leaves, chosen, strict=True)]
