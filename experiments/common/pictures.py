"""The picture of a comparison: one number for each method."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

OURS, PUBLISHED, SINGLE = "#1f5fbf", "#c0392b", "#9db8e0"


def comparison(
    metrics: Mapping[str, Mapping[str, float]],
    number: str,
    single: str,
    published: Mapping[str, float],
    *,
    label: str,
    title: str,
) -> Figure:
    """A number for each method, with a bar of one standard error to each side, above each single network's.

    Args:
      metrics: By method, in the order from top to bottom: the number, its 'standard error' and those of the networks.
      number: Name of the number.
      single: What the names of the networks' numbers begin with.
      published: By method, the paper's number, where there is one.
      label: Below the numbers.
      title: Above the picture.
    """
    figure = Figure(figsize=(7, 0.8 + 0.4 * len(metrics)), dpi=150, layout="constrained")
    axes: Any = figure.subplots()
    names = list(metrics)
    for row, name in enumerate(names):
        values = [value for key, value in metrics[name].items() if key.startswith(single)]
        name_once = "one network" if row == 0 else None
        axes.plot(values, [row] * len(values), "o", color=SINGLE, markersize=4, label=name_once)
    axes.errorbar(
        [metrics[name][number] for name in names],
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
    axes.set_xlabel(label)
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
