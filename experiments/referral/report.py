"""The section of the report on referral."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common.reporting import columns, provenance, reason, table, with_error
from experiments.referral.picture import curves

NAMES = {"breast_cancer": "breast cancer", "fashion_mnist": "Fashion-MNIST"}
SHARES = (0, 10, 20, 30, 40, 50)


def picture(run: dict[str, Any]) -> Figure:
    """Accuracy against the fraction that is referred."""
    return curves(run["metrics"])


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Accuracy by the share referred, and what is missed."""
    metrics, config = run["metrics"], run["config"]
    scores = columns(metrics)
    heads = [
        "ranked by",
        *(f"{share} %" for share in SHARES),
        "AURC",
        "excess",
        f"AURC minus that of {next(iter(scores))}",
    ]
    rows = [
        (
            name,
            *(with_error(column, f"accuracy %, {share} % referred", 2) for share in SHARES),
            *(with_error(column, number, 2, 1000) for number in ("AURC", "excess AURC", "AURC, difference")),
        )
        for name, column in scores.items()
    ]
    of = "seeds" if config["dataset"] != "breast_cancer" else "random splits, corrected for what these share"
    parts = [
        f"## Referral: {NAMES.get(config['dataset'], path.stem)}\n",
        f"![Accuracy against the share of cases referred]({link}{path.stem}.png)\n",
        table(heads, rows),
        f"\nAccuracy in percent on those of {metrics['test cases']} test cases that are not referred, and areas under "
        f"the risk-coverage curve, times 1000: mean ± standard error over {config['num_seeds']} {of}. Confidence is "
        f"the largest probability, the predictive entropy that of MC dropout, whose {config['num_samples']} passes the "
        f"mutual information is of too. The ensemble has {config['num_members']} networks trained with dropout, which "
        f"predict without. {provenance(path, run, link)}\n",
        *reason(path),
    ]
    if "malignant test cases" in metrics:
        rows = [
            (name, *(with_error(column, f"missed, {share} % referred", 2) for share in SHARES))
            for name, column in scores.items()
        ]
        parts += [
            table(heads[: 1 + len(SHARES)], rows),
            f"\nOf {metrics['malignant test cases']} malignant cases, those that are kept and called benign.\n",
        ]
    return "\n".join(parts)
