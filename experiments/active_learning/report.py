"""The section of the report on active learning."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.active_learning.picture import learning_curves
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
            _labels(values, 90),
            _labels(values, 95),
            f"{100 * values['last accuracy']:.2f}",
            str(values["labels"][-1]),
        )
        for name, values in metrics.items()
    ]
    published = [(*row, "", "") for row in PUBLISHED]
    scored = f"{config['candidates']} images" if config["candidates"] else "all images"
    predicted = f"{config['num_test_samples']} samples" if config["num_test_samples"] else "one pass without dropout"
    return "\n".join(
        [
            f"## Active learning on mnist, {config['acquisition_size']} labels at once\n",
            f"![Accuracy against labels]({link}{path.stem}.png)\n",
            table(
                ("acquisition", "labels to 90 %", "labels to 95 %", "last test accuracy, %", "of labels"),
                [*rows, *published],
            ),
            f"\nMedian (and single runs) of {config['num_seeds']} runs, the last accuracy as their mean; "
            f"{config['num_samples']} dropout samples of {scored} at each step; test accuracy by {predicted}. "
            f"{_halves(metrics)} Kirsch's labels are medians of six runs in the authors' repository, computed by us "
            f"(V); Gal's are of another network (S). {provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def _labels(values: Mapping[str, Any], target: int) -> str:
    name = f"labels to {target} %"
    singles = [values.get(f"{name}, run {number}") for number in range(len(values["accuracies"]))]
    listed = ", ".join("–" if one is None else f"{one:.0f}" for one in singles)
    median = f"{values[name]:.0f}" if name in values else f"more than {values['labels'][-1]}"
    return f"{median} ({listed})"


def _halves(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether BALD takes fewer than half of the labels that random choice takes to 95 %."""
    name = "labels to 95 %"
    if "BALD" not in metrics or "random" not in metrics:
        return ""
    needed, at_random = metrics["BALD"].get(name), metrics["random"].get(name)
    if needed is None:
        return "BALD does not reach 95 % in half of its runs or more."
    if at_random is None:
        most: Sequence[int] = metrics["random"]["labels"]
        share, bound = needed / most[-1], "less than "
    else:
        share, bound = needed / at_random, ""
    fewer = "fewer than half" if share < 0.5 else "not fewer than half" if at_random else "perhaps fewer than half"
    return f"BALD reaches 95 % with {bound}{100 * share:.0f} % of the labels of random choice: {fewer}."
