"""The two pictures of the digits experiment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxdrop.metrics import RiskCoverage

TRUE, WRONG, OTHER = "#2a7f3f", "#c0392b", "#8a8f98"
COLOURS = ("#1f5fbf", "#e08214", "#333333")


def sure_and_unsure(images: np.ndarray, labels: np.ndarray, prediction: Any, columns: int = 7) -> Figure:
    """The examples that a prediction is least and most sure of, each above its predictive distribution.

    Args:
      images: (examples, height, width).
      labels: True classes, (examples,).
      prediction: A `jaxdrop.ClassPrediction` for these examples; its predictive entropy says how sure it is.
      columns: Examples in each of the two rows.

    Returns:
      A figure. The true class's bar is green; where another class is the most probable, that one is red. The black
      line on a bar spans one standard deviation over the passes to each side.
    """
    mean, deviation = np.asarray(prediction.mean), np.sqrt(np.asarray(prediction.variance))
    entropy = np.asarray(prediction.predictive_entropy)
    order = np.argsort(entropy, kind="stable")
    figure = Figure(figsize=(1.35 * columns, 5.6), dpi=150, layout="constrained")
    key = [
        Patch(color=TRUE, label="true class"),
        Patch(color=WRONG, label="most probable, but wrong"),
        Line2D([], [], color="black", linewidth=0.8, label="\u00b1 1 standard deviation over the passes"),
    ]
    figure.legend(
        handles=key, loc="upper right", ncols=len(key), frameon=False, fontsize=9, handlelength=1, borderaxespad=0.2
    )
    least, most = np.asarray(figure.subfigures(2, 1, hspace=0.04))
    for part, title, chosen in ((least, "least sure", order[::-1][:columns]), (most, "most sure", order[:columns])):
        part.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        axes = part.subplots(2, columns, height_ratios=(1.5, 1))
        for column, i in enumerate(chosen):
            image, bars = axes[:, column]
            image.imshow(images[i], cmap="gray_r", interpolation="nearest")
            image.set_title(f"{entropy[i]:.2f} nats" if entropy[i] >= 0.01 else "< 0.01 nats", fontsize=9)
            image.set_xticks([])
            image.set_yticks([])
            colours = [OTHER] * mean.shape[-1]
            colours[mean[i].argmax()] = WRONG
            colours[labels[i]] = TRUE
            bars.bar(
                range(mean.shape[-1]),
                mean[i],
                yerr=deviation[i],
                color=colours,
                width=0.8,
                error_kw={"elinewidth": 0.8},
            )
            bars.set_ylim(0, 1.05)
            bars.set_xticks(range(mean.shape[-1]))
            bars.set_yticks([0, 1], ["0", "1"] if column == 0 else ["", ""])
            bars.tick_params(labelsize=7, length=0)
            bars.spines[["top", "right"]].set_visible(False)
            bars.get_xticklabels()[labels[i]].set(color=TRUE, weight="bold")
    return figure


def referral(curves: Mapping[str, RiskCoverage]) -> Figure:
    """Accuracy on the examples that are kept, against the fraction of examples referred to somebody else.

    Args:
      curves: By name, the risk-coverage curve of one way to choose whom to refer. The first one's accuracy on all
        examples is what referring at random keeps.
    """
    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=True):
        axes.plot(
            100 * (1 - np.asarray(curve.coverage)),
            100 * (1 - np.asarray(curve.risk)),
            label=name,
            color=colour,
            linewidth=1.8,
        )
    # At random, every example is as likely to be kept as any other: the accuracy stays what it is on all of them.
    at_random = 100 * (1 - float(next(iter(curves.values())).risk[-1]))
    axes.axhline(at_random, label="at random", color=OTHER, linestyle="--", linewidth=1.2)
    axes.set_xlim(0, 30)
    axes.set_xlabel("least certain examples referred (%)")
    axes.set_ylabel("accuracy on the others (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    return figure
