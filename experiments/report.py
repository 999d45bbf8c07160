"""Makes RESULTS.md and its pictures from the result files: python -m experiments.report [FOLDER]

FOLDER holds one sub-folder for each experiment, with the `result.json` of each run under a name of its own; it is
experiments/results unless another is given. RESULTS.md is written beside it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.common.errors import RefusedError
from experiments.compare import pictures
from experiments.compare.methods import MLP_METHODS

RESULTS = Path(__file__).parent / "results"

# What we think of a difference from a paper's number, by the stem of the result file.
REASONS: dict[str, str] = {
    "mnist": (
        "Twelve epochs are too few for noise to pay: the networks with most of it still fit the training examples "
        "worst. Curriculum dropout, which begins without noise, and standout, which drops least, come closest to "
        "the network without any; in likelihood all with noise are better than it. Forty epochs restore the "
        "paper's order: see the next table. DropConnect has one mask for a batch here, where the paper has one for "
        "each example."
    ),
    "mnist_long": (
        "The order is the paper's; the gaps are not. Our network without noise is better than theirs, of logistic "
        "units: it has ReLUs, Adam and a learning rate that falls to zero. With dropout it is 0.07 percentage "
        "points better than theirs, with constrained norms as much worse: theirs have a third hidden layer and a "
        "million updates, ours 18 720."
    ),
}

HEAD = """# Results

Made by `python -m experiments.report` from the result files in [{folder}]({folder}); not to be edited. Each file holds
the configuration, seed, PRNG implementation, package versions, device and time of its run.

The papers' numbers carry a tag for their evidence: V, read in the authors' own repository or page; S, read in a
secondary source that quotes the paper's table. Numbers that could not be verified are not shown.
"""


def main(argv: Sequence[str]) -> int:
    """Writes the report for the folder in `argv`; returns the exit status."""
    if len(argv) > 1 or any(argument.startswith("-") for argument in argv):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(argv[0]) if argv else RESULTS
    try:
        print(f"wrote {write(folder)}")
    except RefusedError as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    return 0


def write(folder: Path) -> Path:
    """Writes RESULTS.md and the pictures, and returns its path.

    Raises:
      RefusedError: If there is no result file, or one is not a result's.
    """
    for path in sorted((folder / "compare").glob("*.json")):
        run = _read(path)
        numbers = {name: float(value.split()[0]) for name, (value, _, _) in _published(run).items()}
        pictures.errors(run["metrics"], numbers, _title(run)).savefig(path.with_suffix(".png"))
    target = folder.parent / "RESULTS.md"
    target.write_text(text(folder))
    return target


def text(folder: Path) -> str:
    """The content of RESULTS.md.

    Raises:
      RefusedError: If there is no result file, or one is not a result's.
    """
    sections = {"compare": _compare, "digits": _digits}
    files = [path for experiment in sections for path in sorted((folder / experiment).glob("*.json"))]
    if not files:
        raise RefusedError(f"there are no result files in {folder}/compare or {folder}/digits")
    parts = [sections[path.parent.name](path, _read(path), f"{folder.name}/{path.parent.name}/") for path in files]
    return "\n".join([HEAD.format(folder=folder.name), *parts])


def _read(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text())
        if not {"metrics", "config", "versions", "device", "wall_seconds"} <= run.keys():
            raise ValueError("a field is missing")
    except (ValueError, AttributeError) as error:
        raise RefusedError(f"{path} is not a result file: {error}") from error
    return run


def _published(run: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """The paper's number, its evidence and its source for each method that has one for this data set and network."""
    if (run["config"]["dataset"], run["config"]["network"]) != ("mnist", "mlp"):
        return {}
    return {name: method.published for name, method in MLP_METHODS.items() if method.published}


def _title(run: dict[str, Any]) -> str:
    config = run["config"]
    width = config["width"]
    network = f"784-{width}-{width}-10" if config["network"] == "mlp" else f"residual network of width {width}"
    return f"Methods on {config['dataset'].replace('_', '-')}, {network}, {config['epochs']} epochs"


def _compare(path: Path, run: dict[str, Any], link: str) -> str:
    published = _published(run)
    rows = [
        (
            name,
            f"{values['error %']:.2f} ± {values['standard error']:.2f}",
            f"{values['NLL']:.3f}",
            f"{values['training error %']:.2f}",
            *published.get(name, ("", "", "")),
        )
        for name, values in run["metrics"].items()
    ]
    heads = ("method", "test error, %", "NLL", "training error, %", "paper's error, %", "evidence", "of")
    used = len(heads) if published else 4
    reason = REASONS.get(path.stem, "")
    return "\n".join(
        [
            f"## {_title(run)}\n",
            f"![Test error of each method]({link}{path.stem}.png)\n",
            _table(heads[:used], (row[:used] for row in rows)),
            f"\nMean ± standard error over {run['config']['num_seeds']} networks. {_provenance(path, run, link)}\n",
            *([f"{reason}\n"] if reason else []),
        ]
    )


def _digits(path: Path, run: dict[str, Any], link: str) -> str:
    metrics = run["metrics"]
    names = list(metrics["deterministic"])
    rows = ((name, *(f"{column[name]:.4f}" for column in metrics.values())) for name in names)
    return "\n".join(
        [
            f"## MC dropout on {path.stem.replace('_', '-')}\n",
            _table(("", *metrics), rows),
            f"\nOne network. {_provenance(path, run, link)}\n",
        ]
    )


def _provenance(path: Path, run: dict[str, Any], link: str) -> str:
    device, versions = run["device"], run["versions"]
    return (
        f"[{path.name}]({link}{path.name}): seed {run['seed']}, "
        f"{run['wall_seconds'] / 60:.0f} min on {device['kind']}, jax {versions['jax']}."
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
