"""Accuracy against the fraction of cases referred, for nine ways to choose whom to refer."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.datasets
from sklearn.model_selection import train_test_split

from experiments.common import data, ensembles
from experiments.common.config import check_data_set
from experiments.common.results import sign_of_life
from experiments.common.summary import means_and_errors, with_differences
from experiments.referral.picture import curves
from jaxdrop import metrics

DATASETS = ("breast_cancer", "fashion_mnist")
REFERRED = tuple(range(0, 55, 5))
MALIGNANT = 0


@dataclasses.dataclass(frozen=True)
class Config(ensembles.Config):
    """Settings of the experiment.

    Attributes:
      dataset: One of `DATASETS`, or the path of an .npz file; see `experiments.common.own_data`.
    """

    dataset: str = "breast_cancer"

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        super().__post_init__()
        check_data_set(self, "dataset", DATASETS)


class Cases(NamedTuple):
    """Inputs and labels of each split; of breast cancer with a leading axis of seeds.

    Attributes:
      train: Inputs (cases, ...), float32, and classes (cases,), int32.
      validation: The same.
      test: The same.
    """

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def breast_cancer(seed: int, num_seeds: int) -> Cases:
    """Splits scikit-learn's breast-cancer data at random, for each seed: 343 cases to train on, 113 and 113 held out.

    Each part has the same share of malignant cases. Features are standardised by mean and deviation of the training
    cases.
    """
    table: Any = sklearn.datasets.load_breast_cancer()
    seeds = np.random.SeedSequence(seed).generate_state(num_seeds)
    splits = [_split(table.data, table.target.astype(np.int32), int(each)) for each in seeds]
    return jax.tree.map(lambda *parts: np.stack(parts), *splits)


def _split(x: np.ndarray, labels: np.ndarray, seed: int) -> Cases:
    num_test = len(labels) // 5
    rest, test = train_test_split(np.arange(len(labels)), test_size=num_test, stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=num_test, stratify=labels[rest], random_state=seed)
    mean, deviation = x[train].mean(0), x[train].std(0)
    return Cases(
        *((((x[rows] - mean) / deviation).astype(np.float32), labels[rows]) for rows in (train, validation, test))
    )


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains the networks of all seeds, and refers what they are least certain of.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each way to choose whom to refer, means over seeds and their standard errors: of the accuracy in percent on
      the cases that are kept, of the area under the risk-coverage curve, of its excess over a perfect ranking, and of
      the differences of all to those of the softmax's confidence, seed by seed. Of breast cancer also how many
      malignant test cases are kept and called benign.
    """
    medical = config.dataset == "breast_cancer"
    if medical:
        cases, num_classes = breast_cancer(config.seed, config.num_seeds), 2
    else:
        cases = Cases(*(data.load(config.dataset, split) for split in data.SPLITS))
        num_classes = data.num_classes(*cases)
    fit_key, key = jax.random.split(jax.random.key(config.seed))
    variables = ensembles.fit_networks(
        config, fit_key, cases.train, cases.validation, workdir, num_classes=num_classes, own_examples=medical
    )
    scores: dict[str, list[dict[str, float]]] = {}
    labels = cases.test[1]
    for seed in range(config.num_seeds):
        inputs, labels = (part[seed] for part in cases.test) if medical else cases.test
        networks = jax.tree.map(lambda x, seed=seed: x[seed], variables)
        p = ensembles.predict(config, networks, inputs, jax.random.fold_in(key, seed), num_classes=num_classes)
        referred = {
            name: referral(*ranked, labels, MALIGNANT if medical else None)
            for name, ranked in ensembles.uncertainties(p).items()
        }
        for name, values in with_differences(referred, ensembles.BASELINE).items():
            scores.setdefault(name, []).append(values)
        sign_of_life(workdir)
    held_out = cases.test[1].shape[1] / cases.train[1].shape[1] if medical else 0.0
    results: dict[str, Any] = {name: means_and_errors(values, held_out=held_out) for name, values in scores.items()}
    curves(results).savefig(workdir / "referral.png")
    results["test cases"] = len(labels)
    if medical:
        results["malignant test cases"] = int((labels == MALIGNANT).sum())
    return results


def referral(
    uncertainty: jax.Array, probabilities: jax.Array, labels: np.ndarray, to_find: int | None = None
) -> dict[str, float]:
    """Scores of the cases that are kept when the least certain ones are referred.

    Args:
      uncertainty: What to rank by, (cases,).
      probabilities: (cases, classes).
      labels: (cases,).
      to_find: The class whose cases are missed if they are kept and called something else; None for no such count.
    """
    wrong = probabilities.argmax(-1) != jnp.asarray(labels)
    kept = {share: len(labels) - len(labels) * share // 100 for share in REFERRED}
    curve = metrics.risk_coverage(uncertainty, wrong)
    scores = {f"accuracy %, {share} % referred": float(100 * (1 - curve.risk[k - 1])) for share, k in kept.items()}
    scores["AURC"] = float(curve.aurc)
    scores["excess AURC"] = float(metrics.excess_aurc(uncertainty, wrong))
    if to_find is not None:
        # The mean over those kept, times their number: equally uncertain cases count with their share.
        missed = metrics.risk_coverage(uncertainty, wrong & (jnp.asarray(labels) == to_find)).risk
        scores |= {f"missed, {share} % referred": float(missed[k - 1] * k) for share, k in kept.items()}
    return scores
