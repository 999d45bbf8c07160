"""MC dropout on a UCI regression set by the protocol of Gal's grid search of 2018, beside other methods."""

import dataclasses
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import data
from experiments.common.config import check_at_least, check_one_of, check_positive, check_seed, check_types
from experiments.common.summary import means_and_errors
from experiments.uci import networks as methods
from experiments.uci import prediction, published
from experiments.uci.networks import Method, Networks, Setting
from experiments.uci.prediction import Predictions, best_precision, mixture_log_likelihood
from experiments.uci.training import fit_networks


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment. Width, rates and precisions to choose from are the published ones of each set.

    Attributes:
      dataset: A key of `experiments.common.data.UCI`.
      multiplier: Passes over the examples, as a multiple of the published number of the set: 40, or 20 for protein.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size.
      length_scale: Prior length-scale of the weights.
      num_samples: Dropout samples of each prediction for the test examples.
      num_validation_samples: The same for the validation examples.
      num_members: Networks without noise in an ensemble.
      max_splits: Splits used, the first ones; 0 for all.
      seed: Of everything random.
    """

    dataset: str = "boston"
    multiplier: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    length_scale: float = 0.01
    num_samples: int = 10_000
    num_validation_samples: int = 10_000
    num_members: int = 5
    max_splits: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", tuple(data.UCI))
        check_at_least(self, 1, "multiplier", "batch_size", "num_samples", "num_validation_samples")
        check_at_least(self, 2, "num_members")
        check_positive(self, "learning_rate", "length_scale")
        if self.max_splits < 0 or self.max_splits == 1:
            raise ValueError(f"max_splits must be 0, for all, or at least 2, got {self.max_splits}")
        check_seed(self)


class Part(NamedTuple):
    """Examples to train on and to test on, for each split, standardised by the mean and deviation of the former.

    Attributes:
      x: Features to train on, (splits, examples, features), float32.
      y: Targets to train on, (splits, examples), float32.
      x_test: Features to test on.
      y_test: Targets to test on.
      scale: Standard deviation of the targets, (splits,), float64.
    """

    x: jax.Array
    y: jax.Array
    x_test: jax.Array
    y_test: jax.Array
    scale: np.ndarray


def standardise(table: data.Regression, train: np.ndarray, test: np.ndarray) -> Part:
    """Takes the rows `train` and `test` (splits, examples) of a table; a constant feature becomes 0."""
    x, y = table.x[train], table.y[train]
    x_mean, x_scale = x.mean(1, keepdims=True), x.std(1, keepdims=True)
    x_scale = np.where(x_scale == 0, 1, x_scale)
    y_mean, y_scale = y.mean(1, keepdims=True), y.std(1, keepdims=True)
    return Part(
        jnp.asarray((x - x_mean) / x_scale, jnp.float32),
        jnp.asarray((y - y_mean) / y_scale, jnp.float32),
        jnp.asarray((table.x[test] - x_mean) / x_scale, jnp.float32),
        jnp.asarray((table.y[test] - y_mean) / y_scale, jnp.float32),
        y_scale[:, 0],
    )


def for_validation(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the rows of each split (splits, examples) in two: the first 80 %, rounded down, and the rest."""
    cut = int(0.8 * train.shape[1])
    return train[:, :cut], train[:, cut:]


def grid(table: data.Regression) -> tuple[np.ndarray, np.ndarray]:
    """Rates and precisions of all cells, (cells,): all precisions at the first rate, at the second, and so on."""
    rates, precisions = np.meshgrid(table.rates, table.precisions, indexing="ij")
    return rates.ravel(), precisions.ravel()


def best_cells(log_likelihood: np.ndarray) -> np.ndarray:
    """The cell of the highest log-likelihood of each split, (splits, cells) -> (splits,); of equal ones the first."""
    return np.nan_to_num(log_likelihood, nan=-np.inf).argmax(1)


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains and tests all methods on all splits.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each method the mean over splits of root-mean-square error and log-likelihood on the test examples, in the
      unit of the data, their standard errors and the values of each split; the mean and standard error of the
      difference to the published values, if these are at hand; how far moments are from samples; and what was chosen.
    """
    table = data.load_regression(config.dataset)
    if config.max_splits:
        table = table._replace(train=table.train[: config.max_splits], test=table.test[: config.max_splits])
    study = _Study(config, workdir, table)
    dropout = methods.mc_dropout(table.width, config.length_scale)
    sampled = study.search(dropout, "MC dropout", *grid(table))
    concrete = methods.concrete_dropout(table.width, config.length_scale)
    # The rate is no setting here.
    learned = study.search(concrete, "concrete dropout", np.zeros(len(table.precisions)), table.precisions)
    metrics: dict[str, Any] = {
        "MC dropout": study.scores(sampled.predictions),
        "moments": study.moments(dropout, sampled, covariance=False),
        "moments, covariance": study.moments(dropout, sampled, covariance=True),
        **study.without_noise(),
        "concrete dropout": study.scores(learned.predictions),
    }
    theirs = published.of_each_split(config.dataset) if config.multiplier == published.MULTIPLIER else {}
    if theirs:
        ours = {name: each_split(metrics["MC dropout"], name) for name in theirs}
        differences = summary({name: ours[name] - theirs[name][: len(ours[name])] for name in theirs})
        # Not those of each split: the published values of each are not to be had from a result file.
        metrics["difference"] = {name: value for name, value in differences.items() if "split" not in name}
    settings = sampled.networks.settings
    for name, values in (("rate", settings.rate), ("precision", settings.precision)):
        for value, count in zip(*np.unique(np.asarray(values), return_counts=True), strict=True):
            metrics[f"splits with {name} {value:.4g}"] = int(count)
    for number, rates in enumerate(np.asarray(jax.nn.sigmoid(learned.params["logit_rates"])).T):
        metrics[f"learned rate, layer {number + 1}"] = float(rates.mean())
    return metrics


class _Searched(NamedTuple):
    """The networks of the chosen settings, one for each split, and their predictions for the test examples."""

    params: Any
    networks: Networks
    predictions: Predictions


class _Study:
    """One table, to try methods on."""

    def __init__(self, config: Config, workdir: Path, table: data.Regression) -> None:
        self.config, self.workdir, self.table = config, workdir, table
        self.validation = standardise(table, *for_validation(table.train))
        self.full = standardise(table, table.train, table.test)
        self.splits = np.arange(len(table.train))

    @property
    def test(self) -> tuple[jax.Array, jax.Array]:
        """Features and targets of the test examples."""
        return self.full.x_test, self.full.y_test

    def search(self, method: Method, name: str, rates: np.ndarray, precisions: np.ndarray) -> _Searched:
        """Chooses the setting of each split by validation, and trains with it on all training examples.

        Args:
          method: The kind of network.
          name: Its name.
          rates: Rate of each setting to choose from, (settings,).
          precisions: Precision of each, (settings,).
        """
        config, shape = self.config, (len(self.splits), len(rates))
        tried = (self.splits, np.broadcast_to(rates, shape), np.broadcast_to(precisions, shape))
        params, networks = self._fit(method, f"{name}, validation", self.validation, *tried)
        held_out = (self.validation.x_test, self.validation.y_test)
        predictions = prediction.sample(method, params, networks, *held_out, config.num_validation_samples)
        best = best_cells(np.asarray(predictions.log_likelihood).mean(2))[:, None]
        params, networks = self._fit(method, name, self.full, self.splits, rates[best], precisions[best])
        return _Searched(params, networks, prediction.sample(method, params, networks, *self.test, config.num_samples))

    def moments(self, method: Method, searched: _Searched, *, covariance: bool) -> dict[str, float]:
        """Scores of `jaxdrop.moments` for networks whose samples are at hand, and how far it is from these.

        That is the difference of the means, and of the deviations, divided by the deviation of the samples: the median
        over all test examples.
        """
        p = prediction.propagate(method, searched.params, searched.networks, *self.test, covariance)
        sampled = searched.predictions

        def median(difference: jax.Array) -> float:
            return float(jnp.median(jnp.abs(difference) / sampled.deviation))

        return {
            **self.scores(p),
            "mean off by": median(p.mean - sampled.mean),
            "deviation off by": median(p.deviation - sampled.deviation),
        }

    def without_noise(self) -> dict[str, dict[str, float]]:
        """Scores of one network without noise, and of an ensemble of them as a mixture.

        The precision of each is the one that makes the validation examples of the split likeliest, for networks
        trained on the others. Weight decay is that of the middle precision to choose from, which hardly matters.
        """
        members, precisions = self.config.num_members, self.table.precisions
        method = methods.deterministic(self.table.width, self.config.length_scale)
        splits = np.repeat(self.splits, members)
        settings = (np.zeros((len(splits), 1)), np.full((len(splits), 1), precisions[len(precisions) // 2]))
        means = []
        for name, part in (("deterministic, validation", self.validation), ("deterministic", self.full)):
            params, networks = self._fit(method, name, part, splits, *settings)
            # Without noise one sample is the prediction.
            predictions = prediction.sample(method, params, networks, part.x_test, part.y_test, 1)
            means.append(np.asarray(predictions.mean, float).reshape(len(self.splits), members, -1))
        y_validation, y_test = np.asarray(self.validation.y_test, float), np.asarray(self.full.y_test, float)

        def scores(number: int) -> dict[str, float]:
            tried, final = (mean[:, :number] for mean in means)
            likelihoods = []
            for split, scale in zip(self.splits, self.full.scale, strict=True):
                # In the unit of the data: the two parts are not standardised alike.
                precision = best_precision(tried[split], y_validation[split]) / self.validation.scale[split] ** 2
                likelihoods.append(mixture_log_likelihood(final[split], y_test[split], precision, scale))
            return summary({"RMSE": self._rmse(final.mean(1)), "log-likelihood": np.array(likelihoods)})

        return {"deterministic": scores(1), "ensemble": scores(members)}

    def scores(self, predictions: Predictions) -> dict[str, float]:
        """Error and likelihood for the test examples, with standard errors and the values of each split."""
        # One setting for each split.
        mean, likelihood = (np.asarray(x, float)[:, 0] for x in (predictions.mean, predictions.log_likelihood))
        return summary({"RMSE": self._rmse(mean), "log-likelihood": likelihood.mean(1)})

    def _rmse(self, means: np.ndarray) -> np.ndarray:
        return self.full.scale * np.sqrt(np.square(means - np.asarray(self.full.y_test, float)).mean(1))

    def _fit(
        self, method: Method, name: str, part: Part, splits: np.ndarray, rates: np.ndarray, precisions: np.ndarray
    ) -> tuple[Any, Networks]:
        key = jax.random.fold_in(jax.random.key(self.config.seed), zlib.crc32(name.encode()))
        values = (rates, precisions, np.broadcast_to(part.scale[splits][:, None], rates.shape))
        settings = Setting(*(jnp.asarray(value, jnp.float32) for value in values))
        networks = Networks(jax.random.split(key, len(splits)), jnp.asarray(splits), settings)
        params = fit_networks(
            method,
            networks,
            part.x,
            part.y,
            epochs=self.config.multiplier * self.table.epochs,
            batch_size=self.config.batch_size,
            learning_rate=self.config.learning_rate,
            workdir=self.workdir,
            name=name,
        )
        return params, networks


def summary(values: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean and standard error of scores (splits,) by name, and the score of each split."""
    splits = [dict(zip(values, scores, strict=True)) for scores in zip(*values.values(), strict=True)]
    columns = means_and_errors(splits)
    for name, scores in values.items():
        columns.update({f"{name}, split {number}": float(score) for number, score in enumerate(scores)})
    return columns


def each_split(scores: dict[str, float], name: str) -> np.ndarray:
    """The scores (splits,) of a name, which `summary` made a part of its columns."""
    return np.array([value for key, value in scores.items() if key.startswith(f"{name}, split")])
