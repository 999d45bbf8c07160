"""Running statistics of samples, by blocks, and what they say: the statistics and their standard errors."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdrop import _safe, _shards
from jaxdrop.inference.prediction import ClassPrediction, Prediction

Outputs = Literal["values", "logits", "probabilities"]


class Drawn(NamedTuple):
    """What statistics are taken of: values, or class probabilities and their entropies."""

    values: Any
    entropies: Any = None


class Totals(NamedTuple):
    """Sums over samples of what they differ by from the first, lest rounding drown the differences."""

    values: Any
    squares: Any
    entropies: Any
    votes: Any


class Running(NamedTuple):
    """Statistics of the samples drawn so far.

    Attributes:
      drawn: Their number.
      counts: Their number in each block, (blocks,).
      first: The first sample.
      totals: Sums in each block: arrays with a leading axis of blocks.
    """

    drawn: jax.Array
    counts: jax.Array
    first: Drawn
    totals: Totals


def read(outputs: Any, kind: Outputs) -> Drawn:
    """Converts a model's outputs to what the statistics are taken of."""
    values = jax.tree.map(_to_float, outputs)
    if kind == "values":
        return Drawn(values)
    if any(leaf.ndim == 0 for leaf in jax.tree.leaves(values)):
        raise ValueError(f"sample must give class {kind} (..., classes), got a scalar; or outputs must be 'values'.")
    if kind == "logits":
        values = jax.tree.map(jax.nn.softmax, values)
    return Drawn(values, jax.tree.map(_entropy, values))


def start(shapes: Drawn, num_blocks: int) -> Running:
    """Returns statistics of no samples yet."""

    def zeros_like(leaf: Any, *axes: int) -> jax.Array:
        return _shards.varying_with(jnp.zeros((*axes, *leaf.shape), leaf.dtype), leaf)

    first = jax.tree.map(zeros_like, shapes)
    zeros = jax.tree.map(lambda leaf: zeros_like(leaf, num_blocks), shapes)
    votes = None if shapes.entropies is None else zeros.values
    totals = Totals(zeros.values, zeros.values, zeros.entropies, votes)
    return Running(jnp.zeros((), jnp.int32), jnp.zeros(num_blocks, jnp.int32), first, totals)


def add(running: Running, drawn: Drawn, blocks: jax.Array, valid: jax.Array) -> Running:
    """Adds samples, less the invalid ones.

    Args:
      running: Statistics so far.
      drawn: Arrays with a leading axis of samples, of which the first is valid.
      blocks: The block of each sample, (samples,).
      valid: Which samples count, (samples,).
    """

    first = jax.tree.map(lambda old, new: jnp.where(running.drawn == 0, new[0], old), running.first, drawn)

    def only_valid(leaf: jax.Array) -> jax.Array:
        return jnp.where(valid.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    def less(leaf: jax.Array, origin: jax.Array) -> jax.Array:
        # Infinity less itself would be NaN, though it may be the value of all samples.
        same = jnp.isinf(origin[None]) & (leaf == origin[None])
        return only_valid(jnp.where(same, 0, leaf - origin[None]))

    away = jax.tree.map(less, drawn, first)
    votes = None if drawn.entropies is None else jax.tree.map(lambda leaf: only_valid(_vote(leaf)), drawn.values)
    added = Totals(away.values, jax.tree.map(jnp.square, away.values), away.entropies, votes)
    weights = (blocks[None] == jnp.arange(len(running.counts), dtype=blocks.dtype)[:, None]) & valid[None]

    def into_blocks(totals: jax.Array, leaf: jax.Array) -> jax.Array:
        if len(leaf) == 1:
            return totals.at[blocks[0]].add(leaf[0])
        # A scatter would add in any order on a GPU.
        return totals + jnp.tensordot(weights.astype(leaf.dtype), leaf, 1, precision="highest")

    counts = running.counts + weights.sum(1, dtype=jnp.int32)
    drawn_now = running.drawn + valid.sum(dtype=jnp.int32)
    return Running(drawn_now, counts, first, jax.tree.map(into_blocks, running.totals, added))


def finish(running: Running) -> Prediction | ClassPrediction:
    """Returns the statistics of all samples, with standard errors if there are two blocks or more.

    They are those of the jackknife that leaves out one block after another, of any sizes.

    References:
      Busing, Meijer & van der Leeden, `Delete-m jackknife for unequal m
      <https://doi.org/10.1023/A:1008800423698>`_, 1999
    """
    whole = jax.tree.map(lambda leaf: leaf.sum(0), running.totals)
    result = _statistics(running, whole, running.drawn)
    if len(running.counts) > 1:
        without = jax.vmap(
            lambda block, count: _statistics(
                running, jax.tree.map(lambda w, b: w - b, whole, block), running.drawn - count
            )
        )(running.totals, running.counts)
        differences = jax.tree.map(lambda all_of_it, part: all_of_it[None] - part, result, without)
        corrections = jax.tree.map(lambda d: _correction(d, running.counts), differences)
        errors = jax.tree.map(lambda d, c: _error(d, c, running.counts), differences, corrections)
        if isinstance(result, ClassPrediction) and isinstance(errors, ClassPrediction):
            jackknifed = jax.tree.map(lambda x, c: x + c, result.mutual_information, corrections.mutual_information)
            result = result._replace(jackknifed_information=jackknifed)
            errors = errors._replace(jackknifed_information=errors.mutual_information)
        result = result._replace(standard_error=errors)
    if isinstance(result, ClassPrediction):
        result = result._replace(votes=jax.tree.map(lambda votes: jnp.round(votes).astype(jnp.int32), result.votes))
    return result._replace(num_samples=running.drawn)


def _statistics(running: Running, totals: Totals, count: jax.Array) -> Prediction | ClassPrediction:
    """Statistics of `count` samples with these sums; votes as if there were as many samples as there are in all."""

    def average(leaf: jax.Array) -> jax.Array:
        return leaf / count.astype(leaf.dtype)

    away = jax.tree.map(average, totals.values)
    mean = jax.tree.map(lambda origin, a: origin + a, running.first.values, away)
    # Rounding may leave a negative one.
    variance = jax.tree.map(lambda total, a: jnp.maximum(average(total) - jnp.square(a), 0), totals.squares, away)
    if running.first.entropies is None:
        return Prediction(mean, variance)
    mean = jax.tree.map(lambda leaf: jnp.clip(leaf, 0, 1), mean)  # where rounding may not leave it
    expected = jax.tree.map(lambda origin, total: origin + average(total), running.first.entropies, totals.entropies)
    entropy = jax.tree.map(_entropy, mean)
    # Concavity makes it non-negative; rounding may not.
    information = jax.tree.map(lambda total, part: jnp.maximum(total - part, 0), entropy, expected)
    votes = jax.tree.map(lambda leaf: average(leaf) * running.drawn.astype(leaf.dtype), totals.votes)
    return ClassPrediction(mean, variance, entropy, expected, information, votes=votes)


def _correction(differences: jax.Array, counts: jax.Array) -> jax.Array:
    """What the jackknife adds to a statistic, from its differences to the values with a block left out."""
    shares = counts / counts.sum(dtype=counts.dtype)
    return jnp.tensordot((1 - shares).astype(differences.dtype), differences, 1, precision="highest")


def _error(differences: jax.Array, correction: jax.Array, counts: jax.Array) -> jax.Array:
    odds = (counts.sum(dtype=counts.dtype) - counts) / counts  # of samples left to those left out
    column = odds.astype(differences.dtype).reshape(-1, *[1] * (differences.ndim - 1))
    return _safe.sqrt((jnp.square(column * differences - correction[None]) / column).mean(0))


def _to_float(leaf: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(leaf):
        raise TypeError(f"sample must give real outputs, got dtype {leaf.dtype}.")
    return leaf.astype(jnp.float64 if leaf.dtype == jnp.float64 else jnp.float32)


def _entropy(probabilities: jax.Array) -> jax.Array:
    return _safe.entr(probabilities).sum(-1)


def _vote(probabilities: jax.Array) -> jax.Array:
    return jax.nn.one_hot(probabilities.argmax(-1), probabilities.shape[-1], dtype=probabilities.dtype)
