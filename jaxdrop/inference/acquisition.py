"""Which inputs to have labelled next."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.scipy.special import entr

from jaxdrop import _bits, _checks, _masks

# Configurations, points and classes whose probabilities are held at once: 16 MiB of float32.
_ELEMENTS = 2**22


class Acquisition(NamedTuple):
    """Inputs to have labelled together.

    Attributes:
      indices: Their places in the pool in the order of choice, (batch_size,), int32.
      information: Mutual information in nats between the noise and the classes of the first 1, 2, ... of them,
        (batch_size,).
    """

    indices: jax.Array
    information: jax.Array


def batch_bald(
    key: jax.Array,
    samples: jax.typing.ArrayLike,
    batch_size: int,
    *,
    available: jax.typing.ArrayLike | None = None,
    num_configurations: int = 10_000,
    chunk_size: int | None = None,
) -> Acquisition:
    r"""Chooses inputs whose classes together say the most about the noise: BatchBALD.

    .. math:: I(y_1, \dots, y_b; m) = H\Big[\frac{1}{S} \sum_s \prod_i p_s(y_i)\Big]
       - \frac{1}{S} \sum_s \sum_i H[p_s(y_i)]

    The inputs of the largest mutual information by themselves (BALD, `jaxdrop.metrics.mutual_information`) are often
    alike, and the labels of the others then say little new. So inputs are chosen one after another, each the one that
    adds most to what those before it say. As the information is submodular, such a batch has at least 63 % of the
    information of the best one.

    What an input adds is the mean, over all classes :math:`y_A` that those before it may have, of

    .. math:: I(y; m \mid y_A) = H\Big[\sum_s w_s p_s(y)\Big] - \sum_s w_s H[p_s(y)], \quad
       w_s \propto \prod_{i \in A} p_s(y_i)

    These configurations of classes are enumerated while there are no more than `num_configurations`: then it is exact.
    Beyond, as many are drawn, equally many from each sample. The estimate is unbiased for a given input and has no
    negative values; the authors estimate the joint entropy, and subtract.

    Information is at most log(num_samples). As it comes near that, hardly anything seems to add to it, and what is
    chosen is chosen by chance: large batches need many samples. The authors have 100 for batches of 10.

    Args:
      key: PRNG key, typed or legacy; consumed, though not read while configurations are enumerated.
      samples: Class probabilities (num_samples, pool, classes), real floating point, with the same masks for all inputs
        in a sample: from a sampler with `share_masks=True`, drawn in parts of the pool if need be, with the same key.
      batch_size: Number :math:`b` of inputs to choose.
      available: Which inputs may be chosen, (pool,) booleans, at least `batch_size` of them; None for all. With it a
        pool keeps its shape, and the program, as it is labelled.
      num_configurations: The most configurations at once; if they are drawn, it is rounded down to a multiple of the
        number of samples, or up to it.
      chunk_size: Inputs that are scored at once: memory is for chunk_size * num_configurations * classes numbers. By
        default it is chosen so that these are some 16 MiB.

    Returns:
      An `Acquisition`; of inputs that add equally much it has the first.

    Raises:
      ValueError: If `samples` has another shape or no sample or class, `batch_size` or another number is below 1, or
        there are fewer inputs available than `batch_size` (not checked where `available` is traced).
      TypeError: If `samples` is not real floating point, or `available` not boolean.

    Examples:
      >>> votes = jnp.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])  # of 4 samples on 3 inputs, two of them alike
      >>> batch = jaxdrop.batch_bald(jax.random.key(0), jax.nn.one_hot(votes, 2), batch_size=2)
      >>> batch.indices.tolist(), [round(float(i), 4) for i in batch.information]  # log(2), 2 log(2)
      ([0, 2], [0.6931, 1.3863])

    References:
      Kirsch et al., `BatchBALD <https://arxiv.org/abs/1906.08158>`_, 2019
    """
    samples = _checks.real("samples", samples)
    if samples.ndim != 3 or 0 in samples.shape:
        raise ValueError(f"samples must be (num_samples, pool, classes), none of them 0, got shape {samples.shape}.")
    for name, number in (("num_configurations", num_configurations), ("chunk_size", chunk_size)):
        _checks.at_least(name, number, 1)
    pool = samples.shape[1]
    available = jnp.ones(pool, bool) if available is None else jnp.asarray(available)
    _checks.booleans("available", available)
    if available.shape != (pool,):
        raise ValueError(f"available must be (pool,), ({pool},) for these samples, got shape {available.shape}.")
    most = pool if isinstance(available, Tracer) else int(available.sum())
    _checks.integer_between("batch_size", batch_size, 1, most)
    samples = samples.astype(_masks.wide(samples.dtype))
    return _choose(_checks.prng_key("key", key), samples, available, batch_size, num_configurations, chunk_size)


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _choose(
    key: jax.Array,
    samples: jax.Array,
    available: jax.Array,
    batch_size: int,
    num_configurations: int,
    chunk_size: int | None,
) -> Acquisition:
    num_samples, _, classes = samples.shape
    # No sample is impossible altogether, so that a configuration that none allows has weights all the same.
    log_samples = jnp.log(jnp.maximum(samples, 1e-30))
    keys = _bits.split(key, batch_size)
    _bits.mark_used(key)

    def add(number: jax.typing.ArrayLike, log_weights: jax.Array, probability: jax.Array, chosen: Acquisition):
        open_ = available.at[chosen.indices].set(False, mode="drop")
        gains = _gains(samples, log_weights, probability, chunk_size)
        best = jnp.where(open_, gains, -jnp.inf).argmax()
        return Acquisition(
            chosen.indices.at[number].set(best.astype(jnp.int32)), chosen.information.at[number].set(gains[best])
        )

    # What is not chosen yet is out of the pool's bounds.
    chosen = Acquisition(jnp.full(batch_size, samples.shape[1], jnp.int32), jnp.zeros(batch_size, samples.dtype))
    log_joint = jnp.zeros((1, num_samples), samples.dtype)
    exact = 0
    while exact < batch_size and classes**exact <= num_configurations:
        probability = jnp.exp(jax.nn.logsumexp(log_joint, axis=1) - math.log(num_samples))
        chosen = add(exact, log_joint, probability, chosen)
        if classes ** (exact + 1) <= num_configurations:
            one = log_samples[:, chosen.indices[exact]].T
            log_joint = (log_joint[:, None] + one[None]).reshape(-1, num_samples)
        exact += 1

    each = max(1, num_configurations // num_samples)
    probability = jnp.full(each * num_samples, 1 / (each * num_samples), samples.dtype)

    def draw_and_add(chosen: Acquisition, step: tuple[jax.Array, jax.Array]) -> tuple[Acquisition, None]:
        number, key = step
        uniform = _bits.uniform(key, (batch_size, num_samples, each)).astype(samples.dtype)
        log_joint = _draw(uniform, samples, log_samples, chosen.indices)
        return add(number, log_joint, probability, chosen), None

    if exact < batch_size:
        steps = jnp.arange(exact, batch_size), jnp.stack(keys[exact:])
        chosen, _ = lax.scan(draw_and_add, chosen, steps)
    return chosen._replace(information=jnp.cumsum(chosen.information))


def _draw(uniform: jax.Array, samples: jax.Array, log_samples: jax.Array, indices: jax.Array) -> jax.Array:
    """Draws classes of the chosen inputs from each sample; returns their log-probabilities in all samples.

    Args:
      uniform: Uniform numbers, (batch_size, num_samples, each).
      samples: (num_samples, pool, classes).
      log_samples: Their logarithms.
      indices: The inputs, (batch_size,); those out of bounds do not count.

    Returns:
      (num_samples * each, num_samples).
    """
    num_samples, pool, classes = samples.shape

    def add(log_joint: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        index, uniform = step
        cumulative = jnp.cumsum(samples.at[:, index].get(mode="clip"), axis=1)
        below = cumulative[:, None] <= (uniform * cumulative[:, -1:])[..., None]
        drawn = jnp.minimum(below.sum(-1), classes - 1)
        of_all = log_samples.at[:, index].get(mode="clip").T[drawn].reshape(-1, num_samples)
        return log_joint + jnp.where(index < pool, of_all, 0), None

    start = jnp.zeros((uniform[0].size, num_samples), samples.dtype)
    return lax.scan(add, start, (indices, uniform))[0]


def _gains(samples: jax.Array, log_weights: jax.Array, probability: jax.Array, chunk_size: int | None) -> jax.Array:
    """Returns what each input adds, (pool,), given configurations of those chosen.

    Args:
      samples: (num_samples, pool, classes).
      log_weights: Of each sample in each configuration, up to a constant, (configurations, num_samples).
      probability: Of each configuration, (configurations,).
      chunk_size: Inputs at once, or None.
    """
    classes = samples.shape[-1]
    weights = jax.nn.softmax(log_weights, axis=1)
    # A gain is a small difference: not in TF32, which a GPU would take.
    product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    entropies = product(probability, weights)

    def gain(one: jax.Array) -> jax.Array:
        mixed = product(weights, one)
        return product(probability, entr(mixed).sum(-1)) - product(entropies, entr(one).sum(-1))

    size = chunk_size or max(1, _ELEMENTS // (len(weights) * classes))
    return jnp.maximum(lax.map(gain, jnp.moveaxis(samples, 1, 0), batch_size=size), 0)
