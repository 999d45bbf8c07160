"""The section of the report on estimators of what a network with dropout predicts."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import provenance, reason, table

HEADS = ("masks, samples", "probabilities", "gain", "mutual information", "bias", "jackknifed", "bias")


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Errors by the number of samples, and moments against samples."""
    metrics, config = run["metrics"], run["config"]
    sampled = {name: values for name, values in metrics.items() if name.endswith(" samples")}
    rows = [(name.removesuffix(" samples"), *_cells(values, sampled, name)) for name, values in sampled.items()]
    moments = [
        (
            name,
            f"{100 * metrics[name]['mean off by']:.1f}",
            f"{100 * metrics[name]['deviation off by']:.1f}",
            f"1/{1 / metrics[name]['time / 100 samples']:.1f}",
        )
        for name in ("moments", "moments, covariance")
        if name in metrics
    ]
    return "\n".join(
        [
            f"## Errors of estimators: {config['network']}, {config['dataset']}, rate {config['rate']:g}\n",
            table(HEADS, rows),
            f"\nRoot-mean-square errors, times 1000, over {config['num_test']} test examples and {config['repeats']} "
            f"predictions each, against {config['num_reference']} samples; the gain is how many times fewer samples "
            "than independent ones give the same error of the probabilities. The pass without noise is off by "
            f"{1000 * metrics['weight scaling']['probabilities']:.1f}. {provenance(path, run, link)}\n",
            *reason(path),
            table(("", "mean off by, % of the deviation", "deviation off by, %", "time of 100 samples"), moments),
            "\nMoments of the logits: medians over test examples and logits.\n",
        ]
    )


def _cells(values: dict[str, float], sampled: dict[str, Any], name: str) -> list[str]:
    plain = sampled[f"independent, {name.partition(', ')[2]}"]
    names = ("information", "information, bias", "jackknifed information", "jackknifed information, bias")
    gain = (plain["probabilities"] / values["probabilities"]) ** 2
    return [f"{1000 * values['probabilities']:.2f}", f"{gain:.2f}", *(f"{1000 * values[n]:.2f}" for n in names)]
