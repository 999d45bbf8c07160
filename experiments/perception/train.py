"""A U-Net with noise on its feature maps segments scenes of digits, and says which pixels it does not know."""

import dataclasses
import functools
from collections.abc import Callable
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
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_open_rates,
    check_positive,
    check_seeds,
    check_types,
    integers,
)
from experiments.common.deployed import median_seconds
from experiments.common.summary import means_and_errors, with_differences
from experiments.common.training import fit
from experiments.perception import picture
from experiments.perception.network import UNet
from experiments.perception.scenes import Scenes, compose, shrunk
from experiments.perception.scores import Maps, of_known, of_unseen
from jaxdrop import metrics

NOISES = ("spatial", "drop_block")
SIDE = 28  # of the pictures of MNIST and KMNIST
AT_ONCE = 50  # scenes
SHOWN = 5  # scenes in the picture
SCENES = 2**31  # folded into the key of the scenes; networks have 0, 1, ...


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      noise: "spatial" for spatial dropout or "drop_block", behind each block of the network but those of full size.
      rate: Its rate.
      block_size: Side of DropBlock's blocks in entries of a map; 0 with spatial dropout.
      widths: Channels of each level of the U-Net, separated by semicolons.
      size: Side of a scene in pixels.
      shrink: By how much the pictures of 28 x 28 are shrunk before they come into a scene: 1, 2 or 4.
      min_objects: Fewest digits in a scene.
      max_objects: Most digits in a scene.
      num_train: Scenes to train on.
      num_validation: Scenes of held-out digits, whose likelihood is logged.
      num_test: Scenes to test on, each without and with an unseen object.
      epochs: Passes over the scenes.
      batch_size: Scenes in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      num_samples: Passes of MC dropout.
      timed_samples: Numbers of passes whose time is measured, separated by semicolons.
      repeats: Times that a prediction is timed.
      num_seeds: Networks, one after another on the same scenes.
      seed: Of everything random.
    """

    noise: str = "spatial"
    rate: float = 0.1
    block_size: int = 0
    widths: str = "8;16;32;64"
    size: int = 32
    shrink: int = 2
    min_objects: int = 2
    max_objects: int = 4
    num_train: int = 4000
    num_validation: int = 200
    num_test: int = 300
    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 2e-3
    num_samples: int = 30
    timed_samples: str = "1;10;30"
    repeats: int = 30
    num_seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "noise", NOISES)
        check_open_rates(self, "rate")
        if (self.block_size > 0) != (self.noise == "drop_block") or self.block_size < 0:
            raise ValueError(f"block_size must be 0 with 'spatial', else above 0, got {self.block_size}")
        smallest = 2 ** (len(integers(self, "widths")) - 1)
        if self.shrink not in (1, 2, 4):
            raise ValueError(f"shrink must be 1, 2 or 4, got {self.shrink}")
        if self.size % smallest or self.size < SIDE // self.shrink:
            raise ValueError(
                f"size must be divisible by {smallest} and at least {SIDE // self.shrink}, a digit's, got {self.size}"
            )
        check_at_least(self, 1, "min_objects", "num_train", "num_validation", "num_test", "epochs", "batch_size")
        check_at_least(self, self.min_objects, "max_objects")
        check_at_least(self, 2, "num_samples")
        check_at_least(self, 1, "repeats")
        integers(self, "timed_samples")
        check_positive(self, "learning_rate")
        check_seeds(self)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains networks and tests each on scenes without and with unseen objects.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder, where the picture goes.

    Returns:
      For the deterministic pass, MC dropout and moments, means over networks and, by the same name with "error", their
      standard errors: scores over known pixels, those for scenes with unseen objects, and milliseconds for one scene.
      For each of their uncertainties, as in "MC dropout: entropy", how well it finds the pixels of unseen objects. With
      "difference" after their names, what scores are more than those of the deterministic pass, network by network. Of
      moments and the deterministic pass, the entropy is that of the mean probabilities; "variance" is that of the
      probabilities, summed over classes.
    """
    train, validation, test, test_unseen = _scenes(config)
    networks = [
        _test(config, seed, _train(config, seed, train, validation, workdir), test, test_unseen, workdir)
        for seed in range(config.num_seeds)
    ]
    return {column: means_and_errors([network[column] for network in networks]) for column in networks[0]}


def _scenes(config: Config) -> tuple[Scenes, Scenes, Scenes, Scenes]:
    """Scenes to train on, to validate on, and to test on without and with unseen objects, of digits of their own."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), SCENES), len(data.SPLITS))
    unseen = shrunk(data.load("kmnist", "test").images, config.shrink)

    def composed(split: int, number: int, unseen: np.ndarray | None = None) -> Scenes:
        images, labels = data.load("mnist", data.SPLITS[split])
        digits = data.Examples(shrunk(images, config.shrink), labels)
        return compose(keys[split], digits, number, config.size, (config.min_objects, config.max_objects), unseen)

    return (
        composed(0, config.num_train),
        composed(1, config.num_validation),
        composed(2, config.num_test),
        composed(2, config.num_test, unseen),
    )


def network(config: Config, train: bool = False) -> UNet:
    """The network, with its noise on or off."""
    if config.noise == "drop_block":
        noise = functools.partial(
            jaxdrop.linen.DropBlock, config.rate, block_size=config.block_size, deterministic=not train
        )
    else:
        noise = functools.partial(jaxdrop.linen.SpatialDropout, config.rate, deterministic=not train)
    return UNet(tuple(integers(config, "widths")), noise)


def _keys(config: Config, seed: int) -> jax.Array:
    """Keys of the initial parameters, the training and the predictions of a network."""
    return jax.random.split(jax.random.fold_in(jax.random.key(config.seed), seed), 3)


def _train(config: Config, seed: int, train: Scenes, validation: Scenes, workdir: Path) -> dict[str, Any]:
    init_key, train_key, _ = _keys(config, seed)
    still, noisy = network(config), network(config, train=True)

    def loss(variables, batch, key, step):
        del step
        logits: Any = noisy.apply(variables, batch.images, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean(), {}

    @jax.jit
    def evaluate(variables):
        logits: Any = still.apply(variables, validation.images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, validation.labels)
        right = logits.argmax(-1).astype(jnp.int32) == validation.labels
        return {"validation_loss": losses.mean(), "validation_accuracy": jnp.mean(right, dtype=jnp.float32)}

    steps = config.epochs * (len(train.images) // config.batch_size)
    return fit(
        loss,
        {"params": still.init(init_key, train.images[:1])["params"]},
        optax.adam(optax.cosine_decay_schedule(config.learning_rate, max(steps, 1))),
        train,
        train_key,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        evaluate=evaluate,
        name=f"network {seed}",
    )


def _test(
    config: Config, seed: int, variables: dict[str, Any], test: Scenes, test_unseen: Scenes, workdir: Path
) -> dict[str, dict[str, float]]:
    columns, finding = {}, {}
    for name, predict in predictors(config, variables, _keys(config, seed)[2]).items():
        columns[name] = of_known(in_parts(predict, test.images), test)
        maps = in_parts(predict, test_unseen.images)
        with_unseen = of_known(maps, test_unseen)
        columns[name].update({f"{score}, unseen beside": value for score, value in with_unseen.items()})
        finding.update({f"{name}: {kind}": areas for kind, areas in of_unseen(maps, test_unseen).items()})
        if seed == 0 and name == "MC dropout":
            shown = Scenes(*(part[:SHOWN] for part in test_unseen))
            predicted = maps.probabilities[:SHOWN].argmax(-1)
            uncertainties = (maps.uncertainties[kind][:SHOWN] for kind in ("expected entropy", "mutual information"))
            picture.maps(shown, predicted, *uncertainties).savefig(workdir / "maps.png")
    columns = with_differences(columns, "deterministic")
    for name, times in _times(config, variables, test.images[:1]).items():
        columns[name].update(times)
    return columns | with_differences(finding, "deterministic: entropy")


def predictors(config: Config, variables: Any, key: jax.Array) -> dict[str, Callable[[jax.Array, int], Maps]]:
    """Three ways to predict: functions of images (scenes, height, width) and the number of the first of them."""
    model = network(config)
    still = jax.jit(model.apply)

    def deterministic(images: jax.Array, first: int) -> Maps:
        del first
        probabilities = nn.softmax(still(variables, images))
        return Maps(np.asarray(probabilities), {"entropy": np.asarray(metrics.entropy(probabilities))})

    def mc_dropout(images: jax.Array, first: int) -> Maps:
        sample = jaxdrop.linen.sampler(model, variables, images)
        numbered = jax.random.fold_in(key, first)
        p = jaxdrop.monte_carlo(sample, numbered, config.num_samples, outputs="logits", num_blocks=1)
        kinds = {
            "entropy": p.predictive_entropy,
            "expected entropy": p.expected_entropy,
            "mutual information": p.mutual_information,
        }
        return Maps(np.asarray(p.mean), {name: np.asarray(value) for name, value in kinds.items()})

    def moments(images: jax.Array, first: int) -> Maps:
        del first
        p = jaxdrop.moments(jaxdrop.linen.sampler(model, variables, images, method="probabilities"))
        kinds = {"entropy": metrics.entropy(p.mean), "variance": p.variance.sum(-1)}
        return Maps(np.asarray(p.mean), {name: np.asarray(value) for name, value in kinds.items()})

    return {"deterministic": deterministic, "MC dropout": mc_dropout, "moments": moments}


def in_parts(predict: Callable[[jax.Array, int], Maps], images: jax.Array) -> Maps:
    """Predicts `AT_ONCE` scenes at a time, so that memory does not grow with their number."""
    parts = [predict(images[first : first + AT_ONCE], first) for first in range(0, len(images), AT_ONCE)]
    return jax.tree.map(lambda *values: np.concatenate(values), *parts)


def _times(config: Config, variables: Any, image: jax.Array) -> dict[str, dict[str, float]]:
    """Median milliseconds of each kind of prediction for one scene, as its user would call it."""
    model, key = network(config), jax.random.key(0)
    still = jax.jit(model.apply)
    sample = jaxdrop.linen.sampler(model, variables, image)
    probabilities = jaxdrop.linen.sampler(model, variables, image, method="probabilities")

    def milliseconds(call: Callable[[], Any]) -> float:
        jax.block_until_ready(call())  # compiles
        return 1000 * median_seconds(call, config.repeats)

    def monte_carlo(number: int) -> Callable[[], Any]:
        return lambda: jaxdrop.monte_carlo(sample, key, number, outputs="logits", num_blocks=1)

    return {
        "deterministic": {"ms": milliseconds(lambda: still(variables, image))},
        "MC dropout": {
            f"ms, {number} sample{'s' if number > 1 else ''}": milliseconds(monte_carlo(number))
            for number in integers(config, "timed_samples")
        },
        "moments": {"ms": milliseconds(lambda: jaxdrop.moments(probabilities))},
    }
