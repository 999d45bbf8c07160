"""The picture of a comparison: each method's error."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

OURS, PUBLISHED, SINGLE = "#1f5fbf", "#c0392b", "#9db8e0"


def errors(metrics: Mapping[str, Mapping[str, float]], published: Mapping[str, float], title: str) -> Figure:
    """The test error of each method, with a bar of one standard error to each side, above each single network's.

    Args:
      metrics: By method, in the order from top to bottom: 'error %', 'standard error' and 'error %, network i'.
      published: By method, the paper's number, where there is one.
      title: Above the picture.
    """
    figure = Figure(figsize=(7, 0.8 + 0.4 * len(metrics)), dpi=150, layout="constrained")
    axes: Any = figure.subplots()
    names = list(metrics)
    for row, name in enumerate(names):
        single = [value for key, value in metrics[name].items() if key.startswith("error %, network")]
        axes.plot(
            single, [row] * len(single), "o", color=SINGLE, markersize=4, label="one network" if row == 0 else None
        )
    axes.errorbar(
        [metrics[name]["error %"] for name in names],
        range(len(names)),
        xerr=[metrics[name]["standard error"] for name in names],
        fmt="o",
        color=OURS,
        capsize=3,
        label="mean ± standard error",
    )
    shown = {name: value for name, value in published.items() if name in names}
    if shown:
        rows = [names.index(name) for name in shown]
        axes.plot(list(shown.values()), rows, "D", color=PUBLISHED, markersize=5, label="paper, other training")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("test error (%)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
