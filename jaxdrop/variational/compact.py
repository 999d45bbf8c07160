"""Cutting out of a chain of layers what cannot matter: units that are constant, and units that nobody reads.

`jaxdrop.linen.compact` and `jaxdrop.nnx.compact` are what users call; they translate models to chains and back.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop.functional.drop_connect_dense import add_bias

Function = Callable[[jax.Array], jax.Array]


class Linear(NamedTuple):
    """A layer of a chain.

    Attributes:
      layer: What the caller knows it by.
      kernel: Array (*window, in, out).
      bias: Array (out,), or None.
      apply: `(x, kernel) -> y`, the layer without its bias, for a kernel with fewer inputs or outputs too.
      fixed: Whether all inputs and outputs must stay, as those of a convolution in groups.
    """

    layer: Any
    kernel: jax.Array
    bias: jax.Array | None
    apply: Callable[[jax.Array, jax.Array], jax.Array]
    fixed: bool = False

    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the layer."""
        return add_bias(self.apply(x, self.kernel), self.bias)


class Scale(NamedTuple):
    """Factors (features,), not negative, that units are multiplied by."""

    factors: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        """Multiplies by the factors."""
        return x * jnp.broadcast_to(self.factors.astype(x.dtype), x.shape)


class Take(NamedTuple):
    """A function that picks features: the first in a compact chain, if some are not read."""

    indices: tuple[int, ...]

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns these entries of the last axis."""
        return x[..., jnp.asarray(self.indices)]


@dataclasses.dataclass
class _Node:
    """A layer, the functions before it, and what is found out about it.

    Attributes:
      before: Functions between the layer before and this one.
      linear: The layer, factors before it in its kernel.
      owners: For each input the output of the layer before that it is made of, -1 if of none.
      shape: Of its outputs for one example, (1, ..., out).
      bias: Its bias and what dead inputs add to it, (out,).
      dead: Which outputs are constant, and may be cut out because the next layer's bias has what they add.
      kept: Which outputs stay.
    """

    before: list[Function]
    linear: Linear
    owners: np.ndarray
    shape: tuple[int, ...]
    bias: jax.Array
    dead: np.ndarray
    kept: np.ndarray


def compact(stages: Sequence[Linear | Scale | Function], x: jax.Array) -> list[Linear | Function]:
    """Makes a chain of layers smaller without changing its outputs.

    Args:
      stages: Layers, factors, and functions, which treat each channel by itself.
      x: An example of the input, (batch, ...), for its shape.

    Returns:
      The smaller chain, without factors.

    Raises:
      ValueError: If there is no layer, a function between layers mixes channels, or factors cannot be put into the
        kernel of a later layer.
    """
    nodes, after = _split(stages, x[:1])
    live = np.ones(len(nodes[0].owners), bool)
    for node, following in itertools.pairwise(nodes):
        live = _find_dead(node, following, live)
    for node, following in zip(nodes[-2::-1], nodes[:0:-1], strict=True):
        read = np.asarray(_readers(following).any(1))
        owned = following.owners[read & (following.owners >= 0)]
        node.kept = np.isin(np.arange(len(node.kept)), owned) & ~node.dead
        if node.linear.fixed:
            node.kept[:] = True
        # A layer of nothing would be no layer: one unit stays, and `_smaller` lets nobody read it.
        node.kept[0] |= not node.kept.any()
    return [*_smaller(nodes), *after]


def _split(stages: Sequence[Linear | Scale | Function], x: jax.Array) -> tuple[list[_Node], list[Function]]:
    """Returns the layers with the functions before each, and the functions after the last one."""
    nodes: list[_Node] = []
    functions: list[Function] = []
    factors: tuple[int, Scale] | None = None  # and the number of functions before them
    start = x
    for stage in stages:
        if isinstance(stage, Scale):
            if factors is not None:
                raise ValueError("factors of units must have a layer between them, got two in a row.")
            factors = len(functions), stage
            continue
        if not isinstance(stage, Linear):
            functions.append(stage)
            continue
        if factors is not None:
            stage = _absorb(functions[factors[0] :], factors[1], stage, _run(functions[: factors[0]], start))
            factors = None
        inputs = _run(functions, start)
        owners = _owners(functions, start) if nodes else np.arange(inputs.shape[-1])
        outputs = stage.kernel.shape[-1]
        bias = jnp.zeros(outputs, stage.kernel.dtype) if stage.bias is None else stage.bias
        start, before, functions = stage(inputs), functions, []
        none, all_of_them = np.zeros(outputs, bool), np.ones(outputs, bool)
        nodes.append(_Node(before, stage, owners, start.shape, bias, none, all_of_them))
    if not nodes:
        raise ValueError("model must have a layer such as Dense or Conv, got none.")
    if factors is not None:
        raise ValueError("factors of units must have a layer behind them, got none after the last.")
    return nodes, functions


def _run(functions: Sequence[Function], x: jax.Array) -> jax.Array:
    for function in functions:
        x = function(x)
    return x


def _absorb(functions: Sequence[Function], scale: Scale, linear: Linear, x: jax.Array) -> Linear:
    """Puts factors into the rows of the next kernel; `x` is what they multiply."""
    owners = _owners(functions, x)
    factors = jnp.where(owners < 0, 1, scale.factors[owners])
    x = jax.random.normal(jax.random.key(0), x.shape, x.dtype)
    if not np.allclose(_run(functions, scale(x)), Scale(factors)(_run(functions, x)), rtol=1e-4, atol=1e-5):
        raise ValueError(
            f"factors of units must commute with what comes between them and the next layer, got {_names(functions)}."
        )
    *_, rows, outputs = linear.kernel.shape
    groups = len(factors) // rows  # of a convolution: its outputs read the inputs of their own group
    of_rows = jnp.repeat(factors.reshape(groups, rows).T, outputs // groups, 1)
    of_rows = jnp.broadcast_to(of_rows.astype(linear.kernel.dtype), linear.kernel.shape)
    return linear._replace(kernel=linear.kernel * of_rows)


def _owners(functions: Sequence[Function], x: jax.Array) -> np.ndarray:
    """For each feature that functions make of (1, ..., channels) the channel that it depends on, -1 for none."""
    channels = x.shape[-1]
    if not functions:
        return np.arange(channels)
    # Positive, and then negative and smaller and larger: an activation may be flat on either side of zero.
    base = 1 + jax.random.uniform(jax.random.key(0), x.shape, x.dtype)
    others = (-base, base / 4, 4 * base)
    outputs = _run(functions, base)

    def depends(channel: jax.Array) -> jax.Array:
        changed = jnp.zeros(outputs.shape, bool)
        for other in others:
            y = _run(functions, jnp.where(jnp.arange(channels) == channel, other, base))
            # Two programs may round differently.
            rounding = 16 * jnp.finfo(y.dtype).eps * jnp.maximum(jnp.abs(y).max(), jnp.abs(outputs).max())
            changed |= jnp.abs(y - outputs) > rounding
        return changed.any(tuple(range(outputs.ndim - 1)))

    found = np.asarray(jax.lax.map(depends, jnp.arange(channels)))
    if (found.sum(0) > 1).any():
        raise ValueError(f"functions between layers must treat each channel by itself, got {_names(functions)}.")
    # A function of each entry that is flat wherever it was tried, as the rectifier of x - 9, is not flat everywhere.
    otherwise = np.arange(channels) if outputs.shape == x.shape else -1
    return np.where(found.any(0), found.argmax(0), otherwise)


def _names(functions: Sequence[Function]) -> str:
    return ", ".join(getattr(function, "__name__", repr(function)) for function in functions)


def _readers(node: _Node) -> np.ndarray:
    """Which kept outputs read which inputs, (in, out)."""
    if node.linear.fixed:
        return np.ones((len(node.owners), len(node.kept)), bool)
    nonzero = np.asarray(node.linear.kernel != 0)
    return nonzero.any(tuple(range(nonzero.ndim - 2))) & node.kept


def _find_dead(node: _Node, following: _Node, live: np.ndarray) -> np.ndarray:
    """Finds the outputs of a layer that are constant, and puts what they add into the bias of the next.

    Args:
      node: A layer.
      following: The next one.
      live: Which inputs of the layer are not made of dead outputs.

    Returns:
      Which inputs of the next layer are not.
    """
    if not (node.linear.fixed or following.linear.fixed):
        constant = np.logical_not(_readers(node)[live].any(0))
        values = jnp.broadcast_to(jnp.where(constant, node.bias, 0), node.shape)
        inputs = jnp.where(_made_of(following, constant), _run(following.before, values), 0)
        added = following.linear.apply(inputs, following.linear.kernel)
        added = added.reshape(-1, added.shape[-1])
        if np.allclose(added, added[:1], rtol=1e-6, atol=1e-6 * float(jnp.abs(added).max())):
            following.bias = following.bias + added[0].astype(following.bias.dtype)
            node.dead = constant
        else:
            # Padding shows at the border that they are not there: those that are not 0 must stay.
            nonzero = np.asarray((inputs != 0).any(tuple(range(inputs.ndim - 1))))
            node.dead = constant & ~np.isin(np.arange(len(constant)), following.owners[nonzero])
    return ~_made_of(following, node.dead)


def _made_of(node: _Node, chosen: np.ndarray) -> np.ndarray:
    """Which inputs of a layer are made of the chosen outputs of the one before."""
    return (node.owners >= 0) & chosen[node.owners]


def _smaller(nodes: Sequence[_Node]) -> list[Linear | Function]:
    first, chain = nodes[0], []
    read = np.asarray(_readers(first).any(1))
    read[0] |= not read.any()
    for number, node in enumerate(nodes):
        before = nodes[number - 1]
        inputs = (node.owners < 0) | before.kept[node.owners] if number else read
        kernel = node.linear.kernel
        if number and not node.linear.fixed:
            kernel = jnp.where(_made_of(node, before.dead)[:, None], 0, kernel)
        if not node.linear.fixed:
            kernel = kernel[..., inputs, :][..., node.kept]
        bias = node.bias[node.kept]
        chain.extend(node.before)
        if node is first and not read.all():
            chain.append(Take(tuple(np.flatnonzero(read).tolist())))
        unbiased = node.linear.bias is None and not bool((bias != 0).any())
        chain.append(node.linear._replace(kernel=kernel, bias=None if unbiased else bias))
    return chain
