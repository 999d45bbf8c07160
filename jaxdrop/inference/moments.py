"""Mean and variance of a stochastic model's outputs in one pass, without samples."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _masks
from jaxdrop.inference._propagation.gaussian import Stats
from jaxdrop.inference._propagation.program import evaluate
from jaxdrop.inference._propagation.random import INNOVATIONS, KEY, Innovations, stats
from jaxdrop.inference._propagation.uniform import as_random


class Moments(NamedTuple):
    """Mean and variance of a model's outputs under noise.

    Attributes:
      mean: Mean of each output; a pytree like the outputs.
      variance: Variance of each output; a pytree like the outputs.
      covariance: Covariances between the outputs of an example, (batch, outputs, outputs) for each array of outputs
        (batch, ...), whose other axes are flattened; a pytree like the outputs, or None.
    """

    mean: Any
    variance: Any
    covariance: Any = None


def moments(sample: Callable[[jax.Array], Any], *, covariance: bool = False) -> Moments:
    if jax.tree_util.all_leaves([sample]):
        sample = jax.tree_util.Partial(sample)
    return _run(sample, covariance)


@functools.partial(jax.jit, static_argnums=1)
def _run(sample: Callable[[jax.Array], Any], covariance: bool) -> Moments:
    key = jax.eval_shape(lambda: jax.random.key(0, impl=_masks.SYMBOLIC))
    program, outputs = jax.make_jaxpr(sample, return_shape=True)(key)

    def propagate(innovations: Innovations | None) -> list[Stats]:
        before = INNOVATIONS.set(innovations)
        try:
            return [stats(as_random(value)) for value in evaluate(program.jaxpr, program.consts, [KEY])]
        finally:
            INNOVATIONS.reset(before)

    def like_outputs(leaves: list[jax.Array]) -> Any:
        return jax.tree.unflatten(jax.tree.structure(outputs), leaves)

    if not covariance:
        results = propagate(None)
        return Moments(like_outputs([y.mean for y in results]), like_outputs([y.variance for y in results]))
    innovations = Innovations()
    means = [y.mean for y in propagate(innovations)]
    covariances = _covariances(propagate, innovations, means)
    variances = [jnp.diagonal(c, axis1=1, axis2=2).reshape(y.shape) for c, y in zip(covariances, means, strict=True)]
    return Moments(like_outputs(means), like_outputs(variances), like_outputs(covariances))


def _covariances(
    propagate: Callable[[Innovations], list[Stats]], innovations: Innovations, means: list[jax.Array]
) -> list[jax.Array]:
    """Follows each output back to all noise that it depends on: the squared slopes times the noise's variances."""
    if any(mean.ndim == 0 for mean in means):
        raise ValueError("covariance must be False for outputs without a batch axis, got a scalar.")

    def outputs(added: list[jax.Array]) -> list[jax.Array]:
        return [y.mean for y in propagate(Innovations(innovations.written, added))]

    _, pull_back = jax.vjp(outputs, [jnp.zeros_like(variance) for variance, _ in innovations.written])
    covariances = []
    for number, mean in enumerate(means):
        batch, size = mean.shape[0], math.prod(mean.shape[1:])

        def slopes(direction: jax.Array, number=number, mean=mean) -> list[jax.Array]:
            # Of all examples at once: the noise of one has no part in the outputs of the others.
            cotangents = [jnp.zeros_like(y) for y in means]
            cotangents[number] = jnp.broadcast_to(direction.reshape(mean.shape[1:]), mean.shape)
            return pull_back(cotangents)[0]

        total = jnp.zeros((batch, size, size), mean.dtype)
        noises = zip(jax.vmap(slopes)(jnp.eye(size, dtype=mean.dtype)), innovations.written, strict=True)
        for slope, (_, variance) in noises:
            if variance.shape[:1] != (batch,):
                raise ValueError(
                    f"covariance must be False where the first axis of outputs or noise is not one of {batch} examples,"
                    f" got noise of shape {variance.shape}."
                )
            slope = slope.reshape(size, batch, -1)
            total += jnp.einsum("ibe,jbe->bij", slope * variance.reshape(batch, -1), slope)
        covariances.append(total)
    return covariances
