"""The section of the report on fine-tuning."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import columns, provenance, reason, table


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and likelihood at each rate, from pre-trained and from new parameters."""
    metrics = columns(run["metrics"])
    starts = ("pre-trained", "new")
    rows = [
        (
            name.removeprefix("rate "),
            *(f"{values[f'error %, {start}']:.2f} ± {values[f'standard error, {start}']:.2f}" for start in starts),
            *(f"{values[f'NLL, {start}']:.3f}" for start in starts),
        )
        for name, values in metrics.items()
    ]
    config = run["config"]
    heads = ("rate", "test error, %, pre-trained", "not pre-trained", "NLL, pre-trained", "not pre-trained")
    return "\n".join(
        [
            f"## Fine-tuning on {config['labelled']} labelled sentences\n",
            table(heads, rows),
            f"\nMean ± standard error over {config['num_seeds']} networks, on the 1821 test sentences of SST-2. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )
