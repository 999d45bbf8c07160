"""The section of the report on concrete dropout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common.reporting import columns, provenance, reason, table
from experiments.concrete.picture import against_examples


def picture(run: dict[str, Any]) -> Figure:
    """Rates and uncertainties against the number of examples."""
    return against_examples(run["metrics"])


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Rates and uncertainties against the number of examples."""
    config, fits = run["config"], columns(run["metrics"])
    names = [name for name in next(iter(fits.values())) if not name.endswith("deviation")]
    rows = [(column, *(_spread(values, name) for name in names)) for column, values in fits.items()]
    return "\n".join(
        [
            "## Concrete dropout on a line with noise\n",
            f"![Rates and uncertainties]({link}{path.stem}.png)\n",
            table(("examples", *names), rows),
            f"\nMean ± standard deviation over {config['num_seeds']} networks. The authors' notebook has (V) RMSE "
            "1.82, 1.18, 1.15, 1.15, 1.07, 1.21 and rates of .077, .069, .071, .079, .075, .079 before the first layer "
            f"and .404, .404, .326, .236, .231, .137 before the second. {provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def _spread(values: Mapping[str, float], name: str) -> str:
    spread = f" ± {values[f'{name}, deviation']:.3f}" if f"{name}, deviation" in values else ""
    return f"{values[name]:.3f}{spread}"
