"""The variance of stochastic gradients by three ways to sample weights: local, separate and single."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.common import data
from experiments.common.config import check_at_least, check_one_of, check_positive, check_seed, check_types, integers
from experiments.common.training import fit
from jaxdrop import variational
from jaxdrop.variational import MultiplicativeWeights

DATASETS = ("digits", "mnist")
Layers = list[tuple[MultiplicativeWeights, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: "digits" or "mnist".
      width: Units of each of the three hidden layers.
      epochs: Numbers of epochs after which the variance is measured, ascending, separated by semicolons.
      batch_sizes: Examples in the batches that gradients are measured on, separated by semicolons; training has the
        first.
      num_gradients: Gradients that a variance is estimated from.
      log_alpha: Logarithm of the weights' variances over their squared means at the start.
      learning_rate: Adam's step size.
      seed: Of everything random.
    """

    dataset: str = "mnist"
    width: int = 250
    epochs: str = "1;10"
    batch_sizes: str = "100;10"
    num_gradients: int = 200
    log_alpha: float = -2.0
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", DATASETS)
        epochs, _ = integers(self, "epochs"), integers(self, "batch_sizes")
        if sorted(set(epochs)) != epochs:
            raise ValueError(f"epochs must ascend, got {self.epochs!r}")
        if not self.log_alpha <= 0:
            raise ValueError(f"log_alpha must be at most 0, got {self.log_alpha}")
        check_at_least(self, 1, "width")
        check_at_least(self, 2, "num_gradients")
        check_positive(self, "learning_rate")
        check_seed(self)


def local(key: jax.Array, x: jax.Array, weights: MultiplicativeWeights) -> jax.Array:
    """Pre-activations drawn for each example: the local reparameterization trick."""
    return variational.noisy_dense(key, x, weights)


def single(key: jax.Array, x: jax.Array, weights: MultiplicativeWeights) -> jax.Array:
    """One sample of the weights for the whole batch."""
    noise = jax.random.normal(key, weights.mean.shape)
    return x @ (weights.mean + jnp.sqrt(weights.variance) * noise)


def separate(key: jax.Array, x: jax.Array, weights: MultiplicativeWeights) -> jax.Array:
    """A sample of the weights for each example."""
    keys = jax.random.split(key, len(x))
    return jax.vmap(lambda key, row: single(key, row[None], weights)[0])(keys, x)


def none(key: jax.Array, x: jax.Array, weights: MultiplicativeWeights) -> jax.Array:
    """The means of the weights."""
    del key
    return x @ weights.mean


ESTIMATORS: dict[str, Callable[..., jax.Array]] = {
    "local": local,
    "separate": separate,
    "single": single,
    "no noise": none,
}


def init(config: Config, key: jax.Array, inputs: int) -> Layers:
    """Weights of three hidden layers and the last, and their biases."""
    widths = [inputs, config.width, config.width, config.width, 10]
    keys = jax.random.split(key, len(widths) - 1)
    kernels = [jax.nn.initializers.he_normal()(*args) for args in zip(keys, itertools.pairwise(widths), strict=True)]
    return [
        (variational.multiplicative_weights(kernel, config.log_alpha), jnp.zeros(kernel.shape[1])) for kernel in kernels
    ]


def logits(layers: Layers, key: jax.Array, images: jax.Array, estimator: Callable[..., jax.Array]) -> jax.Array:
    """Logits (batch, 10) of images (batch, height, width)."""
    x = images.reshape(len(images), -1)
    for number, (layer_key, (weights, bias)) in enumerate(zip(jax.random.split(key, len(layers)), layers, strict=True)):
        x = estimator(layer_key, x if number == 0 else jax.nn.relu(x), weights) + bias[None]
    return x


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains a network by the local estimator, and measures gradients of the same network by all of them.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each estimator the variance of the gradient of the first and of the last layer's means, summed over weights.
      The gradient is that of the log-likelihood of all N examples, as a batch estimates it; it varies over batches and
      noise, and for "no noise" over batches alone.
    """
    train = data.load(config.dataset, "train")
    num_data = len(train.labels)
    sizes = integers(config, "batch_sizes")
    init_key, fit_key, measure_key = jax.random.split(jax.random.key(config.seed), 3)

    def loss(variables, batch, key, step):
        del step
        layers = variables["params"]
        scores = logits(layers, key, batch.images, local)
        log_likelihood = -optax.softmax_cross_entropy_with_integer_labels(scores, batch.labels)
        kl = variational.kl_divergence(layers, variational.kl_kingma)
        return -variational.elbo(log_likelihood, kl, num_data), {}

    layers = init(config, init_key, train.images[0].size)
    metrics: dict[str, Any] = {name: {} for name in ESTIMATORS}
    done = 0
    for epochs in integers(config, "epochs"):
        layers = fit(
            loss,
            {"params": layers},
            optax.adam(config.learning_rate),
            train,
            jax.random.fold_in(fit_key, epochs),
            epochs=epochs - done,
            batch_size=sizes[0],
            workdir=workdir,
            name=f"to epoch {epochs}",
        )["params"]
        done = epochs
        for size in sizes:
            for name, estimator in ESTIMATORS.items():
                for layer, value in variances(config, layers, train, measure_key, size, estimator).items():
                    metrics[name][f"{layer} layer, epoch {epochs}, batches of {size}"] = value
    return metrics


def variances(
    config: Config,
    layers: Layers,
    train: data.Examples,
    key: jax.Array,
    batch_size: int,
    estimator: Callable[..., jax.Array],
) -> dict[str, float]:
    """The variance of the gradient of the first and of the last layer's means, summed over weights."""
    images, labels = map(jnp.asarray, train)

    def bound(kernels: tuple[jax.Array, jax.Array], key: jax.Array) -> jax.Array:
        batch_key, noise_key = jax.random.split(key)
        chosen = jax.random.choice(batch_key, len(labels), (batch_size,), replace=False)
        (first, *between, last) = layers
        measured = [
            (first[0]._replace(theta=kernels[0]), first[1]),
            *between,
            (last[0]._replace(theta=kernels[1]), last[1]),
        ]
        scores = logits(measured, noise_key, images[chosen], estimator)
        cross_entropies = optax.softmax_cross_entropy_with_integer_labels(scores, labels[chosen])
        return -len(labels) * cross_entropies.mean()

    @jax.jit
    def add(totals, squares, key):
        gradients = jax.grad(bound)(kernels, key)
        return (
            jax.tree.map(jnp.add, totals, gradients),
            jax.tree.map(lambda square, gradient: square + jnp.square(gradient), squares, gradients),
        )

    kernels = (layers[0][0].theta, layers[-1][0].theta)
    totals = squares = jax.tree.map(jnp.zeros_like, kernels)
    for each in jax.random.split(key, config.num_gradients):
        totals, squares = add(totals, squares, each)
    number = config.num_gradients
    spread = (
        float(jnp.sum(square - jnp.square(total) / number) / (number - 1))
        for total, square in zip(totals, squares, strict=True)
    )
    return dict(zip(("first", "last"), spread, strict=True))
