"""The section of the report on the classification of text."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import provenance, reason, table


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and likelihood of each method with few and with many labels."""
    rows = [
        (
            name,
            *(
                cell
                for size in ("small", "large")
                for cell in (
                    f"{values[f'error %, {size}']:.2f} ± {values[f'standard error, {size}']:.2f}",
                    f"{values[f'NLL, {size}']:.3f}",
                )
            ),
        )
        for name, values in run["metrics"].items()
    ]
    config = run["config"]
    small, large = config["small"], config["large"] or "all 60614"
    heads = ("method", f"test error, %, {small} phrases", "NLL", f"test error, %, {large} phrases", "NLL")
    return "\n".join(
        [
            f"## Sentiment by a small transformer, {config['num_layers']} layers of {config['features']}\n",
            table(heads, rows),
            f"\nMean ± standard error over {config['num_seeds']} networks, on the 1821 test sentences of SST-2. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )
