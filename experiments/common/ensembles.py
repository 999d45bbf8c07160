"""Perceptrons with dropout, several for each seed: the first predicts with and without noise, all together without."""

import dataclasses
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common.config import check_at_least, check_open_rates, check_positive, check_seeds, check_types
from experiments.common.lenets import plain
from experiments.common.training import fit
from jaxdrop import metrics

BASELINE = "softmax confidence"  # of `uncertainties`, the one that needs nothing new


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the networks.

    Attributes:
      network: Units of each hidden layer, separated by dashes.
      rate: Probability of dropping a hidden unit.
      epochs: Passes over the training examples.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      num_samples: Passes of MC dropout.
      num_members: Networks in an ensemble.
      num_seeds: Ensembles, which standard errors are over.
      seed: Of everything random.
    """

    network: str = "512-512"
    rate: float = 0.5
    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 1e-3
    num_samples: int = 100
    num_members: int = 5
    num_seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        if not all(unit.isdigit() and int(unit) for unit in self.network.split("-")):
            raise ValueError(f"network must be positive integers joined by dashes, got {self.network!r}")
        check_open_rates(self, "rate")
        check_positive(self, "learning_rate")
        check_at_least(self, 1, "epochs", "batch_size", "num_samples")
        check_at_least(self, 2, "num_members")
        check_seeds(self)


class Predictions(NamedTuple):
    """What one seed's networks predict.

    Attributes:
      deterministic: Class probabilities of the first network without noise, (batch, classes).
      mc_dropout: A `jaxdrop.ClassPrediction` of the first network.
      ensemble: Mean class probabilities of all networks without noise, (batch, classes).
    """

    deterministic: jax.Array
    mc_dropout: jaxdrop.ClassPrediction
    ensemble: jax.Array


def fit_networks(
    config: Config,
    key: jax.Array,
    train: Any,
    validation: Any,
    workdir: Path,
    *,
    num_classes: int = 10,
    own_examples: bool = False,
) -> Any:
    """Trains all networks of all seeds side by side, each with dropout.

    Those of one seed differ in initial parameters, order of the examples and dropout, and in nothing else.

    Args:
      config: Settings.
      key: PRNG key; consumed.
      train: Inputs (examples, ...) and labels (examples,), to train on.
      validation: The same, for the curves that tensorboard shows.
      workdir: Absolute path of the run's folder.
      num_classes: How many classes there are.
      own_examples: Whether each seed has its own examples, as a leading axis of all arrays.

    Returns:
      Variables, with leading axes of seeds and members.
    """
    number = config.num_seeds * config.num_members
    still, noisy = (_network(config, num_classes, train=flag) for flag in (False, True))
    if own_examples:
        train, validation = (
            jax.tree.map(lambda x: np.repeat(x, config.num_members, axis=0), tuple(part))
            for part in (train, validation)
        )
    inputs = train[0]
    first = jnp.asarray(inputs[0, :1] if own_examples else inputs[:1])
    init_keys, train_keys = jax.random.split(key, (2, number))

    def loss(variables, batch, key, step):
        del step
        inputs, labels = batch
        logits: Any = noisy.apply(variables, inputs, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), {}

    def score(variables, examples):
        inputs, labels = examples
        logits: Any = still.apply(variables, inputs)
        return {
            "validation_loss": optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(),
            "validation_accuracy": metrics.accuracy(logits, labels),
        }

    @jax.jit
    def evaluate(variables):
        # One network after another: the hidden units of all at once are a large array.
        if own_examples:
            return jax.lax.map(lambda both: score(*both), (variables, validation))
        return jax.lax.map(lambda variables: score(variables, validation), variables)

    steps = config.epochs * (inputs.shape[int(own_examples)] // config.batch_size)
    variables = fit(
        loss,
        jax.jit(jax.vmap(lambda key: still.init(key, first)))(init_keys),
        optax.adam(optax.cosine_decay_schedule(config.learning_rate, max(steps, 1))),
        tuple(train),
        train_keys,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        evaluate=evaluate,
        save_every=max(config.epochs // 10, 1),
        own_examples=own_examples,
    )
    return jax.tree.map(lambda x: x.reshape(config.num_seeds, config.num_members, *x.shape[1:]), variables)


def predict(config: Config, variables: Any, inputs: Any, key: jax.Array, *, num_classes: int = 10) -> Predictions:
    """Predicts by one seed's networks.

    Args:
      config: Settings.
      variables: Of the seed's networks, with a leading axis of members.
      inputs: (batch, ...).
      key: PRNG key, of MC dropout.
      num_classes: How many classes there are.
    """
    model, inputs = _network(config, num_classes), jnp.asarray(inputs)
    probabilities = jax.nn.softmax(_logits(config, num_classes, variables, inputs))
    sample = jaxdrop.linen.sampler(model, jax.tree.map(lambda x: x[0], variables), inputs)
    # One block: the standard errors of the samples are not looked at.
    mc_dropout = jaxdrop.monte_carlo(sample, key, config.num_samples, outputs="logits", num_blocks=1)
    return Predictions(probabilities[0], mc_dropout, probabilities.mean(0))


def uncertainties(p: Predictions) -> dict[str, tuple[jax.Array, jax.Array]]:
    """What to rank examples by, (batch,), larger for the less certain, and the probabilities to answer them with.

    The confidences are given as 1 less the largest probability.
    """
    mc, ensemble, alone = p.mc_dropout, p.ensemble, p.deterministic
    return {
        BASELINE: (metrics.least_confidence(alone), alone),
        "softmax entropy": (metrics.entropy(alone), alone),
        "MC dropout confidence": (metrics.least_confidence(mc.mean), mc.mean),
        "predictive entropy": (mc.predictive_entropy, mc.mean),
        "mutual information": (mc.mutual_information, mc.mean),
        "variation ratio": (1 - mc.votes.max(-1) / mc.votes.sum(-1), mc.mean),
        "mean standard deviation": (jnp.sqrt(mc.variance).mean(-1), mc.mean),
        "ensemble confidence": (metrics.least_confidence(ensemble), ensemble),
        "ensemble entropy": (metrics.entropy(ensemble), ensemble),
    }


# One and the same object in each call, so that what it is compiled into is used again.
@cache
def _network(config: Config, num_classes: int, *, train: bool = False) -> nn.Sequential:
    return plain(config.network, dropout_rate=config.rate, train=train, num_classes=num_classes)


@partial(jax.jit, static_argnums=(0, 1))
def _logits(config: Config, num_classes: int, variables: Any, inputs: jax.Array) -> jax.Array:
    """Logits of each network without noise, (networks, batch, classes)."""
    model = _network(config, num_classes)
    return jax.lax.map(lambda variables: model.apply(variables, inputs), variables)
