"""Structured Bayesian pruning of a perceptron, and the small network that comes of it."""

import dataclasses
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jaxdrop.linen
from experiments.common import data
from experiments.common.config import check_at_least, check_one_of, check_positive, check_seed, check_types
from experiments.common.deployed import measure
from experiments.common.training import fit, linear_second_half
from jaxdrop import variational

DATASETS = ("digits", "mnist")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: "digits" or "mnist".
      network: Units of each hidden layer, separated by dashes.
      threshold: Units whose factor has a signal-to-noise ratio below it are pruned.
      pretrain_epochs: Passes over the training examples of the network without noise, which is the start.
      epochs: Passes with noise.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size; it falls linearly to 0 in the second half of the epochs.
      beta1: Adam's decay of the mean gradient.
      seed: Of everything random.
    """

    dataset: str = "mnist"
    network: str = "500-300"
    threshold: float = 1.0
    pretrain_epochs: int = 20
    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    beta1: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", DATASETS)
        if not all(unit.isdigit() and int(unit) for unit in self.network.split("-")):
            raise ValueError(f"network must be positive integers joined by dashes, got {self.network!r}")
        check_at_least(self, 1, "pretrain_epochs", "epochs", "batch_size")
        check_positive(self, "threshold", "learning_rate")
        if not 0 <= self.beta1 < 1:
            raise ValueError(f"beta1 must be at least 0 and below 1, got {self.beta1}")
        check_seed(self)


def network(config: Config, *, noisy: bool, train: bool = False) -> nn.Sequential:
    """A perceptron from images (batch, height, width) to logits (batch, 10), with noise before each dense layer."""
    layers: list[Any] = [_flatten]
    for width in (*map(int, config.network.split("-")), 10):
        if noisy:
            layers.append(jaxdrop.linen.LogNormalNoise(threshold=config.threshold, deterministic=not train))
        layers.append(nn.Dense(width, kernel_init=nn.initializers.he_normal()))
        if width != 10:
            layers.append(nn.relu)
    return nn.Sequential(layers)


def _flatten(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), -1)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains a network, trains it on with noise on its units, and cuts out those that noise drowns.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For "dense" and "pruned" the test error in percent, negative log-likelihood in nats, inputs of each layer,
      parameters, bytes on disk and milliseconds for the test examples; and by how much the outputs of the small network
      differ from those of the large one with its units zeroed.
    """
    # As in the authors' protocol nothing is chosen by validation, and all training examples are trained on.
    train, test = data.load_all_training(config.dataset), data.load(config.dataset, "test")
    per_epoch = len(train.labels) // config.batch_size
    init_key, dense_key, noisy_key = jax.random.split(jax.random.key(config.seed), 3)
    plain, noisy, predicting = (
        network(config, noisy=False),
        network(config, noisy=True, train=True),
        network(config, noisy=True),
    )

    def cross_entropies(logits, batch):
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)

    def loss(variables, batch, key, step):
        del key, step
        return cross_entropies(plain.apply(variables, batch.images), batch).mean(), {}

    def noisy_loss(variables, batch, key, step):
        del step
        logits, state = noisy.apply(variables, batch.images, rngs={"dropout": key}, mutable=["kl_divergence"])
        kl = jaxdrop.linen.kl_divergence(state)
        return -variational.elbo(-cross_entropies(logits, batch), kl, len(train.labels)), {}

    def fit_network(name, loss, variables, key, epochs, evaluate):
        schedule = linear_second_half(config.learning_rate, epochs * per_epoch)
        return fit(
            loss,
            variables,
            optax.adam(schedule, b1=config.beta1),
            train,
            key,
            epochs=epochs,
            batch_size=config.batch_size,
            workdir=workdir,
            evaluate=evaluate,
            name=name,
        )

    def kept(variables):
        factors = {name: layer for name, layer in variables["params"].items() if "mu" in layer}
        return {
            f"units_{name}": jnp.sum(
                variational.LogNormalFactors(layer["mu"], layer["log_sigma"]).signal_to_noise >= config.threshold
            )
            for name, layer in factors.items()
        }

    dense = plain.init(init_key, train.images[:1])
    dense = fit_network("dense", loss, dense, dense_key, config.pretrain_epochs, lambda variables: {})
    start = predicting.init(init_key, train.images[:1])["params"]
    # The dense layers come in the same order in both networks, at other places in it.
    trained = iter([layer for _, layer in _in_order(dense["params"])])
    start = {name: next(trained) if "kernel" in layer else layer for name, layer in _in_order(start)}
    pruned = fit_network("noisy", noisy_loss, {"params": start}, noisy_key, config.epochs, kept)
    small, small_variables = jaxdrop.linen.compact(predicting, pruned, test.images[:1])
    logits: Any = jax.jit(predicting.apply)(pruned, test.images)
    difference = jnp.abs(logits - jax.jit(small.apply)(small_variables, test.images)).max()
    return {
        "dense": {**measure(plain, dense, test), **_inputs(dense["params"])},
        "pruned": {**measure(small, small_variables, test), **_inputs(small_variables["params"])},
        "largest difference of logits": float(difference),
    }


def _inputs(params: Any) -> dict[str, int]:
    """How many inputs each layer has."""
    kernels = [layer["kernel"] for _, layer in _in_order(params)]
    return {f"inputs, layer {number}": kernel.shape[0] for number, kernel in enumerate(kernels)}


def _in_order(params: Any) -> list[tuple[str, Any]]:
    return sorted(params.items(), key=lambda item: int(item[0].rpartition("_")[2]))
