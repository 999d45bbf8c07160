"""Bayesian optimisation by networks with dropout, beside a Gaussian process and random search."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.bayesian_optimisation import gaussian_process, network
from experiments.bayesian_optimisation.network import EXPECTED_IMPROVEMENT, THOMPSON, Settings
from experiments.bayesian_optimisation.objectives import OBJECTIVES
from experiments.bayesian_optimisation.picture import regrets
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_open_rates,
    check_positive,
    check_seed,
    check_types,
    names,
)
from experiments.common.results import sign_of_life, write_json

RANDOM, GAUSSIAN_PROCESS = "random", "Gaussian process, EI"
METHODS = (RANDOM, GAUSSIAN_PROCESS, THOMPSON, EXPECTED_IMPROVEMENT)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      objective: A key of `OBJECTIVES`.
      methods: Methods, separated by semicolons, or "all".
      num_initial: Random points that all methods begin with.
      num_evaluations: Evaluations in all.
      width: Units of each hidden layer of the network.
      depth: Hidden layers.
      rate: Probability of dropping a hidden unit.
      steps: Adam's steps for a new network after each evaluation.
      learning_rate: Adam's step size.
      num_samples: Dropout samples of which the expected improvement is the mean.
      num_candidates: Points where a proposal is looked for.
      num_starts: How many of the best of them go on by gradient steps.
      num_ascent_steps: Of these steps, for the network.
      num_seeds: Runs of each method.
      seed: Of everything random.
    """

    objective: str = "branin"
    methods: str = "all"
    num_initial: int = 5
    num_evaluations: int = 50
    width: int = 64
    depth: int = 3
    rate: float = 0.1
    steps: int = 500
    learning_rate: float = 5e-3
    num_samples: int = 50
    num_candidates: int = 1000
    num_starts: int = 5
    num_ascent_steps: int = 50
    num_seeds: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "objective", tuple(OBJECTIVES))
        names("methods", self.methods, METHODS)
        check_at_least(self, 2, "num_initial")
        check_at_least(self, self.num_initial + 1, "num_evaluations")
        check_at_least(self, 1, "width", "depth", "steps", "num_samples", "num_starts", "num_ascent_steps")
        check_at_least(self, max(4, self.num_starts), "num_candidates")
        check_open_rates(self, "rate")
        check_positive(self, "learning_rate")
        check_at_least(self, 1, "num_seeds")
        check_seed(self)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Minimises the objective by each method, from the same points.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder. `evaluations` in it has a file for each method.

    Returns:
      For each method, of the simple regret in the end: the least value found, less the least there is: median and
      quartiles over runs, and the median after half of the evaluations; the share of runs that end below random search
      of the same number; how far, in the unit cube, a point of the second half is from the nearest before it (the
      median); the median and quartiles after each evaluation; and each run's in the end, in order.
    """
    (workdir / "evaluations").mkdir(exist_ok=True)
    objective = OBJECTIVES[config.objective]
    found = {name: _evaluate(config, name, workdir) for name in names("methods", config.methods, METHODS)}
    regret = {name: np.minimum.accumulate(values, 1) - objective.minimum for name, (_, values) in found.items()}
    results = {
        name: {"median step": median_step(found[name][0]), **summary(values, regret.get(RANDOM))}
        for name, values in regret.items()
    }
    regrets(results, config.num_initial).savefig(workdir / "regret.png")
    return results


def summary(regret: np.ndarray, at_random: np.ndarray | None) -> dict[str, Any]:
    """What `run` returns for one method, from the regret of each run after each evaluation, (runs, evaluations)."""
    lower, median, upper = np.quantile(regret, [0.25, 0.5, 0.75], axis=0)
    values = {
        "median regret": float(median[-1]),
        "lower quartile": float(lower[-1]),
        "upper quartile": float(upper[-1]),
        "median after half": float(median[regret.shape[1] // 2 - 1]),
    }
    if at_random is not None and at_random is not regret:
        values["runs below random"] = float(np.mean(regret[:, -1] < at_random[:, -1]))
    curves = {"medians": median.tolist(), "lower quartiles": lower.tolist(), "upper quartiles": upper.tolist()}
    return {**values, **curves, "regrets": np.sort(regret[:, -1]).tolist()}


def median_step(points: np.ndarray) -> float:
    """The median distance of the points (runs, evaluations, dims) of the second half to the nearest before them."""
    half = points.shape[1] // 2
    steps = [np.linalg.norm(points[:, :n] - points[:, n, None], axis=-1).min(1) for n in range(half, points.shape[1])]
    return float(np.median(steps))


def _evaluate(config: Config, name: str, workdir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Evaluates the objective at one point after another.

    Returns:
      Points (runs, evaluations, dims), and values (runs, evaluations).
    """
    objective = OBJECTIVES[config.objective]
    path = workdir / "evaluations" / f"{name}.json"
    # One key for each run, and for each of its evaluations.
    keys = jax.random.split(jax.random.key(config.seed), config.num_seeds)
    points = np.zeros((config.num_seeds, config.num_evaluations, objective.dims))
    values = np.zeros((config.num_seeds, config.num_evaluations))
    done = 0
    if path.exists():
        known = json.loads(path.read_text())
        done = len(known["values"][0])
        points[:, :done], values[:, :done] = known["points"], known["values"]
    propose = _proposals(config, name)
    progress = tqdm(range(done, config.num_evaluations), name, initial=done, unit="evaluation", disable=None)
    for number in progress:
        one_each = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
        is_initial = number < config.num_initial
        chosen = _uniform(one_each, objective.dims) if is_initial else propose(one_each, points, values, number)
        points[:, number], values[:, number] = chosen, objective.evaluate(chosen)
        if not np.isfinite(values[:, number]).all():
            raise ValueError(f"{config.objective} must be finite, got {values[:, number]} at {chosen}")
        write_json(path, {"points": points[:, : number + 1].tolist(), "values": values[:, : number + 1].tolist()})
        sign_of_life(workdir)
    return points, values


def _uniform(keys: jax.Array, dims: int) -> np.ndarray:
    return np.asarray(jax.vmap(lambda key: jax.random.uniform(key, (dims,)))(keys), float)


# (key of each run, points, values, evaluations so far) -> next points
_Proposals = Callable[[jax.Array, np.ndarray, np.ndarray, int], np.ndarray]


def _proposals(config: Config, name: str) -> _Proposals:
    if name == RANDOM:
        return lambda keys, points, values, number: _uniform(keys, points.shape[-1])
    if name == GAUSSIAN_PROCESS:
        return lambda keys, points, values, number: np.stack(
            [
                gaussian_process.propose(
                    keys[run],
                    points[run, :number],
                    values[run, :number],
                    num_candidates=config.num_candidates,
                    num_starts=config.num_starts,
                )
                for run in range(len(points))
            ]
        )
    settings = Settings(**{field: getattr(config, field) for field in Settings._fields})
    return lambda keys, points, values, number: np.asarray(
        network.propose(name, settings, keys, jnp.asarray(points, jnp.float32), _standardised(values, number), number),
        float,
    )


def _standardised(values: np.ndarray, number: int) -> jax.Array:
    """Values less their mean, over their deviation, as far as they are known, and 0 after that."""
    known = values[:, :number]
    scaled = np.zeros(values.shape, np.float32)
    deviation = known.std(1, keepdims=True)
    scaled[:, :number] = (known - known.mean(1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    return jnp.asarray(scaled)
