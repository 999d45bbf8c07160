"""The picture of the referral experiment."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

# A colour for each way to predict; solid for its confidence, dashed for its entropy; of passes, another.
STYLES = {
    "softmax confidence": ("#333333", "-"),
    "softmax entropy": ("#333333", "--"),
    "MC dropout confidence": ("#1f5fbf", "-"),
    "predictive entropy": ("#1f5fbf", "--"),
    "mutual information": ("#e08214", "-"),
    "mean standard deviation": ("#e08214", "--"),
    "variation ratio": ("#e08214", ":"),
    "ensemble confidence": ("#2a7f3f", "-"),
    "ensemble entropy": ("#2a7f3f", "--"),
}


def curves(metrics: Mapping[str, Any]) -> Figure:
    """Accuracy on the cases that are kept, over the fraction referred, and if it is known how many are missed.

    Args:
      metrics: What the experiment returns. Bands are one standard error to each side.
    """
    columns = {name: column for name, column in metrics.items() if isinstance(column, Mapping)}
    missed = any(name.startswith("missed") for name in next(iter(columns.values())))
    figure = Figure(figsize=(9.5 if missed else 5.5, 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2 if missed else 1, squeeze=False)[0]
    _panel(panels[0], columns, "accuracy %", "accuracy on the cases kept (%)")
    if missed:
        _panel(panels[1], columns, "missed", "malignant cases kept and called benign")
        panels[1].set_ylim(bottom=0)
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _panel(axes: Any, columns: Mapping[str, Mapping[str, float]], name: str, label: str) -> None:
    pattern = re.compile(rf"{re.escape(name)}, (\d+) % referred")
    for measure, column in columns.items():
        colour, line = STYLES[measure]
        shares = [int(found[1]) for found in map(pattern.fullmatch, column) if found]
        keys = [f"{name}, {share} % referred" for share in shares]
        means, errors = np.array([[column[key], column[f"{key}, error"]] for key in keys]).T
        axes.plot(shares, means, line, color=colour, linewidth=1.6, label=measure)
        axes.fill_between(shares, means - errors, means + errors, color=colour, alpha=0.1, linewidth=0)
    axes.set_xlim(0, None)
    axes.set_xlabel("least certain cases referred (%)")
    axes.set_ylabel(label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
