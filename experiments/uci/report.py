"""The section of the report on MC dropout for regression."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.config import changes
from experiments.common.reporting import columns, provenance, reason, table
from experiments.uci.published import MC_DROPOUT, MULTIPLIER, Published
from experiments.uci.train import Config

NAMES = {
    "boston": "Boston housing",
    "concrete": "concrete strength",
    "energy": "energy efficiency",
    "kin8nm": "kin8nm",
    "naval": "naval propulsion",
    "power": "power plant",
    "protein": "protein structure",
    "wine": "red wine quality",
    "yacht": "yacht hydrodynamics",
}

# Fields that have no part in what is compared with published values.
FREE = {"num_validation_samples", "num_members", "seed"}


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and likelihood of each method on one set, beside the published ones of MC dropout."""
    metrics, config = run["metrics"], run["config"]
    methods = {name: values for name, values in columns(metrics).items() if name != "difference"}
    scores = {name: _score(values) for name, values in methods.items()}
    published = MC_DROPOUT[config["dataset"]]
    # A tenth of a standard error, so that what is rounded away never matters.
    digits = max(2, *(math.ceil(1 - math.log10(max(score.rmse_error, 1e-9))) for score in scores.values()))
    labels = {"ensemble": f"ensemble of {config['num_members']}"}
    rows = [(labels.get(name) or name, *_cells(score, digits)) for name, score in scores.items()]
    comparison = []
    if changes(Config(config["dataset"], MULTIPLIER), Config(**config)).keys() <= FREE:
        rows.insert(1, ("published: MC dropout (V)", *_cells(published, digits)))
        comparison = [_agreement(scores["MC dropout"], published, metrics.get("difference"))]
    rates, precisions = (_chosen(metrics, setting) for setting in ("rate", "precision"))
    errors = [
        f"{metrics[name]['mean off by']:.3f} and {metrics[name]['deviation off by']:.3f}"
        for name in ("moments", "moments, covariance")
    ]
    return "\n".join(
        [
            f"## MC dropout for regression: {NAMES[config['dataset']]}, {config['multiplier']}x epochs\n",
            table(("method", "test RMSE", "test log-likelihood"), rows),
            f"\nMean ± standard error over {sum(rates.values())} splits. Chosen by validation: rate {_listed(rates)}; "
            f"precision {_listed(precisions)} splits. Concrete dropout learned rates of "
            f"{metrics['learned rate, layer 1']:.3f} and {metrics['learned rate, layer 2']:.3f}, on average. Without "
            "noise the precision is not from the grid, but the one under which the validation examples are likeliest. "
            f"{provenance(path, run, link)}\n",
            *comparison,
            f"Moments against {config['num_samples']} samples, at the median test example and in standard deviations "
            f"of the samples: mean and deviation are off by {errors[0]}, with covariances by {errors[1]}.\n",
            *reason(path),
        ]
    )


def _score(values: Mapping[str, float]) -> Published:
    names = ("RMSE", "RMSE, error", "log-likelihood", "log-likelihood, error")
    return Published(*(values[name] for name in names))


def _cells(score: Published, digits: int) -> tuple[str, str]:
    return (
        f"{score.rmse:.{digits}f} ± {score.rmse_error:.{digits}f}",
        f"{score.log_likelihood:.3f} ± {score.log_likelihood_error:.3f}",
    )


def _chosen(metrics: dict[str, Any], setting: str) -> dict[str, int]:
    """In how many splits each value of a setting was chosen."""
    prefix = f"splits with {setting} "
    return {name.removeprefix(prefix): count for name, count in metrics.items() if name.startswith(prefix)}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{value} in {count}" for value, count in counts.items())


def _agreement(ours: Published, theirs: Published, difference: dict[str, float] | None) -> str:
    """Whether MC dropout is within two combined standard errors of the published numbers."""
    pairs = {
        "RMSE": (ours.rmse - theirs.rmse, ours.rmse_error, theirs.rmse_error),
        "log-likelihood": (
            ours.log_likelihood - theirs.log_likelihood,
            ours.log_likelihood_error,
            theirs.log_likelihood_error,
        ),
    }
    verdicts = [
        f"{name} {'yes' if abs(gap) <= 2 * math.hypot(*errors) else 'no'}" for name, (gap, *errors) in pairs.items()
    ]
    text = f"MC dropout within two combined standard errors of the published numbers: {', '.join(verdicts)}."
    if difference:
        gaps = [f"{name} {difference[name]:+.3g} ± {difference[f'{name}, error']:.2g}" for name in pairs]
        text += f" Ours minus theirs, split by split: {', '.join(gaps)}."
    return f"{text}\n"
