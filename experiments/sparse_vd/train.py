"""Sparse variational dropout, the dense network, and that pruned by magnitude to the same sparsity of each layer."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop.linen
from experiments.common import data
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_positive,
    check_rates,
    check_seed,
    check_types,
)
from experiments.common.deployed import measure
from experiments.common.lenets import LENET5, noisy, plain
from experiments.common.training import fit, linear_second_half
from experiments.sparse_vd.magnitude import gradually, largest
from jaxdrop import variational

DATASETS = ("digits", "mnist")
KL = {
    "log_uniform": variational.kl_log_uniform,
    "log_uniform_exact": variational.kl_log_uniform_exact,
    "ard": variational.kl_ard,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: "digits" or "mnist".
      network: "lenet5", or the units of each hidden layer, separated by dashes.
      num_train: Training examples; 0 for all.
      random_labels: Whether the labels of the training examples are permuted.
      dropout_rate: Of the hidden layers of the dense network; 0 for none.
      kl: Divergence: "log_uniform", the paper's, "log_uniform_exact" or "ard".
      threshold: Weights with log alpha at or above it are pruned.
      log_sigma2: Logarithm of the variances at the start.
      warm_up_begin: Epoch at which the divergence begins to count.
      warm_up_epochs: Epochs that it takes until it counts in full.
      epochs: Passes over the training examples, of the noisy and of the dense network.
      retrain_epochs: Passes of the dense network while it is pruned by magnitude, in the first half of them, and after.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size; it falls linearly to 0 in the second half of the epochs.
      num_seeds: Networks of each kind.
      seed: Of everything random.
    """

    dataset: str = "mnist"
    network: str = "300-100"
    num_train: int = 0
    random_labels: bool = False
    dropout_rate: float = 0.0
    kl: str = "log_uniform"
    threshold: float = 3.0
    log_sigma2: float = -10.0
    warm_up_begin: int = 5
    warm_up_epochs: int = 15
    epochs: int = 200
    retrain_epochs: int = 100
    batch_size: int = 100
    learning_rate: float = 1e-3
    num_seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", DATASETS)
        check_one_of(self, "kl", tuple(KL))
        if self.network != LENET5 and not all(unit.isdigit() and int(unit) for unit in self.network.split("-")):
            raise ValueError(f"network must be 'lenet5' or positive integers joined by dashes, got {self.network!r}")
        if (self.network, self.dataset) == (LENET5, "digits"):
            raise ValueError("network must be integers joined by dashes for digits, which are too small for 'lenet5'")
        for name in ("threshold", "log_sigma2"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        check_rates(self, "dropout_rate")
        check_at_least(self, 0, "num_train", "warm_up_begin")
        check_at_least(self, 1, "warm_up_epochs", "epochs", "retrain_epochs", "batch_size", "num_seeds")
        check_positive(self, "learning_rate")
        check_seed(self)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains the noisy and the dense networks, and prunes the dense ones to the sparsity of the noisy ones.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each of "sparse VD", "dense" and "magnitude": the errors on test and training examples in percent, negative
      log-likelihood in nats, compression by weights that are not zero, and the sparsity of each layer in percent; means
      over the networks, and the test error of each, with its standard error if there are several. Of the last network
      also what `deployed` returns.
    """
    train, test = examples(config)
    model, each = plain(config.network), {"sparse VD": [], "dense": [], "magnitude": []}
    trained: dict[str, Any] = {}
    for number in range(config.num_seeds):
        key = jax.random.fold_in(jax.random.key(config.seed), number)
        trained = train_networks(config, train, key, workdir, f"network {number}")
        for kind, params in trained.items():
            each[kind].append(scores(model, params, train, test))
    return {kind: summarized(networks) for kind, networks in each.items()} | deployed(model, trained, test)


def summarized(networks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of each number over networks, and the error of each network with its standard error."""
    errors = [scores["error %"] for scores in networks]
    spread = {"standard error": float(np.std(errors, ddof=1)) / math.sqrt(len(errors))} if len(errors) > 1 else {}
    return {
        **{name: float(np.mean([scores[name] for scores in networks])) for name in networks[0]},
        **spread,
        **{f"error %, network {number}": error for number, error in enumerate(errors)},
    }


def deployed(model: Any, trained: Mapping[str, Any], test: data.Examples) -> dict[str, Any]:
    """What the dense and the sparse network cost where they are used, and whether small ones predict as the large one.

    Returns:
      The numbers of `measure` for the dense network, for the sparse one without its dead units ("compact"), and for
      that with its nearly empty kernels as coordinates; and the largest difference of the logits of these two from
      those of the sparse network.
    """
    variables = {"params": trained["sparse VD"]}
    small = jaxdrop.linen.compact(model, variables, test.images[:1])
    sparse = jaxdrop.linen.sparsify(*small)
    logits: Any = model.apply(variables, test.images)
    metrics: dict[str, Any] = {"deployed: dense": measure(model, {"params": trained["dense"]}, test)}
    differences = {}
    for name, (network, parameters) in (("compact", small), ("coordinates", sparse)):
        metrics[f"deployed: {name}"] = measure(network, parameters, test)
        others: Any = network.apply(parameters, test.images)
        differences[f"largest difference of logits, {name}"] = float(jnp.abs(others - logits).max())
    return metrics | differences


def examples(config: Config) -> tuple[data.Examples, data.Examples]:
    """The training examples, those for validation among them, and the test examples.

    As in the authors' protocol nothing is chosen by validation, and all training examples are trained on.
    """
    (images, labels), test = data.load_all_training(config.dataset), data.load(config.dataset, "test")
    if config.num_train:
        images, labels = images[: config.num_train], labels[: config.num_train]
    if config.random_labels:
        labels = np.random.default_rng(config.seed).permutation(labels)
    images, test_images = (x.reshape(*x.shape[:3], 1) for x in (images, test.images))
    return data.Examples(images, labels), data.Examples(test_images, test.labels)


def train_networks(config: Config, train: data.Examples, key: jax.Array, workdir: Path, name: str) -> dict[str, Any]:
    """Returns the parameters, as of a plain network, of each of the three kinds."""
    per_epoch = len(train.labels) // config.batch_size
    init_key, noisy_key, dense_key, retrain_key = jax.random.split(key, 4)
    noisy_network = functools.partial(
        noisy, config.network, kl=KL[config.kl], threshold=config.threshold, log_sigma2=config.log_sigma2
    )
    train_noisy = noisy_network(train=True)
    train_plain = plain(config.network, dropout_rate=config.dropout_rate, train=True)
    weight = variational.kl_warm_up(config.warm_up_begin * per_epoch, config.warm_up_epochs * per_epoch)

    def noisy_loss(variables, batch, key, step):
        rngs, mutable = {"dropout": key}, ["kl_divergence"]
        logits, state = train_noisy.apply(variables, batch.images, rngs=rngs, mutable=mutable)
        log_likelihood = -optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        kl = jaxdrop.linen.kl_divergence(state)
        return -variational.elbo(log_likelihood, kl, len(train.labels), weight(step)), {}

    def loss(variables, batch, key, step):
        del step
        logits: Any = train_plain.apply(variables, batch.images, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean(), {}

    def fit_network(kind, loss, variables, key, epochs):
        return fit(
            loss,
            variables,
            optax.adam(linear_second_half(config.learning_rate, epochs * per_epoch)),
            train,
            key,
            epochs=epochs,
            batch_size=config.batch_size,
            workdir=workdir,
            evaluate=lambda variables: sparsities(variables["params"], config.threshold),
            name=f"{name}, {kind}",
        )["params"]

    start = noisy_network().init(init_key, train.images[:1])
    sparse = fit_network("sparse VD", noisy_loss, start, noisy_key, config.epochs)
    sparse, report = variational.prune(sparse, config.threshold)

    dense_start = plain(config.network).init(init_key, train.images[:1])
    dense = fit_network("dense", loss, dense_start, dense_key, config.epochs)

    kept = {layer.name: layer.kept for layer in report.layers}
    pruned_by = functools.partial(gradually, kept=kept, steps=max(config.retrain_epochs * per_epoch // 2, 1))

    def masked_loss(variables, batch, key, step):
        return loss({"params": pruned_by(variables["params"], step)}, batch, key, step)

    retrained = fit_network("magnitude", masked_loss, {"params": dense}, retrain_key, config.retrain_epochs)
    return {"sparse VD": sparse, "dense": dense, "magnitude": largest(retrained, kept)}


def scores(model: Any, params: Mapping[str, Any], train: data.Examples, test: data.Examples) -> dict[str, float]:
    """Errors, likelihood and sparsity of a plain network."""
    apply = jax.jit(model.apply)

    def errors_and_nll(examples):
        parts = range(0, len(examples.labels), 1000)
        logits = np.concatenate([apply({"params": params}, examples.images[i : i + 1000]) for i in parts])
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, examples.labels).mean()
        return 100 * float(np.mean(logits.argmax(-1) != examples.labels)), float(nll)

    kernels = [layer["kernel"] for layer in params.values()]
    kept = [int(jnp.count_nonzero(kernel)) for kernel in kernels]
    error, nll = errors_and_nll(test)
    return {
        "error %": error,
        "NLL": nll,
        "training error %": errors_and_nll(train)[0],
        "compression": sum(kernel.size for kernel in kernels) / max(sum(kept), 1),
        **{
            f"sparsity %, layer {number}": 100 * (1 - count / kernel.size)
            for number, (kernel, count) in enumerate(zip(kernels, kept, strict=True))
        },
    }


def sparsities(params: Mapping[str, Any], threshold: float) -> dict[str, jax.Array]:
    """Share of weights that pruning would zero, for each layer with noise."""
    shares = {}
    for name, layer in params.items():
        if "log_sigma2" in layer:
            weights = variational.AdditiveWeights(layer["kernel"], layer["log_sigma2"])
            shares[f"sparsity_{name}"] = jnp.mean(weights.log_alpha >= threshold, dtype=jnp.float32)
    return shares
