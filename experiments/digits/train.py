"""MC dropout on pictures of digits: train an MLP with dropout, keep dropout on to predict, and refer what is unsure."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common import data
from experiments.common.config import check_at_least, check_one_of, check_positive, check_seed, check_types
from experiments.common.scores import of_classes
from experiments.common.training import fit
from experiments.digits import pictures
from jaxdrop import metrics

DATASETS = ("digits", "mnist", "fashion_mnist")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: One of `DATASETS`.
      width: Units of each hidden layer.
      depth: Hidden layers.
      rate: Probability of dropping a hidden unit, in training and in MC dropout.
      epochs: Passes over the training examples.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      num_samples: Passes of MC dropout.
      seed: Of the initial parameters, the order of the examples and the dropout.
    """

    dataset: str = "digits"
    width: int = 512
    depth: int = 2
    rate: float = 0.5
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    num_samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", DATASETS)
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be between 0 and 1, without them, got {self.rate}")
        check_positive(self, "learning_rate")
        check_at_least(self, 1, "width", "depth", "epochs", "batch_size", "num_samples")
        check_seed(self)


class MLP(nn.Module):
    """Hidden layers of ReLUs, each followed by dropout; images (batch, height, width) -> logits (batch, 10)."""

    width: int
    depth: int
    rate: float

    @nn.compact
    def __call__(self, images: jax.Array, *, deterministic: bool) -> jax.Array:
        """Logits of the ten classes."""
        x = images.reshape(len(images), -1)
        for _ in range(self.depth):
            x = nn.relu(nn.Dense(self.width)(x))
            x = jaxdrop.linen.Dropout(self.rate)(x, deterministic=deterministic)
        return nn.Dense(10)(x)


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains, predicts on the test set, and saves two pictures.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      The same metrics for the deterministic pass and for MC dropout. NLL is in nats, the calibration error has 15
      bins, and the last two rows rank examples by predictive entropy.
    """
    train, validation, test = (data.load(config.dataset, split) for split in data.SPLITS)
    init_key, train_key, sample_key = jax.random.split(jax.random.key(config.seed), 3)
    model = MLP(config.width, config.depth, config.rate)
    variables = model.init(init_key, jnp.asarray(train.images[:1]), deterministic=True)

    def apply(variables, images, **options) -> jax.Array:
        return cast(jax.Array, model.apply(variables, jnp.asarray(images), **options))

    def loss(variables, batch, key, step):
        logits = apply(variables, batch.images, deterministic=False, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean(), {}

    @jax.jit
    def evaluate(variables):
        logits = apply(variables, validation.images, deterministic=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(validation.labels))
        return {
            "validation_loss": losses.mean(),
            "validation_accuracy": metrics.accuracy(logits, jnp.asarray(validation.labels)),
        }

    steps = config.epochs * (len(train.labels) // config.batch_size)
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, max(steps, 1)))
    variables = fit(
        loss,
        variables,
        optimizer,
        train,
        train_key,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        evaluate=evaluate,
    )

    images, labels = jnp.asarray(test.images), jnp.asarray(test.labels)
    softmax = jax.nn.softmax(jax.jit(partial(apply, deterministic=True))(variables, images))
    softmax_entropy = jax.scipy.special.entr(softmax).sum(-1)
    sample = jaxdrop.linen.sampler(model, variables, images, deterministic=True)
    mc_dropout = jaxdrop.monte_carlo(sample, sample_key, num_samples=config.num_samples, outputs="logits")

    pictures.sure_and_unsure(test.images, test.labels, mc_dropout).savefig(workdir / "sure_and_unsure.png")
    wrong = mc_dropout.mean.argmax(-1) != labels
    curves = {
        "MC dropout, predictive entropy": metrics.risk_coverage(mc_dropout.predictive_entropy, wrong),
        "MC dropout, mutual information": metrics.risk_coverage(mc_dropout.mutual_information, wrong),
        "no dropout, softmax entropy": metrics.risk_coverage(softmax_entropy, softmax.argmax(-1) != labels),
    }
    pictures.referral(curves).savefig(workdir / "referral.png")
    return {
        "deterministic": _scores(softmax, softmax_entropy, labels),
        "MC dropout": _scores(mc_dropout.mean, mc_dropout.predictive_entropy, labels),
    }


def _scores(probabilities: jax.Array, uncertainty: jax.Array, labels: jax.Array) -> dict[str, float]:
    curve = metrics.risk_coverage(uncertainty, probabilities.argmax(-1) != labels)
    answered = len(labels) - len(labels) // 10
    scores = of_classes(probabilities, labels)
    return {
        "accuracy": scores["accuracy"],
        "NLL": scores["NLL"],
        "calibration error": scores["ECE"],
        "accuracy, 10 % referred": float(1 - curve.risk[answered - 1]),
        "AURC": float(curve.aurc),
    }
