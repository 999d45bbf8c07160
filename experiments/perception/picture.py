"""The picture of the perception experiment: scenes, and maps of what is predicted for each of their pixels."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.perception.network import CLASSES
from experiments.perception.scenes import Scenes

BACKGROUND, UNSEEN = "#f2f2ee", "#111111"


def maps(scenes: Scenes, predicted: np.ndarray, aleatoric: np.ndarray, epistemic: np.ndarray) -> Figure:
    """Rows of image, labels, prediction and two maps of uncertainty, a column for each scene.

    Args:
      scenes: The scenes; unseen objects are black among the labels, and outlined in all rows below.
      predicted: Most probable class of each pixel, (scenes, height, width).
      aleatoric: Expected entropy in nats, (scenes, height, width).
      epistemic: Mutual information in nats, (scenes, height, width).
    """
    images, labels, unseen = (np.asarray(part) for part in scenes)
    labels = np.where(unseen, CLASSES, labels)
    of_objects = colormaps["tab10" if CLASSES <= 11 else "turbo"].resampled(max(CLASSES - 1, 10))
    colours = [BACKGROUND, *map(of_objects, range(CLASSES - 1)), UNSEEN]
    classes: dict[str, Any] = {"cmap": ListedColormap(colours), "vmin": -0.5, "vmax": CLASSES + 0.5}
    rows: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        ("image", images, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        ("labels", labels, classes),
        ("prediction", predicted, classes),
        ("aleatoric:\nexpected entropy", aleatoric, {"cmap": "magma", "vmin": 0, "vmax": aleatoric.max()}),
        ("epistemic:\nmutual information", epistemic, {"cmap": "magma", "vmin": 0, "vmax": epistemic.max()}),
    ]
    figure = Figure(figsize=(1.75 * len(images) + 1.2, 1.75 * len(rows) + 0.4), dpi=150, layout="constrained")
    grid = np.asarray(figure.subplots(len(rows), len(images), squeeze=False))
    for number, (axes, (name, values, options)) in enumerate(zip(grid, rows, strict=True)):
        shown = [one.imshow(values[column], interpolation="nearest", **options) for column, one in enumerate(axes)]
        for column, one in enumerate(axes):
            if number > 1 and unseen[column].any():
                outline = "white" if options["cmap"] == "magma" else UNSEEN
                one.contour(unseen[column], [0.5], colors=outline, linewidths=0.7)
            one.set_xticks([])
            one.set_yticks([])
        axes[0].set_ylabel(name, fontsize=9)
        if options["cmap"] == "magma":
            figure.colorbar(shown[0], ax=list(axes), fraction=0.03, pad=0.01, label="nats")
    names = ("background", *map(str, range(CLASSES - 1)), "unseen")
    key = [Patch(facecolor=c, edgecolor=UNSEEN, linewidth=0.4) for c in colours]
    narrow: dict[str, Any] = {"frameon": False, "fontsize": 8, "handlelength": 1, "columnspacing": 1}
    figure.legend(key, names, loc="outside lower center", ncols=min(len(key), 12), **narrow)
    return figure
