"""How exact each way to predict with dropout is, for its number of samples, and what moments in one pass cost."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common import data
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_open_rates,
    check_positive,
    check_seed,
    check_types,
    integers,
)
from experiments.common.deployed import median_seconds
from experiments.common.errors import RefusedError
from experiments.common.lenets import LENET5, plain
from experiments.common.training import fit
from jaxdrop import metrics
from jaxdrop.inference.monte_carlo import Masks

MASKS: tuple[Masks, ...] = ("independent", "antithetic", "balanced")
NETWORKS = ("256-256", "1024-1024", LENET5)
TIMINGS = 5


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: "digits" or "mnist".
      network: One of `NETWORKS`: widths of hidden dense layers, or LeNet-5.
      rate: Probability of dropping a hidden unit, after pooling where there is any.
      epochs: Passes over the training examples.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size.
      num_test: Test examples that are predicted.
      num_reference: Samples that count as exact.
      sizes: Numbers of samples of which the error is measured, separated by semicolons.
      repeats: Predictions of each kind, with other keys, over which errors are averaged.
      covariance: Whether to follow covariances too, which takes memory for each pair of a unit and one dropped before.
      seed: Of everything random.
    """

    dataset: str = "digits"
    network: str = "256-256"
    rate: float = 0.5
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    num_test: int = 100
    num_reference: int = 50_000
    sizes: str = "10;30;100"
    repeats: int = 40
    covariance: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", ("digits", "mnist"))
        check_one_of(self, "network", NETWORKS)
        if self.network == LENET5 and self.dataset == "digits":
            raise ValueError("network must be of dense layers for digits, whose images are 8 x 8, got 'lenet5'")
        check_open_rates(self, "rate")
        integers(self, "sizes", minimum=2)
        check_positive(self, "learning_rate")
        check_at_least(self, 1, "epochs", "batch_size", "num_test", "num_reference")
        check_at_least(self, 2, "repeats")
        check_seed(self)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains a network with dropout and compares estimators on it.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each kind of masks and number of samples, "balanced, 30 samples" say, root-mean-square errors over repeats and
      test examples: of the mean probabilities, of the mutual information and of its jackknifed value in nats, and the
      biases of these two; for the deterministic pass, that of the probabilities. For moments of the logits, with and
      without covariance: median over test examples and logits by how much the mean is off, in standard deviations, and
      the standard deviation, relative to itself; and the time, relative to that of 100 samples.
    """
    test = data.load(config.dataset, "test").images
    if config.num_test > len(test):
        raise RefusedError(f"num_test must be at most the number of test images, {len(test)}, got {config.num_test}")
    images = jnp.asarray(test[: config.num_test])[..., None]
    init_key, train_key, reference_key, key = jax.random.split(jax.random.key(config.seed), 4)
    variables = _train(config, init_key, train_key, workdir)
    model = plain(config.network, dropout_rate=config.rate)
    sample = jaxdrop.linen.sampler(model, variables, images)
    reference = jaxdrop.monte_carlo(lambda key: _both(sample(key)), reference_key, config.num_reference, num_blocks=1)
    logits, probabilities, entropies = reference.mean
    information = metrics.entropy(probabilities) - entropies

    def errors(masks: Masks, size: int) -> dict[str, float]:
        def one(key: jax.Array) -> jaxdrop.ClassPrediction:
            p = jaxdrop.monte_carlo(sample, key, size, outputs="logits", masks=masks)
            return p._replace(standard_error=None)

        p = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(key, config.repeats))
        deviations = {
            "probabilities": p.mean - probabilities[None],
            "information": p.mutual_information - information[None],
            "jackknifed information": p.jackknifed_information - information[None],
        }
        values = {name: float(jnp.sqrt(jnp.mean(jnp.square(d)))) for name, d in deviations.items()}
        biases = {f"{name}, bias": float(d.mean()) for name, d in deviations.items() if name != "probabilities"}
        return {**values, **biases}

    results: dict[str, Any] = {
        f"{masks}, {size} samples": errors(masks, size) for size in integers(config, "sizes") for masks in MASKS
    }
    scaled = jax.nn.softmax(jaxdrop.linen.weight_scaling(model, variables, images))
    results["weight scaling"] = {"probabilities": float(jnp.sqrt(jnp.mean(jnp.square(scaled - probabilities))))}
    hundred = _seconds(lambda: jaxdrop.monte_carlo(sample, key, 100, num_blocks=1))
    deviation = jnp.sqrt(reference.variance[0])
    for name, covariance in (("moments", False), *[("moments, covariance", True)] * config.covariance):
        propagate = functools.partial(jaxdrop.moments, sample, covariance=covariance)
        p = propagate()
        results[name] = {
            "mean off by": float(jnp.median(jnp.abs(p.mean - logits) / deviation)),
            "deviation off by": float(jnp.median(jnp.abs(jnp.sqrt(p.variance) / deviation - 1))),
            "time / 100 samples": _seconds(propagate) / hundred,
        }
    return results


def _seconds(call: Callable[[], Any]) -> float:
    jax.block_until_ready(call())  # compiles
    return median_seconds(call, TIMINGS)


def _both(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits, probabilities and their entropies."""
    probabilities = jax.nn.softmax(logits)
    return logits, probabilities, metrics.entropy(probabilities)


def _train(config: Config, init_key: jax.Array, train_key: jax.Array, workdir: Path) -> dict[str, Any]:
    train = data.load(config.dataset, "train")
    still, model = (plain(config.network, dropout_rate=config.rate, train=train) for train in (False, True))

    def loss(variables, batch, key, step):
        del step
        logits: Any = model.apply(variables, batch.images[..., None], rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean(), {}

    return fit(
        loss,
        {"params": still.init(init_key, jnp.asarray(train.images[:1, ..., None]))["params"]},
        optax.adam(config.learning_rate),
        train,
        train_key,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        save_every=config.epochs,
    )
