"""The sections of the report on anomalies and shift."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common import ensembles
from experiments.common.config import changes
from experiments.common.reporting import provenance, reason, table, with_error
from experiments.shift.cifar10 import Config
from experiments.shift.picture import repairs, rotation
from experiments.shift.train import SCORES, called

WAYS = ("deterministic", "MC dropout", "ensemble")
OTHER_WAYS = ("deterministic", "ensemble")
DIGITS = {"accuracy": 4, "NLL": 3, "ECE": 4}

# uncertainty-baselines' README: accuracy in percent, NLL and calibration error of a Wide ResNet 28-10, 200 epochs.
PUBLISHED = {
    "no dropout": ("96.0", "0.159", "0.0231"),
    "dropout": ("96.1", "0.145", "0.019"),
    "+ repeated examples": ("96.2", "0.116", "0.005"),
}

# Fields that have no part in what is compared with published values.
FREE = {"variants", "num_seeds", "seed"}


def picture(run: dict[str, Any]) -> Figure:
    """The picture of either experiment."""
    return repairs(run["metrics"]) if "variants" in run["config"] else rotation(run["metrics"])


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """The section of either experiment."""
    return _cifar10(path, run, link) if "variants" in run["config"] else _mnist(path, run, link)


def _mnist(path: Path, run: dict[str, Any], link: str) -> str:
    metrics, config = run["metrics"], run["config"]
    known = "MNIST" if config["dataset"] == "mnist" else called(config["dataset"])
    others = [name.removeprefix("AUROC, ") for name in metrics[ensembles.BASELINE] if name.startswith("AUROC")]
    others = [name for name in others if not name.endswith((", error", ", difference"))]
    rows = [
        (
            measure,
            *(with_error(column, f"{score}, {other}", 2, 100) for other in others for score in SCORES),
            *(with_error(column, f"AUROC, {other}, difference", 2, 100) for other in others),
        )
        for measure, column in metrics.items()
        if "AUROC, " + others[0] in column
    ]
    heads = (
        "measure",
        *(f"{other.replace('_', '-')}: {score}" for other in others for score in SCORES),
        *(f"{other.replace('_', '-')}: AUROC minus that of {ensembles.BASELINE}" for other in others),
    )
    turned = {name: column for name, column in metrics.items() if name.endswith("°")}
    angles = [
        (
            name,
            *(f"{100 * column[f'accuracy, {way}']:.1f}" for way in WAYS),
            *(f"{column[f'NLL, {way}']:.3f}" for way in WAYS),
            *(f"{column[f'ECE, {way}']:.3f}" for way in WAYS),
            *(f"{column[name]:.3f}" for name in ("predictive entropy", "mutual information")),
        )
        for name, column in turned.items()
    ]
    differences = {f"{score}, difference, {way}": digits for score, digits in DIGITS.items() for way in OTHER_WAYS}
    compared = [
        (name, *(with_error(column, difference, digits) for difference, digits in differences.items()))
        for name, column in turned.items()
    ]
    return "\n".join(
        [
            f"## Anomalies: other pictures told from {known}'s\n",
            table(heads, rows),
            f"\nIn percent, mean ± standard error over {config['num_seeds']} seeds, of "
            f"{_how_many(config)} test pictures; the other pictures are the "
            f"positives. The first two measures are of one pass without dropout, the last two of the ensemble, those "
            f"between of {config['num_samples']} passes with dropout; the ensemble has {config['num_members']} "
            f"networks trained with dropout, which predict without. {provenance(path, run, link)}\n",
            *reason(path),
            f"## Shift: turned {'digits' if known == 'MNIST' else 'pictures'} of {known}\n",
            f"![Scores against the angle]({link}{path.stem}.png)\n",
            table(
                (
                    "angle",
                    *(f"accuracy %, {way}" for way in WAYS),
                    *(f"NLL, {way}" for way in WAYS),
                    *(f"ECE, {way}" for way in WAYS),
                    "entropy, MC dropout",
                    "mutual information",
                ),
                angles,
            ),
            "\nThe same networks; bands in the picture are one standard error to each side. What the other ways have "
            "more than MC dropout, seed by seed:\n",
            table(("angle", *(f"{score}: {way} minus MC dropout" for score in DIGITS for way in OTHER_WAYS)), compared),
            "",
        ]
    )


def _cifar10(path: Path, run: dict[str, Any], link: str) -> str:
    metrics, config = run["metrics"], run["config"]
    scores = {"accuracy %": 2, "NLL": 3, "ECE": 4}
    published = changes(Config(), Config(**config)).keys() <= FREE
    rows = [
        (
            name,
            *(with_error(column, score, digits) for score, digits in scores.items()),
            *(with_error(column, f"{score}, without noise", digits) for score, digits in scores.items()),
            *(PUBLISHED.get(name, ("", "", "")) if published else ()),
        )
        for name, column in metrics.items()
    ]
    heads = ["training", *scores, *(f"{score}, no noise" for score in scores)]
    if published:
        heads += [f"{score}, uncertainty-baselines (V)" for score in scores]
    compressed = (
        " The pictures are compressed as JPEG, so that no number compares with published ones."
        if config["dataset"] == "cifar10_jpeg"
        else ""
    )
    size = f"{config['max_examples']} training examples" if config["max_examples"] else "all training examples"
    return "\n".join(
        [
            f"## Repairs of MC dropout on CIFAR-10: Wide ResNet {config['depth']}-{config['width']}, {size}, "
            f"{config['epochs']} epochs\n",
            f"![Accuracy, likelihood and calibration of each variant]({link}{path.stem}.png)\n",
            table(heads, rows),
            f"\n{_how_many(config).capitalize()} {'validation' if config['validate'] else 'test'} examples. "
            f"Mean ± standard error over {config['num_seeds']} networks, with {config['num_samples']} passes of MC "
            f"dropout at rate {config['rate']:g} where there is dropout; small batches and repeated examples have "
            f"{config['num_repeats']} times as many updates.{compressed} {provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def _how_many(config: dict[str, Any]) -> str:
    return f"the first {config['max_test']}" if config["max_test"] else "all"
