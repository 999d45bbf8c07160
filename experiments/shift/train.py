"""Telling other pictures from MNIST's by uncertainty, and predictions for digits that are turned."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

import jaxdrop.plots
from experiments.common import data, ensembles
from experiments.common.config import check_at_least, names
from experiments.common.ensembles import Predictions
from experiments.common.results import sign_of_life
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
      others: Data sets to tell from MNIST, of those in `OTHERS`, separated by semicolons, or "all".
      max_test: Test images used of each set, the first ones; 0 for all.
    """

    others: str = "fashion_mnist;notmnist"
    max_test: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        super().__post_init__()
        names("others", self.others, OTHERS)
        check_at_least(self, 0, "max_test")


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains networks on MNIST, and lets them predict other pictures.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      Means over seeds and their standard errors. For each uncertainty how well it tells the test images of each other
      set, the positives, from those of MNIST: area under the receiver operating characteristic, average precision, and
      the fraction of MNIST's that are flagged where 95 % of the others are; and the differences of these to those of
      the softmax's confidence. For each angle in degrees accuracy, negative log-likelihood in nats and calibration
      error of 15 bins for the three ways to predict, the differences to MC dropout's, and mean uncertainties in nats.
    """
    train, validation, test = (_limited(config, data.load("mnist", split), split) for split in data.SPLITS)
    others = {
        name: _limited(config, data.load(name, "test"), "test") for name in names("others", config.others, OTHERS)
    }
    variables = ensembles.fit_networks(config, train, validation, workdir)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    detection: dict[str, list[dict[str, float]]] = {}
    turned: dict[str, list[dict[str, float]]] = {f"{angle}°": [] for angle in ANGLES}
    for seed in range(config.num_seeds):
        networks, seed_key = jax.tree.map(lambda x, seed=seed: x[seed], variables), jax.random.fold_in(key, seed)
        # One key for all sets: an example of one has the masks of the example in its place in another.
        known = ensembles.predict(config, networks, test.images, seed_key)
        unknown = {name: ensembles.predict(config, networks, part.images, seed_key) for name, part in others.items()}
        for measure, values in detect(known, unknown).items():
            detection.setdefault(measure, []).append(values)
        if seed == 0:
            entropies = {"mnist": known, **unknown}
            figure = jaxdrop.plots.uncertainty_histograms(
                {name.replace("_", "-"): p.mc_dropout.predictive_entropy for name, p in entropies.items()},
                label="predictive entropy of MC dropout (nats)",
            )
            figure.savefig(workdir / "histograms.png")
        for angle in ANGLES:
            p = known if angle == 0 else ensembles.predict(config, networks, rotate(test.images, angle), seed_key)
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
    measures = {
        "accuracy": metrics.accuracy,
        "NLL": metrics.negative_log_likelihood,
        "ECE": metrics.expected_calibration_error,
    }
    classes = jnp.asarray(labels)
    columns = {
        way: {name: float(measure(probabilities, classes)) for name, measure in measures.items()}
        for way, probabilities in ways.items()
    }
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


def _limited(config: Config, examples: data.Examples, split: str) -> data.Examples:
    """The first examples if they are for the test and not all are asked for."""
    count = config.max_test if split == "test" and config.max_test else None
    return data.Examples(*(part[:count] for part in examples))
