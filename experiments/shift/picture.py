"""The pictures of predictions for turned digits, and of dropout on CIFAR-10."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

COLOURS = {"deterministic": "#333333", "MC dropout": "#1f5fbf", "ensemble": "#2a7f3f"}
UNCERTAINTIES = {
    "softmax entropy": ("#333333", "-"),
    "predictive entropy": ("#1f5fbf", "-"),
    "mutual information": ("#1f5fbf", "--"),
    "ensemble entropy": ("#2a7f3f", "-"),
}


def rotation(metrics: Mapping[str, Mapping[str, float]]) -> Figure:
    """Accuracy, likelihood, calibration and uncertainty against the angle.

    Args:
      metrics: What the experiment returns. Bands are one standard error to each side.
    """
    columns = {int(name[:-1]): column for name, column in metrics.items() if name.endswith("°")}
    figure = Figure(figsize=(9.5, 6.4), dpi=150, layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    labels = {"accuracy": "accuracy", "NLL": "negative log-likelihood (nats)", "ECE": "calibration error"}
    for axes, (score, label) in zip(panels, labels.items(), strict=False):
        for way, colour in COLOURS.items():
            _curve(axes, columns, f"{score}, {way}", way, colour)
        axes.set_title(label, fontsize=10, loc="left")
    for name, (colour, style) in UNCERTAINTIES.items():
        _curve(panels[3], columns, name, name, colour, style)
    panels[3].set_title("mean uncertainty (nats)", fontsize=10, loc="left")
    for axes in panels:
        axes.set_xticks(range(0, 181, 30))
        axes.set_xlabel("angle (degrees)")
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the names
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure


def _curve(
    axes: Any, columns: Mapping[int, Mapping[str, float]], name: str, label: str, colour: str, style: str = "-"
) -> None:
    means, errors = np.array([[column[name], column[f"{name}, error"]] for column in columns.values()]).T
    angles = list(columns)
    axes.plot(angles, means, style, color=colour, linewidth=1.6, label=label)
    axes.fill_between(angles, means - errors, means + errors, color=colour, alpha=0.15, linewidth=0)


def repairs(metrics: Mapping[str, Mapping[str, float]]) -> Figure:
    """Accuracy, likelihood and calibration of each variant on CIFAR-10, with and without noise at prediction.

    Args:
      metrics: What the experiment returns. Bars are one standard error to each side.
    """
    figure = Figure(figsize=(9.5, 1.2 + 0.35 * len(metrics)), dpi=150, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    names = list(metrics)
    kinds = {", without noise": ("no noise", "#9db8e0"), "": ("MC dropout, where there is dropout", "#1f5fbf")}
    for axes, score in zip(panels, ("accuracy %", "NLL", "ECE"), strict=True):
        for suffix, (label, colour) in kinds.items():
            rows = [row for row, name in enumerate(names) if f"{score}{suffix}" in metrics[name]]
            values = [metrics[names[row]][f"{score}{suffix}"] for row in rows]
            errors = [metrics[names[row]][f"{score}{suffix}, error"] for row in rows]
            axes.errorbar(values, rows, xerr=errors, fmt="o", color=colour, capsize=3, markersize=5, label=label)
        axes.set_title(score, fontsize=10, loc="left")
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure
