"""The section of the report on structured Bayesian pruning."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import columns, deployed, differences, provenance, reason, table

# By network: rows of the table in the authors' repository; V.
PUBLISHED = {
    "500-300": (
        ("paper: dense", "1.54", "784-500-300"),
        ("paper: sparse VD", "1.57", "537-217-130"),
        ("paper: pruned", "1.55", "245-160-55"),
    )
}


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and units beside the paper's, and what is left where it is used."""
    metrics, config = run["metrics"], run["config"]
    networks = columns(metrics)
    rows = [
        (
            name,
            f"{values['error %']:.2f}",
            "-".join(f"{value:.0f}" for key, value in values.items() if key.startswith("inputs")),
        )
        for name, values in networks.items()
    ]
    published = PUBLISHED.get(config["network"], ()) if config["dataset"] == "mnist" else ()
    source = " The papers' numbers: the table in the authors' repository; V." if published else ""
    return "\n".join(
        [
            f"## Structured Bayesian pruning: {config['network']}, {config['dataset']}, {config['epochs']} epochs\n",
            table(("network", "test error, %", "inputs of each layer"), [*rows, *published]),
            f"\nOne network. {provenance(path, run, link)}{source}\n",
            *reason(path),
            deployed(networks),
            f"\nLogits of the small network differ from the large one's by {differences(metrics)} at most.\n",
        ]
    )
