"""LeNet-300-100 by sparse variational dropout, the dense network, and that pruned by magnitude to the same sparsity."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common import data
from experiments.common.config import check_at_least, check_one_of, check_positive, check_seed, check_types
from experiments.common.training import fit
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
      widths: Units of each hidden layer, separated by dashes.
      kl: Divergence: "log_uniform", the paper's, "log_uniform_exact" or "ard".
      threshold: Weights with log alpha at or above it are pruned.
      log_sigma2: Logarithm of the variances at the start.
      warm_up_begin: Epoch at which the divergence begins to count.
      warm_up_epochs: Epochs that it takes until it counts in full.
      epochs: Passes over the training examples, of the noisy and of the dense network.
      retrain_epochs: Passes of the network that is pruned by magnitude.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size; it falls linearly to 0 in the second half of the epochs.
      seed: Of everything random.
    """

    dataset: str = "mnist"
    widths: str = "300-100"
    kl: str = "log_uniform"
    threshold: float = 3.0
    log_sigma2: float = -10.0
    warm_up_begin: int = 5
    warm_up_epochs: int = 15
    epochs: int = 200
    retrain_epochs: int = 20
    batch_size: int = 100
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", DATASETS)
        check_one_of(self, "kl", tuple(KL))
        if not all(width.isdigit() and int(width) > 0 for width in self.widths.split("-")):
            raise ValueError(f"widths must be positive integers separated by dashes, got {self.widths!r}")
        for name in ("threshold", "log_sigma2"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        check_at_least(self, 0, "warm_up_begin")
        check_at_least(self, 1, "warm_up_epochs", "epochs", "retrain_epochs", "batch_size")
        check_positive(self, "learning_rate")
        check_seed(self)


class MLP(nn.Module):
    """Dense layers with ReLUs between them, (batch, height, width) -> logits (batch, 10).

    Attributes:
      widths: Units of each hidden layer.
      config: Settings of the noise; None for a network without.
      train: Whether noise is on.
    """

    widths: tuple[int, ...]
    config: Config | None = None
    train: bool = False

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of the ten classes."""
        x = images.reshape(len(images), -1)
        for number, width in enumerate((*self.widths, 10)):
            x = self._dense(width, f"dense_{number}")(x if number == 0 else nn.relu(x))
        return x

    def _dense(self, width: int, name: str) -> nn.Module:
        if self.config is None:
            return nn.Dense(width, kernel_init=nn.initializers.he_normal(), name=name)
        log_sigma2 = self.config.log_sigma2
        return jaxdrop.linen.VariationalDense(
            width,
            weights=lambda theta: variational.additive_weights(theta, log_sigma2),
            kl=KL[self.config.kl],
            threshold=self.config.threshold,
            threshold_means=True,
            kernel_init=nn.initializers.he_normal(),
            deterministic=not self.train,
            name=name,
        )


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains the noisy and the dense network, and prunes the dense one to the sparsity of the noisy one.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each of "sparse VD", "dense" and "magnitude": test error in percent, negative log-likelihood in nats,
      compression by weights that are not zero, and the sparsity of each layer in percent.
    """
    train, validation, test = (data.load(config.dataset, split) for split in data.SPLITS)
    # As in the authors' protocol nothing is chosen by validation, and all training examples are trained on.
    train = data.Examples(*(np.concatenate(parts) for parts in zip(train, validation, strict=True)))
    widths = tuple(map(int, config.widths.split("-")))
    per_epoch = len(train.labels) // config.batch_size
    init_key, noisy_key, dense_key, retrain_key = jax.random.split(jax.random.key(config.seed), 4)
    plain = MLP(widths)
    weight = variational.kl_warm_up(config.warm_up_begin * per_epoch, config.warm_up_epochs * per_epoch)

    def noisy_loss(variables, batch, key, step):
        logits, state = MLP(widths, config, train=True).apply(
            variables, batch.images, rngs={"dropout": key}, mutable=["kl_divergence"]
        )
        log_likelihood = -optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        kl = jaxdrop.linen.kl_divergence(state)
        return -variational.elbo(log_likelihood, kl, len(train.labels), weight(step)), {}

    def loss(variables, batch, key, step):
        del key, step
        logits: Any = plain.apply(variables, batch.images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()

    def masked_loss(variables, batch, key, step):
        params = jax.tree.map(jnp.multiply, variables["params"], variables["mask"])
        return loss({"params": params}, batch, key, step), {}

    def train_network(name, loss, variables, key, epochs):
        steps = epochs * per_epoch
        half = max(steps // 2, 1)
        return fit(
            loss,
            variables,
            optax.adam(optax.linear_schedule(config.learning_rate, 0.0, half, steps - half)),
            train,
            key,
            epochs=epochs,
            batch_size=config.batch_size,
            workdir=workdir,
            evaluate=lambda variables: sparsities(variables["params"], config.threshold),
            name=name,
        )

    def scores(params) -> dict[str, float]:
        logits: Any = jax.jit(plain.apply)({"params": params}, test.images)
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, test.labels).mean()
        kernels = [layer["kernel"] for layer in params.values()]
        kept = [int(jnp.count_nonzero(kernel)) for kernel in kernels]
        return {
            "error %": 100 * float(jnp.mean(logits.argmax(-1) != test.labels, dtype=jnp.float32)),
            "NLL": float(nll),
            "compression": sum(kernel.size for kernel in kernels) / max(sum(kept), 1),
            **{
                f"sparsity %, layer {number}": 100 * (1 - count / kernel.size)
                for number, (kernel, count) in enumerate(zip(kernels, kept, strict=True))
            },
        }

    start = MLP(widths, config).init(init_key, train.images[:1])
    noisy = train_network("sparse VD", noisy_loss, start, noisy_key, config.epochs)
    sparse, report = variational.prune(noisy["params"], config.threshold)

    dense_start = plain.init(init_key, train.images[:1])
    dense = train_network("dense", lambda *args: (loss(*args), {}), dense_start, dense_key, config.epochs)["params"]
    mask = magnitude_mask(dense, {layer.name: layer.kept for layer in report.layers})
    masked = {"params": dense, "mask": mask}
    retrained = train_network("magnitude", masked_loss, masked, retrain_key, config.retrain_epochs)["params"]
    return {
        "sparse VD": scores(sparse),
        "dense": scores(dense),
        "magnitude": scores(jax.tree.map(jnp.multiply, retrained, mask)),
    }


def sparsities(params: Mapping[str, Any], threshold: float) -> dict[str, jax.Array]:
    """Share of weights that pruning would zero, for each layer with noise."""
    shares = {}
    for name, layer in params.items():
        if "log_sigma2" in layer:
            weights = variational.AdditiveWeights(layer["kernel"], layer["log_sigma2"])
            shares[f"sparsity_{name}"] = jnp.mean(weights.log_alpha >= threshold, dtype=jnp.float32)
    return shares


def magnitude_mask(params: Mapping[str, Any], kept: Mapping[str, int]) -> dict[str, Any]:
    """Ones for the largest kernel entries of each layer, `kept` of them, and for the biases; zeros for the others."""
    mask = {}
    for name, layer in params.items():
        sizes = jnp.abs(layer["kernel"]).ravel()
        largest = jnp.argsort(-sizes)[: kept[name]]
        kernel = jnp.zeros_like(sizes).at[largest].set(1).reshape(layer["kernel"].shape)
        mask[name] = {"kernel": kernel, "bias": jnp.ones_like(layer["bias"])}
    return mask
