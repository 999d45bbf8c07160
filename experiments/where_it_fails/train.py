"""Two tests that dropout's uncertainty may fail: to grow away from the data, and to be worth an ensemble's cost."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.common.config import check_at_least, check_open_rates, check_positive, check_seeds, check_types
from experiments.common.summary import means_and_errors
from experiments.where_it_fails import equal_cost, line, pictures

SHOWN = {
    "accuracy": "accuracy (higher is better)",
    "NLL": "negative log-likelihood (lower)",
    "ECE": "calibration error (lower)",
    **{f"AUROC, {name}, entropy": f"AUROC, {name} (higher)" for name in equal_cost.STRANGE},
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      line_width: Units of each hidden layer of the networks for the function of one number.
      line_depth: Their hidden layers.
      line_rate: Their rate of dropout.
      line_length_scale: Prior length-scale of their weights.
      line_epochs: Their passes over the examples.
      line_batch_size: Examples in a batch.
      line_learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      line_samples: Passes of MC dropout.
      width: Units of each hidden layer of the networks for digits.
      depth: Their hidden layers.
      rate: Their rate of dropout.
      epochs: Passes over the examples of each member of an ensemble; dropout has `members` times as many.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      members: Networks in every ensemble, and passes of MC dropout for digits.
      num_seeds: Data sets on the line, and networks of each kind for digits.
      seed: Of everything random.
    """

    line_width: int = 100
    line_depth: int = 2
    line_rate: float = 0.1
    line_length_scale: float = 1.0
    line_epochs: int = 600
    line_batch_size: int = 20
    line_learning_rate: float = 3e-3
    line_samples: int = 1000
    width: int = 128
    depth: int = 2
    rate: float = 0.5
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    members: int = 5
    num_seeds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_at_least(self, 1, "line_width", "line_depth", "line_epochs", "line_batch_size", "line_samples")
        check_at_least(self, 1, "width", "depth", "epochs", "batch_size")
        check_at_least(self, 2, "members")
        check_positive(self, "line_length_scale", "line_learning_rate", "learning_rate")
        check_open_rates(self, "line_rate", "rate")
        if self.line_batch_size > line.NUM_EXAMPLES:
            raise ValueError(f"line_batch_size must be at most {line.NUM_EXAMPLES}, got {self.line_batch_size}")
        check_seeds(self)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Does both tests.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder, where the pictures go.

    Returns:
      For each method on the line, and each for digits, means of what `line.measure` and `equal_cost.compare` return,
      over data sets and over tasks, and their standard errors by the same name with "error"; and under "ensemble less
      MC dropout" the mean differences, seed by seed, for digits.
    """
    line_key, cost_key = jax.random.split(jax.random.key(config.seed))
    table_key, network_key = jax.random.split(line_key)
    table = line.draw(table_key, config.num_seeds)
    beliefs = line.believe(_line_settings(config), network_key, table, workdir)
    pictures.line(table, beliefs).savefig(workdir / "line.png")
    on_line = {name: means_and_errors(line.measure(each)) for name, each in beliefs.items()}

    seeds = [
        equal_cost.compare(_cost_settings(config), seed, jax.random.fold_in(cost_key, seed), workdir)
        for seed in range(config.num_seeds)
    ]
    digits = {name: means_and_errors(by_task([scores[name] for scores in seeds])) for name in seeds[0]}
    pictures.equal_cost(digits, SHOWN).savefig(workdir / "equal_cost.png")
    return {**on_line, **digits, equal_cost.DIFFERENCE: means_and_errors(by_task(differences(seeds)))}


def differences(seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> list[dict[str, float]]:
    """By how much each score of the ensemble is above that of MC dropout with as many passes, seed by seed."""
    pairs = ((scores["ensemble"], scores["MC dropout"]) for scores in seeds)
    return [{name: ensemble[name] - dropout[name] for name in ensemble} for ensemble, dropout in pairs]


def by_task(seeds: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Means over the seeds that have the same test pictures, whose scores depend on one another.

    So do, less, those of different tasks, any two of which share six of their eight classes.
    """
    tasks = [seeds[first :: equal_cost.NUM_TASKS] for first in range(min(len(seeds), equal_cost.NUM_TASKS))]
    return [{name: float(np.mean([scores[name] for scores in task])) for name in task[0]} for task in tasks]


def _line_settings(config: Config) -> line.Settings:
    return line.Settings(
        width=config.line_width,
        depth=config.line_depth,
        rate=config.line_rate,
        length_scale=config.line_length_scale,
        epochs=config.line_epochs,
        batch_size=config.line_batch_size,
        learning_rate=config.line_learning_rate,
        members=config.members,
        samples=config.line_samples,
    )


def _cost_settings(config: Config) -> equal_cost.Settings:
    return equal_cost.Settings(
        width=config.width,
        depth=config.depth,
        rate=config.rate,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        members=config.members,
    )
