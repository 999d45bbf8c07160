"""The section of the report on sparse variational dropout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.reporting import columns, deployed, differences, provenance, reason, table

# By network: rows of the papers' tables in the authors' repositories; V.
PUBLISHED = {
    "300-100": (
        ("paper: dense", "1.64", "", "", "", "1"),
        ("paper: magnitude (Han et al. 2015)", "1.59", "", "", "92.0 - 91.0 - 74.0", "12"),
        ("paper: sparse VD", "1.92", "", "", "98.9 - 97.2 - 62.0", "68"),
    ),
    "lenet5": (
        ("paper: dense", "0.80", "", "", "", "1"),
        ("paper: magnitude (Han et al. 2015)", "0.77", "", "", "34 - 88 - 92.0 - 81", "12"),
        ("paper: sparse VD", "0.75", "", "", "67 - 98 - 99.8 - 95", "280"),
    ),
}


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and sparsity beside the paper's, and what is left where it is used."""
    metrics, config = run["metrics"], run["config"]
    kinds = {name: values for name, values in metrics.items() if "compression" in columns(metrics).get(name, {})}
    rows = [
        (
            "dense, with dropout" if name == "dense" and config["dropout_rate"] else name,
            _with_error(values),
            f"{values['NLL']:.3f}",
            f"{values['training error %']:.2f}",
            " - ".join(f"{value:.1f}" for key, value in values.items() if key.startswith("sparsity")),
            f"{values['compression']:.0f}",
        )
        for name, values in kinds.items()
    ]
    labels = ", permuted labels" if config["random_labels"] else ""
    published = () if labels or config["dataset"] != "mnist" else PUBLISHED.get(config["network"], ())
    source = " The papers' numbers: the table in the authors' repository; V." if published else ""
    heads = ("network", "test error, %", "NLL", "training error, %", "sparsity by layer, %", "compression")
    number = config["num_seeds"]
    networks = "One network" if number == 1 else f"Mean of {number} networks"
    title = f"{config['network']}, {config['dataset']}{labels}, {config['epochs']} epochs"
    return "\n".join(
        [
            f"## Sparse variational dropout: {title}\n",
            table(heads, [*rows, *published]),
            f"\n{networks}. {provenance(path, run, link)}{source}\n",
            *reason(path),
            deployed({name: values for name, values in columns(metrics).items() if name.startswith("deployed")}),
            f"\nLogits of the small networks differ from the large one's by {differences(metrics)} at most.\n",
        ]
    )


def _with_error(values: Mapping[str, float]) -> str:
    error = f" ± {values['standard error']:.2f}" if "standard error" in values else ""
    return f"{values['error %']:.2f}{error}"
