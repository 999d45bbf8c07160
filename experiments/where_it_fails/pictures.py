"""The two pictures of the experiment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.where_it_fails.line import GRID, INSIDE, Beliefs, Table, truth

COLOURS = ("#1f5fbf", "#9db8e0", "#e08214", "#f3c891", "#2a7f3f")
GREY, DARK = "#8a8f98", "#333333"
METHOD_COLOURS = (GREY, COLOURS[2], COLOURS[0], COLOURS[1])


def line(table: Table, beliefs: Mapping[str, Beliefs]) -> Figure:
    """What each method believes about the first data set, and how its deviation grows on average over all of them.

    Args:
      table: The data sets.
      beliefs: By method.
    """
    names = list(beliefs)
    order = [name for kind in ("dropout", "ensemble", "Gaussian") for name in names if name.startswith(kind)]
    figure = Figure(figsize=(11, 6), dpi=150, layout="constrained")
    grid = list(np.asarray(figure.subplots(2, 3)).ravel())
    # The Gaussian process below, beside what compares all.
    places = [grid[0], grid[1], grid[3], grid[4], grid[2]]
    for axes, name in zip(places, order, strict=True):
        mean, deviation = beliefs[name].mean[0], beliefs[name].deviation[0]
        for width, opacity in ((2, 0.2), (1, 0.3)):
            axes.fill_between(
                GRID, mean - width * deviation, mean + width * deviation, color=COLOURS[0], alpha=opacity, linewidth=0
            )
        axes.plot(GRID, truth(GRID), color=GREY, linestyle="--", linewidth=1.2, label="truth")
        axes.plot(GRID, mean, color=COLOURS[0], linewidth=1.6, label="mean ± 1, 2 deviations")
        axes.plot(table.x[0], table.y[0], "o", color=DARK, markersize=2, label="data")
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlim(GRID[0], GRID[-1])
        axes.set_ylim(-4, 4)
        _tidy(axes)
    grid[0].legend(frameon=False, fontsize=7, loc="upper center", ncols=3, handlelength=1.2)
    last = grid[5]
    for side in (-1, 1):
        last.axvspan(*sorted((side * INSIDE[0], side * INSIDE[1])), color=GREY, alpha=0.15, linewidth=0)
    for name, colour in zip(order, COLOURS, strict=True):
        last.plot(GRID, beliefs[name].deviation.mean(0), color=colour, linewidth=1.6, label=name)
    last.set_yscale("log")
    last.set_ylim(2e-4, 2)  # the lowest decade is for the names
    last.set_xlim(GRID[0], GRID[-1])
    last.set_title("mean deviation; data are in the grey", fontsize=10, loc="left")
    last.legend(frameon=False, fontsize=6.5, loc="lower center", ncols=3, handlelength=1, columnspacing=1)
    _tidy(last)
    return figure


def equal_cost(metrics: Mapping[str, Mapping[str, float]], scores: Mapping[str, str]) -> Figure:
    """A panel for each score: mean and standard error of each method.

    Args:
      metrics: By method, its scores by name, with standard errors by the same name and "error".
      scores: Titles of the panels, by name of the score.
    """
    columns = (len(scores) + 1) // 2
    figure = Figure(figsize=(3 * columns + 1, 0.7 + 0.55 * len(metrics) * 2), dpi=150, layout="constrained")
    grid = np.asarray(figure.subplots(2, columns, sharey=True)).ravel()
    for axes, (score, title) in zip(grid, scores.items(), strict=False):
        for row, (values, colour) in enumerate(zip(metrics.values(), METHOD_COLOURS, strict=True)):
            axes.errorbar(values[score], row, xerr=values[f"{score}, error"], fmt="o", color=colour, capsize=3)
        axes.set_yticks(range(len(metrics)), list(metrics))
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        axes.set_title(title, fontsize=10, loc="left")
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=8)
        _tidy(axes)
    for axes in grid[len(scores) :]:
        axes.set_visible(False)
    return figure


def _tidy(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
