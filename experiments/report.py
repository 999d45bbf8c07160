"""Makes RESULTS.md and its pictures from the result files: python -m experiments.report [FOLDER]

FOLDER holds one sub-folder for each experiment, with the `result.json` of each run under a name of its own; it is
experiments/results unless another is given. RESULTS.md is written beside it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.common import pictures
from experiments.common.errors import RefusedError
from experiments.compare.methods import MLP_METHODS

RESULTS = Path(__file__).parent / "results"

# What we think of a difference from a paper's number, by experiment and stem of the result file.
REASONS: dict[str, str] = {
    "sparse_vd/lenet300": (
        "The error is 0.07 percentage points above the paper's, within the sampling error of 10 000 examples, with "
        "fewer weights left: kernels start from another initializer, and the noise of weights whose means are set to "
        "zero stays on. Magnitude pruning is done at once here and retrained for 20 epochs, which is too weak a rival "
        "at this sparsity: pruned step by step, the literature has it as good at scale."
    ),
    "language_model/shakespeare_half": (
        "At one half all are worse than dropout on what is not recurrent alone, 8.137 above, and recurrent dropout is "
        "worse than no noise at all: too much for so small a network, which still learns when training ends. That "
        "variational dropout does not beat the naive one is not as published; see above."
    ),
    "language_model/shakespeare": (
        "Every kind of noise beats none, which overfits. All recurrent methods are within two standard errors of "
        "dropout on what is not recurrent: the published order, in which naive recurrent dropout hurts and the others "
        "help, does not show. Its papers model words, with larger networks, at rates tuned for each method; we think "
        "that characters in one layer need a shorter memory, so that noise on it does less harm. Rates here are the "
        "same for all and were not tuned."
    ),
    "compare/mnist": (
        "Twelve epochs are too few for noise to pay: the networks with most of it still fit the training examples "
        "worst. Curriculum dropout, which begins without noise, and standout, which drops least, come closest to "
        "the network without any; in likelihood all with noise are better than it. Forty epochs restore the "
        "paper's order: see the next table. DropConnect has one mask for a batch here, where the paper has one for "
        "each example."
    ),
    "compare/mnist_long": (
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
        columns, texts = ("error %", "error %, network"), {"label": "test error (%)", "title": _title(run)}
        pictures.comparison(run["metrics"], *columns, numbers, **texts).savefig(path.with_suffix(".png"))
    for path in sorted((folder / "language_model").glob("*.json")):
        run = _read(path)
        columns, texts = ("validation perplexity", "validation, network"), {"title": _text_title(run)}
        picture = pictures.comparison(run["metrics"], *columns, {}, label="validation perplexity", **texts)
        picture.savefig(path.with_suffix(".png"))
    target = folder.parent / "RESULTS.md"
    target.write_text(text(folder))
    return target


def text(folder: Path) -> str:
    """The content of RESULTS.md.

    Raises:
      RefusedError: If there is no result file, or one is not a result's.
    """
    files = [path for experiment in SECTIONS for path in sorted((folder / experiment).glob("*.json"))]
    if not files:
        raise RefusedError(f"there are no result files in {', '.join(f'{folder}/{name}' for name in SECTIONS)}")
    parts = [SECTIONS[path.parent.name](path, _read(path), f"{folder.name}/{path.parent.name}/") for path in files]
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
    return "\n".join(
        [
            f"## {_title(run)}\n",
            f"![Test error of each method]({link}{path.stem}.png)\n",
            _table(heads[:used], (row[:used] for row in rows)),
            f"\nMean ± standard error over {run['config']['num_seeds']} networks. {_provenance(path, run, link)}\n",
            *_reason(path),
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


def _text_title(run: dict[str, Any]) -> str:
    config = run["config"]
    symbols = "characters" if config["dataset"] == "shakespeare" else "words"
    amount = f"{config['max_symbols']:,}".replace(",", " ") if config["max_symbols"] else "all"
    units = f"{config['num_layers']} x {config['width']} units"
    return f"Language models of {amount} {symbols} of {config['dataset']}: {units}"


def _language_model(path: Path, run: dict[str, Any], link: str) -> str:
    rows = [
        (
            name,
            f"{values['validation perplexity']:.3f} ± {values['standard error']:.3f}",
            f"{values['test perplexity']:.3f}",
            f"{values['training perplexity']:.3f}",
        )
        for name, values in run["metrics"].items()
    ]
    return "\n".join(
        [
            f"## {_text_title(run)}\n",
            f"![Validation perplexity of each method]({link}{path.stem}.png)\n",
            _table(("method", "validation perplexity", "test", "training"), rows),
            f"\nMean ± standard error over {run['config']['num_seeds']} networks, each as it was after its best epoch. "
            f"{_provenance(path, run, link)}\n",
            *_reason(path),
        ]
    )


def _text_classification(path: Path, run: dict[str, Any], link: str) -> str:
    rows = [
        (
            name,
            *(
                cell
                for size in ("small", "large")
                for cell in (
                    f"{values[f'error %, {size}']:.2f} ± {values[f'standard error, {size}']:.2f}",
                    f"{values[f'NLL, {size}']:.3f}",
                )
            ),
        )
        for name, values in run["metrics"].items()
    ]
    config = run["config"]
    small, large = config["small"], config["large"] or "all 60614"
    heads = ("method", f"test error, %, {small} phrases", "NLL", f"test error, %, {large} phrases", "NLL")
    return "\n".join(
        [
            f"## Sentiment by a small transformer, {config['num_layers']} layers of {config['features']}\n",
            _table(heads, rows),
            f"\nMean ± standard error over {config['num_seeds']} networks, on the 1821 test sentences of SST-2. "
            f"{_provenance(path, run, link)}\n",
            *_reason(path),
        ]
    )


def _fine_tuning(path: Path, run: dict[str, Any], link: str) -> str:
    metrics = {name: values for name, values in run["metrics"].items() if isinstance(values, dict)}
    starts = ("pre-trained", "new")
    rows = [
        (
            name.removeprefix("rate "),
            *(f"{values[f'error %, {start}']:.2f} ± {values[f'standard error, {start}']:.2f}" for start in starts),
            *(f"{values[f'NLL, {start}']:.3f}" for start in starts),
        )
        for name, values in metrics.items()
    ]
    config = run["config"]
    heads = ("rate", "test error, %, pre-trained", "not pre-trained", "NLL, pre-trained", "not pre-trained")
    return "\n".join(
        [
            f"## Fine-tuning on {config['labelled']} labelled sentences\n",
            _table(heads, rows),
            f"\nMean ± standard error over {config['num_seeds']} networks, on the 1821 test sentences of SST-2. "
            f"{_provenance(path, run, link)}\n",
            *_reason(path),
        ]
    )


def _reason(path: Path) -> list[str]:
    reason = REASONS.get(f"{path.parent.name}/{path.stem}")
    return [f"{reason}\n"] if reason else []


def _provenance(path: Path, run: dict[str, Any], link: str) -> str:
    device, versions = run["device"], run["versions"]
    return (
        f"[{path.name}]({link}{path.name}): seed {run['seed']}, "
        f"{run['wall_seconds'] / 60:.0f} min on {device['kind']}, jax {versions['jax']}."
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sparse_vd(path: Path, run: dict[str, Any], link: str) -> str:
    metrics, config = run["metrics"], run["config"]
    rows = [
        (
            name,
            f"{values['error %']:.2f}",
            f"{values['NLL']:.3f}",
            " - ".join(f"{value:.1f}" for key, value in values.items() if key.startswith("sparsity")),
            f"{values['compression']:.0f}",
        )
        for name, values in metrics.items()
    ]
    source = ""
    if (config["dataset"], config["widths"]) == ("mnist", "300-100"):
        rows.append(("paper: dense", "1.64", "", "", "1"))
        rows.append(("paper: sparse VD", "1.92", "", "98.9 - 97.2 - 62.0", "68"))
        source = " The paper's numbers: Molchanov et al. 2017, table in the authors' repository; V."
    return "\n".join(
        [
            f"## Sparse variational dropout: {config['widths']}, {config['dataset']}, {config['epochs']} epochs\n",
            _table(("network", "test error, %", "NLL", "sparsity by layer, %", "compression"), rows),
            f"\nOne network. {_provenance(path, run, link)}{source}\n",
            *_reason(path),
        ]
    )


SECTIONS = {
    "compare": _compare,
    "language_model": _language_model,
    "text_classification": _text_classification,
    "fine_tuning": _fine_tuning,
    "sparse_vd": _sparse_vd,
    "digits": _digits,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
