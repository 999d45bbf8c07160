"""The section of the report on where dropout's uncertainty fails, whose sentences are made from the numbers too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scipy import stats

from experiments.common.reporting import provenance, reason, table, with_error
from experiments.where_it_fails.equal_cost import DIFFERENCE, NUM_TASKS

LOWER_IS_BETTER = ("NLL", "ECE")
COMPARED = ("ensemble", "MC dropout")


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Growth of deviations away from the data, and scores at equal cost."""
    metrics, config = run["metrics"], run["config"]
    on_line = {name: values for name, values in metrics.items() if "deviation, inside" in values}
    digits = {name: values for name, values in metrics.items() if name not in on_line and name != DIFFERENCE}
    heads = (
        "",
        "deviation among the data",
        "in the gap: deviation, times",
        "error, times",
        "95 % interval holds, %",
        "far away: deviation, times",
        "error, times",
        "95 % interval holds, %",
    )
    grown = [
        (
            name,
            with_error(values, "deviation, inside", 3),
            *(
                cell
                for region in ("gap", "far")
                for cell in (
                    with_error(values, f"growth of deviation, {region}", 1),
                    with_error(values, f"growth of error, {region}", 1),
                    with_error(values, f"coverage, {region}", 0, 100),
                )
            ),
        )
        for name, values in on_line.items()
    ]
    scores = [name for name in metrics[DIFFERENCE] if not name.endswith(", error")]
    compared = [
        (
            score,
            *(with_error(values, score, 4) for values in digits.values()),
            with_error(metrics[DIFFERENCE], score, 4),
        )
        for score in scores
    ]
    hopeless = [s for s in scores if "AUROC" in s and max(digits[way][s] for way in COMPARED) <= 0.5]
    pictures = {
        kind: [f"![{text}]({link}{path.stem}_{kind}.png)\n"]
        if path.with_name(f"{path.stem}_{kind}.png").exists()
        else []
        for kind, text in (("line", "Beliefs away from the data"), ("equal_cost", "Scores at equal cost"))
    }
    members, seeds = config["members"], config["num_seeds"]
    tasks = min(seeds, NUM_TASKS)
    return "\n".join(
        [
            "## Where dropout's uncertainty fails: away from the data\n",
            *pictures["line"],
            table(heads, grown),
            "\nDeviations are of the function, without the targets' noise, which the intervals have. Times are "
            f"multiples of what is among the data. Mean ± standard error over {seeds} data sets. "
            f"{provenance(path, run, link)}\n",
            f"{away(on_line)}\n",
            f"## Where dropout's uncertainty fails: an ensemble of {members} at equal cost\n",
            *pictures["equal_cost"],
            table(("", *digits, f"difference, ensemble - {members} passes"), compared),
            f"\nThe network with dropout is trained {members} times as long as each of the ensemble's and predicts "
            f"with {members} passes, except in the column of another number. Mean ± standard error over {tasks} "
            "choices of two classes to leave out, any two of which have six of eight known classes in common; "
            f"{seeds} ensembles and networks with dropout in all.\n",
            f"{verdict(metrics[DIFFERENCE], [s for s in scores if s not in hopeless], tasks)}",
            f"No better than chance by either, and so not compared: {'; '.join(hopeless)}.\n" if hopeless else "",
            *reason(path),
        ]
    )


def away(on_line: Mapping[str, Mapping[str, float]]) -> str:
    """Says of each method whether its deviation grows as its error does."""
    parts = []
    for name, values in on_line.items():
        deviation, error, coverage = (
            values[key] for key in ("growth of deviation, far", "growth of error, far", "coverage, far")
        )
        parts.append(f"{name}: {deviation:.1f} against {error:.1f} times, and {100 * coverage:.0f} %")
    return (
        "Two to three units beyond the data, by how much deviation and error have grown, and the part of the targets "
        f"in a 95 % interval: {'; '.join(parts)}."
    )


def verdict(difference: Mapping[str, float], scores: list[str], number: int) -> str:
    """Says which of the two is better in which score, by a t-test at 5 % of a mean of so many differences."""
    limit = float(stats.t.ppf(0.975, number - 1))
    better: dict[str, list[str]] = {"The ensemble": [], "MC dropout": []}
    open_questions = []
    for score in scores:
        gain = difference[score] * (-1 if score in LOWER_IS_BETTER else 1)
        if abs(gain) <= limit * difference[f"{score}, error"]:
            open_questions.append(score)
        else:
            better["The ensemble" if gain > 0 else "MC dropout"].append(score)
    sentences = [f"{name} is better in {'; '.join(won)}." for name, won in better.items() if won]
    if open_questions:
        sentences.append(f"Within {limit:.1f} standard errors of each other: {'; '.join(open_questions)}.")
    return " ".join(sentences)
