"""The section of the report on the variance of gradients."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import provenance, reason, table


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """The variance of gradients by estimator."""
    columns, config = run["metrics"], run["config"]
    rows = [(name, *(f"{values[name]:.2e}" for values in columns.values())) for name in next(iter(columns.values()))]
    return "\n".join(
        [
            f"## Variance of gradients: 784 - 3 x {config['width']} - 10, {config['dataset']}\n",
            table(("gradient of", *columns), rows),
            f"\nSummed over the weights of a layer, from {config['num_gradients']} gradients each. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )
