"""The picture of the active-learning experiment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

COLOURS = {
    "random": "#333333",
    "BALD": "#1f5fbf",
    "maximum entropy": "#e08214",
    "variation ratio": "#2a7f3f",
    "mean deviation": "#8a8f98",
    "BatchBALD": "#c0392b",
}


def learning_curves(metrics: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Test accuracy against labels, by acquisition function.

    Args:
      metrics: What the experiment returns. A line is the median over runs, a band reaches from the lowest to the
        highest.
    """
    figure = Figure(figsize=(7, 4.4), dpi=150, layout="constrained")
    axes: Any = figure.subplots()
    for name, values in metrics.items():
        labels, accuracies = values["labels"], 100 * np.array(values["accuracies"])
        axes.fill_between(labels, accuracies.min(0), accuracies.max(0), color=COLOURS[name], alpha=0.12, linewidth=0)
        axes.plot(labels, np.median(accuracies, 0), color=COLOURS[name], linewidth=1.6, label=name)
    for target in (90, 95):
        axes.axhline(target, color="#333333", linestyle=":", linewidth=0.8)
    axes.set_ylim(bottom=max(0, min(100 * np.min(values["accuracies"]) for values in metrics.values())))
    axes.set_xlabel("labels")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure
