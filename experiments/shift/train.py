"""Telling other pictures from MNIST's, or from a user's, by uncertainty, and predictions for turned ones."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

import jaxdrop.plots
from experiments.common import data, ensembles, own_data
from experiments.common.config import check_at_least, check_data_set, names
from experiments.common.ensembles import Predictions
from experiments.common.errors import RefusedError
from experiments.common.results import sign_of_life
from experiments.common.scores import of_classes
from experiments.common.summary import means_and_errors, with_differences
from experiments.shift.picture import rotation
from jaxdrop import metrics

OTHERS = ("fashion_mnist", "notmnist", "kmnist")
ANGLES = tuple(range(0, 195, 15))
SCORES = {"AUROC": metrics.auroc, "AUPR": metrics.aupr, "FPR at 95 % TPR": metrics.false_positive_rate}


@dataclasses.dataclass(frozen=True)
class Config(ensembles.Config):
    """Settings of the experiment.

    Attributes:
      dataset: What the networks learn: "mnist", or the path of an .npz file; see `experiments.common.own_data`.
      others: Data sets to tell from it, of those in `OTHERS` or paths of .npz files, separated by semicolons, or "all".
      max_test: Test images used of each set, the first ones; 0 for all.
    """

    dataset: str = "mnist"
    others: str = "fashion_mnist;notmnist"
    max_test: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        super().__post_init__()
        check_data_set(self, "dataset", ("mnist",))
        _others(self)
        check_at_least(self, 0, "max_test")


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains networks on MNIST, or on a user's pictures, and lets them predict other ones.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      Means over seeds and their standard errors. For each uncertainty how well it tells the test images of each other
      set, the positives, from those it knows: area under the receiver operating characteristic, average precision, and
      the fraction of the known that are flagged where 95 % of the others are; and the differences of these to those of
      the softmax's confidence. For each angle in degrees accuracy, negative log-likelihood in nats and calibration
      error of 15 bins for the three ways to predict, the differences to MC dropout's, and mean uncertainties in nats.
    """
    train, validation, test = (data.load(config.dataset, split) for split in data.SPLITS)
    test = data.Examples(*(part[: config.max_test or None] for part in test))
    others = {other: data.load_inputs(name)[: config.max_test or None] for other, name in _others(config).items()}
    for name, images in {"x_train": train.images, called(config.dataset): test.images, **others}.items():
        if images.ndim < 3 or images.shape[1:] != train.images.shape[1:] or images.min() < 0 or images.max() > 1:
            raise RefusedError(
                "pictures must be (examples, height, width, ...), of one size, and bytes or from 0 to 1; those to "
                f"learn are {train.images.shape}, {name} is {images.shape}, {images.min():g} to {images.max():g}"
            )
    num_classes = data.num_classes(train, validation, test)
    fit_key, key = jax.random.split(jax.random.key(config.seed))
    variables = ensembles.fit_networks(config, fit_key, train, validation, workdir, num_classes=num_classes)
    predict = partial(ensembles.predict, config, num_classes=num_classes)
    detection: dict[str, list[dict[str, float]]] = {}
    turned: dict[str, list[dict[str, float]]] = {f"{angle}°": [] for angle in ANGLES}
    for seed in range(config.num_seeds):
        networks, seed_key = jax.tree.map(lambda x, seed=seed: x[seed], variables), jax.random.fold_in(key, seed)
        # One key for all sets: an example of one has the masks of the example in its place in another.
        known = predict(networks, test.images, seed_key)
        unknown = {name: predict(networks, images, seed_key) for name, images in others.items()}
        for measure, values in detect(known, unknown).items():
            detection.setdefault(measure, []).append(values)
        if seed == 0:
            entropies = {called(config.dataset): known, **unknown}
            figure = jaxdrop.plots.uncertainty_histograms(
                {name.replace("_", "-"): p.mc_dropout.predictive_entropy for name, p in entropies.items()},
                label="predictive entropy of MC dropout (nats)",
            )
            figure.savefig(workdir / "histograms.png")
        for angle in ANGLES:
            p = known if angle == 0 else predict(networks, rotate(test.images, angle), seed_key)
            turned[f"{angle}°"].append(quality(p, test.labels))
            sign_of_life(workdir)
    results = {name: means_and_errors(scores) for name, scores in (detection | turned).items()}
    rotation(results).savefig(workdir / "rotation.png")
    return results


def detect(known: Predictions, unknown: dict[str, Predictions]) -> dict[str, dict[str, float]]:
    """For each measure, how well it tells each set of unknown examples, the positives, from the known ones."""
    measures = ensembles.uncertainties(known)
    scores: dict[str, dict[str, float]] = {name: {} for name in measures}
    for other, p in unknown.items():
        for name, (high, _) in ensembles.uncertainties(p).items():
            low, _ = measures[name]
            uncertainty = jnp.concatenate([low, high])
            positive = jnp.arange(len(uncertainty)) >= len(low)
            scores[name] |= {f"{kind}, {other}": float(score(uncertainty, positive)) for kind, score in SCORES.items()}
    return with_differences(scores, ensembles.BASELINE)


def quality(p: Predictions, labels: np.ndarray) -> dict[str, float]:
    """How good the three ways to predict are, and how uncertain."""
    ways = {"deterministic": p.deterministic, "MC dropout": p.mc_dropout.mean, "ensemble": p.ensemble}
    columns = {way: of_classes(probabilities, labels) for way, probabilities in ways.items()}
    scores = {
        f"{name}, {way}": value
        for way, column in with_differences(columns, "MC dropout").items()
        for name, value in column.items()
    }
    scores["softmax entropy"] = float(metrics.entropy(p.deterministic).mean())
    scores["predictive entropy"] = float(p.mc_dropout.predictive_entropy.mean())
    scores["mutual information"] = float(p.mc_dropout.mutual_information.mean())
    scores["ensemble entropy"] = float(metrics.entropy(p.ensemble).mean())
    return scores


def rotate(images: np.ndarray, angle: float) -> np.ndarray:
    """Turns images (examples, height, width) about their middle, by degrees; what comes in at the corners is black."""
    # Interpolated linearly, so that no brightness leaves the interval from 0 to 1.
    return scipy.ndimage.rotate(images, angle, axes=(2, 1), reshape=False, order=1)


def called(dataset: str) -> str:
    """What a data set is called in tables: a file without its folder."""
    return Path(dataset).stem if own_data.is_file(dataset) else dataset


def _others(config: Config) -> dict[str, str]:
    """The names or paths of the other data sets, by what they are called."""
    own = [name for name in config.others.split(";") if own_data.is_file(name)]
    chosen = names("others", config.others, OTHERS if config.others == "all" else (*OTHERS, *own))
    others = {called(name): name for name in chosen}
    if len({*others, called(config.dataset)}) <= len(chosen):
        raise ValueError(f"dataset and others must have different names, got {config.dataset!r}, {config.others!r}")
    return others
