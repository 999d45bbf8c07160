"""The section of the report on MC dropout on digits."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import provenance, table


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Scores of each way to predict."""
    metrics = run["metrics"]
    names = list(metrics["deterministic"])
    rows = ((name, *(f"{column[name]:.4f}" for column in metrics.values())) for name in names)
    return "\n".join(
        [
            f"## MC dropout on {path.stem.replace('_', '-')}\n",
            table(("", *metrics), rows),
            f"\nOne network. {provenance(path, run, link)}\n",
        ]
    )
