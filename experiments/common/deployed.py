"""What a trained network costs where it is used."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from flax import serialization

from experiments.common.data import Examples

REPEATS = 20


def measure(model: nn.Module, variables: Mapping[str, Any], examples: Examples) -> dict[str, float]:
    """Error, likelihood, size and time of a network without noise.

    Args:
      model: From images to logits.
      variables: Its variables.
      examples: All of which it predicts at once.

    Returns:
      Error in percent, negative log-likelihood in nats, numbers in the parameters, kilobytes on disk (as flax
      serializes them) and milliseconds for the examples, the median of several runs.
    """
    # The parameters are part of the program, as where it is deployed.
    predict = jax.jit(lambda images: model.apply(variables, images))
    images = jax.numpy.asarray(examples.images)
    logits = np.asarray(jax.block_until_ready(predict(images)))
    return {
        "error %": 100 * float(np.mean(logits.argmax(-1) != examples.labels)),
        "NLL": float(optax.softmax_cross_entropy_with_integer_labels(logits, examples.labels).mean()),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables)),
        "kB": len(serialization.to_bytes(variables)) / 1000,
        "ms": 1000 * median_seconds(lambda: predict(images), REPEATS),
    }


def median_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median time of calls that return arrays; the first one should come before, if it compiles."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
