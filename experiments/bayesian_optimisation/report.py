"""The section of the report on Bayesian optimisation."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.bayesian_optimisation.picture import regrets
from experiments.common.reporting import provenance, reason, table

NAMES = {"branin": "Branin function, 2 variables", "hartmann6": "Hartmann function, 6 variables"}


def picture(run: dict[str, Any]) -> Figure:
    """Regret against the number of evaluations."""
    return regrets(run["metrics"], run["config"]["num_initial"])


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Simple regret of each method, and the curves."""
    metrics, config = run["metrics"], run["config"]
    total = config["num_evaluations"]
    rows = [
        (
            name,
            f"{values['median after half']:.2g}",
            f"{values['median regret']:.2g}",
            f"{values['lower quartile']:.2g} – {values['upper quartile']:.2g}",
            f"{100 * values['runs below random']:.0f} %" if "runs below random" in values else "",
            f"{values['median step']:.2g}",
        )
        for name, values in metrics.items()
    ]
    heads = ("method", f"regret after {total // 2}", f"after {total}", "quartiles", "runs below random search", "step")
    return "\n".join(
        [
            f"## Bayesian optimisation: {NAMES.get(config['objective'], config['objective'])}\n",
            f"![Regret against evaluations]({link}{path.stem}.png)\n",
            table(heads, rows),
            f"\nMedian of the least value found, less the least there is, over {config['num_seeds']} runs, of which "
            f"the first {config['num_initial']} evaluations are at random and the same for all. A step is the median "
            "distance, in the unit cube, of a point of the second half to the nearest before it. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )
