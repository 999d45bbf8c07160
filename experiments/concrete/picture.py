"""The picture of the concrete-dropout experiment."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

COLOURS = ("#1f5fbf", "#e08214", "#2a7f3f")


def against_examples(metrics: Mapping[str, Mapping[str, float]]) -> Figure:
    """Rates of dropping on the left and standard deviations of predictions on the right, over the number of examples.

    Args:
      metrics: What the experiment returns. Bars are one standard deviation over networks to each side.
    """
    sizes = [int(name.removeprefix("N = ")) for name in metrics]
    figure = Figure(figsize=(9, 3.4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    names = [name for name in next(iter(metrics.values())) if name.startswith("rate") and "deviation" not in name]
    labels = {name: name.removeprefix("rate, ") for name in names}
    _curves(left, metrics, sizes, labels, "rate of dropping before each hidden layer")
    kinds = {"epistemic": "epistemic: of the network", "aleatoric": "aleatoric: of the data (true: 1)"}
    _curves(right, metrics, sizes, kinds, "standard deviation of predictions")
    return figure


def _curves(axes: Any, metrics, sizes, labels: Mapping[str, str], title: str) -> None:
    for colour, (name, label) in zip(COLOURS, labels.items(), strict=False):
        values = [column[name] for column in metrics.values()]
        bars = [column.get(f"{name}, deviation", 0.0) for column in metrics.values()]
        axes.errorbar(sizes, values, bars, fmt="o-", color=colour, capsize=3, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("training examples")
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
