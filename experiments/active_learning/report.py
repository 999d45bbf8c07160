"""The section of the report on active learning."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.active_learning.picture import learning_curves
from experiments.active_learning.train import labels_to
from experiments.common.reporting import provenance, reason, table

# Labels to 90 and to 95 %. The first are computed from the runs that the authors of BatchBALD keep in their repository:
# the median of six, where more than half get there, with at most 320 labels.
PUBLISHED = (
    ("Kirsch et al. 2019: BatchBALD, 5 at once", "95", "195"),
    ("Kirsch et al. 2019: BatchBALD, 10 at once", "105", "225"),
    ("Kirsch et al. 2019: BatchBALD, 40 at once", "140", "300"),
    ("Kirsch et al. 2019: BALD, 1 at once", "99", "217"),
    ("Kirsch et al. 2019: BALD, 10 at once", "155", "3 of 6 runs"),
    ("Gal et al. 2017: variation ratio, 10 at once", "", "295"),
    ("Gal et al. 2017: BALD, 10 at once", "", "335"),
    ("Gal et al. 2017: maximum entropy, 10 at once", "", "355"),
    ("Gal et al. 2017: mean deviation, 10 at once", "", "695"),
    ("Gal et al. 2017: random, 10 at once", "", "835"),
)


def picture(run: dict[str, Any]) -> Figure:
    """Accuracy against the number of labels."""
    return learning_curves(run["metrics"])


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Labels that each function takes, beside the published ones, and the curves."""
    metrics, config = run["metrics"], run["config"]
    rows = [
        (
            name,
            *(_listed(each, values) for each in (first(values, 90), first(values, 95), lasting(values, 95))),
            f"{100 * values['last accuracy']:.2f}",
            str(values["labels"][-1]),
        )
        for name, values in metrics.items()
    ]
    published = [(*row, "", "", "") for row in PUBLISHED]
    most = max(values["labels"][-1] for values in metrics.values())
    steps = config["epochs"] * (config["epoch_images"] // config["batch_size"])
    scored = f"{config['candidates']} images" if config["candidates"] else "all images"
    predicted = f"{config['num_test_samples']} samples" if config["num_test_samples"] else "one pass without dropout"
    return "\n".join(
        [
            f"## Active learning on MNIST: {config['acquisition_size']} labels at once, up to {most}, {steps} steps\n",
            f"![Accuracy against labels]({link}{path.stem}.png)\n",
            table(
                ("acquisition", "labels to 90 %", "labels to 95 %", "smoothed", "last test accuracy, %", "of labels"),
                [*rows, *published],
            ),
            f"\nMedian (and single runs) of {config['num_seeds']} runs, the last accuracy as their mean. Labels are "
            "those of the first network that is as accurate, perhaps by luck; smoothed, of the first whose accuracy is "
            "so if each is replaced by the median of it, the one before and the one after; "
            f"{config['num_samples']} dropout samples of {scored} at each step; test accuracy by {predicted}. "
            f"{halves(metrics)} Kirsch's labels are medians of six runs in the authors' repository, computed by us "
            f"(V); Gal's are of another network (S). {provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def first(values: Mapping[str, Any], target: int) -> list[float]:
    """Labels of the first network of at least this accuracy in percent, in each run; infinite if there is none."""
    return [labels_to(target / 100, values["labels"], accuracies) for accuracies in values["accuracies"]]


def lasting(values: Mapping[str, Any], target: int) -> list[float]:
    """The same of accuracies that are the median of three networks, the one before and the one after among them."""
    smooth = [np.median([a[:-2], a[1:-1], a[2:]], axis=0) for a in map(np.asarray, values["accuracies"])]
    return [labels_to(target / 100, values["labels"][1:-1], accuracies.tolist()) for accuracies in smooth]


def _listed(needed: Sequence[float], values: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{one:.0f}" if math.isfinite(one) else "–" for one in needed)
    median = float(np.median(needed))
    return f"{median:.0f} ({listed})" if math.isfinite(median) else f"more than {values['labels'][-1]} ({listed})"


def halves(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether BALD takes fewer than half of the labels that random choice takes to 95 %, at first and smoothed."""
    if "BALD" not in metrics or "random" not in metrics:
        return ""
    most = metrics["random"]["labels"][-1]

    def share(count: Callable[[Mapping[str, Any], int], list[float]]) -> str:
        needed, at_random = (float(np.median(count(metrics[name], 95))) for name in ("BALD", "random"))
        return _share(needed, at_random, most)

    return f"BALD reaches 95 % {share(first)}; smoothed, {share(lasting)}."


def _share(needed: float, at_random: float, most: float) -> str:
    if not math.isfinite(needed):
        return "in fewer than half of its runs"
    known = math.isfinite(at_random)
    share = needed / (at_random if known else most)
    fewer = "fewer than half" if share < 0.5 else "not fewer than half" if known else "perhaps fewer than half"
    bound = "" if known else "less than "
    return f"with {bound}{100 * share:.0f} % of the labels of random choice, {fewer}"
