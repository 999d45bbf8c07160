"""Active learning on MNIST by the protocol of BatchBALD: labels that it takes to be right on 90 and 95 %."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import jaxdrop
import jaxdrop.linen
from experiments.active_learning.acquisition import FUNCTIONS, RANDOM, choose, choose_at_random
from experiments.active_learning.network import Network
from experiments.active_learning.picture import learning_curves
from experiments.active_learning.training import Plan, parts, trainer
from experiments.common import data
from experiments.common.config import check_at_least, check_positive, check_seed, check_types, names
from experiments.common.results import sign_of_life, write_json
from jaxdrop import metrics

TARGETS = (90, 95)
INITIAL = 20
NUM_IMAGES = 60_000


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment. The defaults are the authors' of BatchBALD, for batches of 10.

    Attributes:
      functions: Acquisition functions, separated by semicolons, or "all".
      acquisition_size: Images that are labelled between one network and the next.
      max_labels: Labels of the last network, at most.
      max_labels_random: The same for images chosen at random, which takes more.
      candidates: Images that are scored, drawn anew each time from those without a label; 0 for all.
      num_samples: Dropout samples of their class probabilities.
      num_configurations: Of classes, which BatchBALD looks at; see `jaxdrop.batch_bald`.
      num_test_samples: Dropout samples for the test images; 0 for one pass without dropout.
      epochs: The most epochs of a network.
      epoch_images: Images in an epoch, each labelled one several times.
      batch_size: Images in a batch.
      patience: Epochs without a higher validation accuracy than any before, after which training ends.
      learning_rate: Adam's step size.
      num_validation: Images, beside those labelled, on which it is decided when training ends.
      num_seeds: Runs of each function, each with validation images and first labels of its own.
      seed: Of everything random.
    """

    functions: str = "all"
    acquisition_size: int = 10
    max_labels: int = 320
    max_labels_random: int = 640
    candidates: int = 0
    num_samples: int = 100
    num_configurations: int = 10_000
    num_test_samples: int = 100
    epochs: int = 30
    epoch_images: int = 5056
    batch_size: int = 64
    patience: int = 3
    learning_rate: float = 1e-3
    num_validation: int = 1024
    num_seeds: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        names("functions", self.functions, FUNCTIONS)
        check_at_least(self, 0, "candidates", "num_test_samples")
        check_at_least(self, 1, "acquisition_size", "num_configurations", "epochs", "batch_size", "patience")
        check_at_least(self, 1, "num_validation")
        check_at_least(self, 2, "num_samples")
        check_at_least(self, INITIAL, "max_labels", "max_labels_random")
        check_positive(self, "learning_rate")
        check_at_least(self, 1, "num_seeds")
        check_seed(self)
        if 0 < self.candidates < self.acquisition_size:
            raise ValueError(
                f"candidates must be 0 or at least acquisition_size, {self.acquisition_size}, got {self.candidates}"
            )
        used = self.num_validation + max(self.max_labels, self.max_labels_random) + max(self.candidates, 1)
        if used > NUM_IMAGES:
            raise ValueError(
                f"num_validation, max_labels and candidates together must be at most MNIST's {NUM_IMAGES} training "
                f"images, got {used}"
            )
        if self.epoch_images < max(self.batch_size, self.max_labels, self.max_labels_random):
            raise ValueError(
                f"epoch_images must be at least batch_size and max_labels, so that each label is used, "
                f"got {self.epoch_images}"
            )


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Labels, trains and tests, again and again, by each acquisition function.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder. `rounds` in it has a file for each run of a function.

    Returns:
      For each function and accuracy of 90 and 95 %: the labels of the first network that has it on the test images,
      the median over runs (not there if half of the runs or more do not get there) and of each run (not there if it
      does not); the mean accuracy of the last networks, the mean number of epochs of all; the number of labels of each
      network, and its accuracies in each run.
    """
    study = _Study(config, workdir)
    results = {
        name: summary([list(study.rounds(name, number)) for number in range(config.num_seeds)])
        for name in names("functions", config.functions, FUNCTIONS)
    }
    learning_curves(results).savefig(workdir / "learning_curves.png")
    return results


def summary(runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """What `run` returns for one function, from the rounds of each run."""
    labels = [one["labels"] for one in runs[0]]
    accuracies = [[one["accuracy"] for one in rounds] for rounds in runs]
    values: dict[str, Any] = {}
    for target in TARGETS:
        needed = [labels_to(target / 100, labels, accuracy) for accuracy in accuracies]
        all_values = {f"labels to {target} %": float(np.median(needed))}
        all_values |= {f"labels to {target} %, run {number}": value for number, value in enumerate(needed)}
        values |= {name: value for name, value in all_values.items() if math.isfinite(value)}
    values["last accuracy"] = float(np.mean(accuracies, axis=0)[-1])
    values["mean epochs"] = float(np.mean([[one["epochs"] for one in rounds] for rounds in runs]))
    return {**values, "labels": labels, "accuracies": accuracies}


def labels_to(target: float, labels: Sequence[int], accuracy: Sequence[float]) -> float:
    """The labels of the first network of at least this accuracy; infinite if there is none."""
    return next((float(number) for number, value in zip(labels, accuracy, strict=True) if value >= target), math.inf)


def first_places(key: jax.Array, labels: np.ndarray, num_validation: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws images for validation, and as many of each class to begin with from the others.

    Args:
      key: PRNG key; consumed.
      labels: Of all training images.
      num_validation: How many for validation.

    Returns:
      The places of either.
    """
    order = np.asarray(jax.random.permutation(key, len(labels)))
    validation, rest = order[:num_validation], order[num_validation:]
    each = INITIAL // 10
    return validation, np.concatenate([rest[labels[rest] == label][:each] for label in range(10)])


class _Study:
    """What the runs of all functions share: images, and programs that are compiled once."""

    def __init__(self, config: Config, workdir: Path):
        self.config, self.folder = config, workdir / "rounds"
        self.folder.mkdir(exist_ok=True)
        train, test = data.load_all_training("mnist"), data.load("mnist", "test")
        self.images, self.labels = jnp.asarray(train.images), train.labels
        self.test = jnp.asarray(test.images), jnp.asarray(test.labels)
        plan = Plan(config.epochs, config.epoch_images, config.batch_size, config.patience, config.learning_rate)
        self.train = trainer(lambda train: Network(train), self.images, jnp.asarray(train.labels), plan)
        self.without_noise = jax.jit(lambda variables, x: jaxdrop.linen.weight_scaling(Network(), variables, x))

    def rounds(self, name: str, number: int) -> Iterator[dict[str, Any]]:
        """Trains one network after another by one function, but for those of which there is a file."""
        config = self.config
        path = self.folder / f"{name}, run {number}.json"
        done = json.loads(path.read_text()) if path.exists() else []
        yield from done
        # All functions begin alike, and their networks with the same parameters.
        split_key, key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), number))
        validation, initial = first_places(split_key, self.labels, config.num_validation)
        last = config.max_labels_random if name == RANDOM else config.max_labels
        sizes = range(INITIAL, last + 1, config.acquisition_size)
        places = np.concatenate([initial, *(np.array(one["chosen"], int) for one in done)])
        available = np.ones(len(self.labels), bool)
        available[np.concatenate([validation, places])] = False
        padded = np.zeros(max(config.max_labels, config.max_labels_random) + config.acquisition_size, int)
        progress = tqdm(total=len(sizes), initial=len(done), desc=f"{name}, run {number}", unit="network", disable=None)
        with progress:
            for size in sizes[len(done) :]:
                train_key, test_key, choice_key = jax.random.split(jax.random.fold_in(key, size), 3)
                padded[:size] = places
                variables, epochs = self.train(train_key, jnp.asarray(padded), size, jnp.asarray(validation))
                accuracy = self._test(variables, test_key)
                chosen = (
                    self._choose(name, variables, choice_key, available) if size != sizes[-1] else np.array([], int)
                )
                done.append({"labels": size, "accuracy": accuracy, "epochs": epochs, "chosen": chosen.tolist()})
                write_json(path, done)
                sign_of_life(self.folder.parent)
                progress.update()
                yield done[-1]
                places = np.concatenate([places, chosen])
                available[chosen] = False

    def _test(self, variables: Any, key: jax.Array) -> float:
        images, labels = self.test
        if self.config.num_test_samples:
            predictions = [p.mean for p in self._draw(variables, images, key, self.config.num_test_samples, False)]
        else:
            predictions = [self.without_noise(variables, part) for part in parts(images)]
        return float(metrics.accuracy(jnp.concatenate(predictions), labels))

    def _choose(self, name: str, variables: Any, key: jax.Array, available: np.ndarray) -> np.ndarray:
        config = self.config
        candidate_key, sample_key, key = jax.random.split(key, 3)
        if name == RANDOM:
            return np.asarray(choose_at_random(key, jnp.asarray(available), config.acquisition_size))
        if config.candidates:
            candidates = choose_at_random(candidate_key, jnp.asarray(available), config.candidates)
        else:
            candidates = jnp.arange(len(available))
        predictions = self._draw(variables, self.images[candidates], sample_key, config.num_samples, True)
        samples = jnp.concatenate([p.samples for p in predictions], axis=1)
        chosen = choose(
            name,
            key,
            samples,
            jnp.asarray(available)[candidates],
            config.acquisition_size,
            config.num_configurations,
        )
        return np.asarray(candidates[chosen])

    def _draw(self, variables, images, key, num_samples: int, return_samples: bool) -> list[jaxdrop.ClassPrediction]:
        """Predicts part after part; the same key gives all of them the same masks."""
        return [
            jaxdrop.monte_carlo(
                jaxdrop.linen.sampler(Network(), variables, part, share_masks=True),
                key,
                num_samples,
                outputs="logits",
                num_blocks=1,
                return_samples=return_samples,
            )
            for part in parts(images)
        ]
