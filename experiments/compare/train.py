"""The same network trained under every method that applies to it, several seeds at once."""

import dataclasses
import math
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop
from experiments.common import data
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_positive,
    check_rates,
    check_seeds,
    check_types,
    names,
)
from experiments.common.training import fit
from experiments.compare.methods import MLP_METHODS, RESNET_METHODS, Method, Setting
from experiments.compare.networks import MLP, ResNet

NETWORKS = {"mlp": MLP_METHODS, "resnet": RESNET_METHODS}
DATASETS = ("digits", "mnist", "fashion_mnist")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: One of `DATASETS`.
      network: "mlp": two hidden layers of `width` ReLUs; "resnet": three residual blocks of `width`, twice and 4 times
        as many channels.
      methods: Names of methods, separated by semicolons, or "all" that the network has.
      width: Units, or channels.
      rate: Probability of dropping a hidden unit, or a weight in DropConnect.
      input_rate: Probability of dropping an input of the perceptron.
      map_rate: Probability of dropping in feature maps.
      depth_rate: Probability of dropping the last residual branch; earlier ones less, in proportion.
      block_size: Of DropBlock.
      cutout_size: Of the hole.
      max_norm: Largest norm of a unit's incoming weights, for dropout + max-norm.
      consistency: R-Drop's alpha.
      drop_connect_mode: "example" for one mask per example, as in the paper, or "batch".
      num_seeds: Networks for each method, which differ in initial parameters, order of the examples and noise.
      seed: Of all of them.
      epochs: Passes over the training examples.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      max_examples: Training examples used, the first ones; 0 for all.
      validate: Whether to hold the validation examples out and report on them, to choose settings by. Otherwise they
        are trained on as well, as the papers do in the end, and the test examples are reported on.
    """

    dataset: str = "mnist"
    network: str = "mlp"
    methods: str = "all"
    width: int = 1024
    rate: float = 0.5
    input_rate: float = 0.2
    map_rate: float = 0.1
    depth_rate: float = 0.5
    block_size: int = 5
    cutout_size: int = 8
    max_norm: float = 2.0
    consistency: float = 1.0
    drop_connect_mode: str = "batch"
    num_seeds: int = 3
    seed: int = 0
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 1e-3
    max_examples: int = 0
    validate: bool = False

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", DATASETS)
        check_one_of(self, "network", tuple(NETWORKS))
        check_one_of(self, "drop_connect_mode", ("example", "batch"))
        names("methods", self.methods, NETWORKS[self.network])
        check_rates(self, "rate", "input_rate", "map_rate", "depth_rate")
        check_positive(self, "learning_rate", "max_norm")
        if not 0 <= self.consistency < math.inf:
            raise ValueError(f"consistency must be at least 0 and finite, got {self.consistency}")
        check_at_least(self, 1, "width", "block_size", "cutout_size", "epochs", "batch_size")
        check_at_least(self, 0, "max_examples")
        check_seeds(self)


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains the network under each method.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each method the test error in percent, its standard error over seeds, the error of each seed, the error on the
      training examples and the negative log-likelihood in nats. Predictions are without noise, as each paper has it.
    """
    train, validation, test = (data.load(config.dataset, split) for split in data.SPLITS)
    held_out = validation if config.validate else test
    if not config.validate:
        train = data.Examples(*(np.concatenate(parts) for parts in zip(train, validation, strict=True)))
    if config.max_examples:
        train = data.Examples(*(part[: config.max_examples] for part in train))
    methods = NETWORKS[config.network]
    return {
        name: _compare(name, methods[name], config, train, held_out, workdir)
        for name in names("methods", config.methods, methods)
    }


def _compare(
    name: str, method: Method, config: Config, train: data.Examples, held_out: data.Examples, workdir: Path
) -> dict[str, float]:
    """Trains and tests `num_seeds` networks under one method."""
    steps = config.epochs * (len(train.labels) // config.batch_size)

    def network(train: bool, step: jax.typing.ArrayLike) -> nn.Module:
        places = method.places(Setting(config, train, step, steps))
        if config.network == "mlp":
            return MLP((config.width, config.width), places)
        return ResNet((config.width, 2 * config.width, 4 * config.width), places, train)

    def loss(variables, batch, key, step):
        def forward(key):
            return network(True, step).apply(variables, batch.images, rngs={"dropout": key}, mutable=["batch_stats"])

        first, second = jax.random.split(key)
        logits, updates = forward(first)
        if method.consistency:
            losses = jaxdrop.r_drop_loss(logits, forward(second)[0], batch.labels, config.consistency)
        else:
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        return losses.mean(), updates

    @jax.jit
    def predict(variables, images):
        return jax.vmap(lambda variables: network(False, steps).apply(variables, images))(variables)

    def scores(variables, examples: data.Examples) -> tuple[jax.Array, jax.Array]:
        """Error in percent and negative log-likelihood of each network."""
        parts = [examples.images[start : start + 2000] for start in range(0, len(examples.images), 2000)]
        logits = jnp.concatenate([predict(variables, part) for part in parts], axis=1)
        labels = jnp.broadcast_to(examples.labels, logits.shape[:-1])
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(-1)
        return 100 * jnp.mean(logits.argmax(-1) != labels, axis=-1, dtype=jnp.float32), nll

    def evaluate(variables) -> dict[str, jax.Array]:
        if not config.validate:
            return {}
        error, nll = scores(variables, held_out)
        return {"validation_error": error.mean(), "validation_nll": nll.mean()}

    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps))
    if method.max_norm:
        optimizer = optax.chain(optimizer, jaxdrop.max_norm(config.max_norm))
    init_keys, train_keys = jax.random.split(jax.random.key(config.seed), (2, config.num_seeds))
    image = jnp.asarray(train.images[:1])
    variables = fit(
        loss,
        jax.jit(jax.vmap(lambda key: network(False, 0).init(key, image)))(init_keys),
        optimizer,
        train,
        train_keys,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        evaluate=evaluate,
        name=name,
    )
    error, nll = scores(variables, held_out)
    train_error, _ = scores(variables, train)
    return {
        "error %": float(error.mean()),
        "standard error": float(error.std(ddof=1)) / math.sqrt(config.num_seeds),
        "NLL": float(nll.mean()),
        "training error %": float(train_error.mean()),
        **{f"error %, network {number}": float(value) for number, value in enumerate(error)},
    }
