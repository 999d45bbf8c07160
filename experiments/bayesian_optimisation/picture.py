"""The picture of the experiment on Bayesian optimisation."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

COLOURS = {
    "random": "#8a8f98",
    "Gaussian process, EI": "#333333",
    "dropout, Thompson": "#e08214",
    "dropout, EI": "#1f5fbf",
}


def regrets(metrics: Mapping[str, Mapping[str, Any]], num_initial: int) -> Figure:
    """Simple regret against evaluations, by method.

    Args:
      metrics: What the experiment returns. A line is the median over runs, a band reaches from quartile to quartile.
      num_initial: Evaluations at random with which all methods begin.
    """
    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes: Any = figure.subplots()
    for name, values in metrics.items():
        evaluations = range(1, len(values["medians"]) + 1)
        axes.fill_between(
            evaluations,
            values["lower quartiles"],
            values["upper quartiles"],
            color=COLOURS[name],
            alpha=0.15,
            linewidth=0,
        )
        axes.plot(evaluations, values["medians"], color=COLOURS[name], linewidth=1.6, label=name)
    axes.axvline(num_initial, color="#333333", linestyle=":", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("simple regret")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
