"""Makes RESULTS.md and its pictures from the result files: python -m experiments.report [FOLDER]

FOLDER holds one sub-folder for each experiment, with the `result.json` of each run under a name of its own; it is
experiments/results unless another is given. RESULTS.md is written beside it.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.active_learning.picture import learning_curves
from experiments.bayesian_optimisation.picture import regrets
from experiments.common import pictures
from experiments.common.errors import RefusedError
from experiments.common.reporting import provenance, reason, table
from experiments.compare.methods import MLP_METHODS
from experiments.concrete.picture import against_examples
from experiments.referral.picture import curves
from experiments.report_active_learning import active_learning
from experiments.report_bayesian_optimisation import bayesian_optimisation
from experiments.report_estimators import estimators
from experiments.report_learned_noise import concrete, gradient_variance, sbp, sparse_vd
from experiments.report_perception import perception
from experiments.report_referral import referral
from experiments.report_shift import picture as shift_picture
from experiments.report_shift import shift
from experiments.report_uci import uci
from experiments.report_where_it_fails import where_it_fails

RESULTS = Path(__file__).parent / "results"

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
    for path in sorted((folder / "concrete").glob("*.json")):
        against_examples(_read(path)["metrics"]).savefig(path.with_suffix(".png"))
    for path in sorted((folder / "referral").glob("*.json")):
        curves(_read(path)["metrics"]).savefig(path.with_suffix(".png"))
    for path in sorted((folder / "shift").glob("*.json")):
        shift_picture(_read(path)).savefig(path.with_suffix(".png"))
    for path in sorted((folder / "active_learning").glob("*.json")):
        learning_curves(_read(path)["metrics"]).savefig(path.with_suffix(".png"))
    for path in sorted((folder / "bayesian_optimisation").glob("*.json")):
        run = _read(path)
        regrets(run["metrics"], run["config"]["num_initial"]).savefig(path.with_suffix(".png"))
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
            table(heads[:used], (row[:used] for row in rows)),
            f"\nMean ± standard error over {run['config']['num_seeds']} networks. {provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def _digits(path: Path, run: dict[str, Any], link: str) -> str:
    metrics = run["metrics"]
    names = list(metrics["deterministic"])
    rows = ((name, *(f"{column[name]:.4f}" for column in metrics.values())) for name in names)
    return "\n".join(
        [
            f"## MC dropout on {path.stem.replace('_', '-')}\n",
            table(("", *metrics), rows),
            f"\nOne network. {provenance(path, run, link)}\n",
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
            table(("method", "validation perplexity", "test", "training"), rows),
            f"\nMean ± standard error over {run['config']['num_seeds']} networks, each as it was after its best epoch. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
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
            table(heads, rows),
            f"\nMean ± standard error over {config['num_seeds']} networks, on the 1821 test sentences of SST-2. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
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
            table(heads, rows),
            f"\nMean ± standard error over {config['num_seeds']} networks, on the 1821 test sentences of SST-2. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


SECTIONS = {
    "compare": _compare,
    "language_model": _language_model,
    "text_classification": _text_classification,
    "fine_tuning": _fine_tuning,
    "sparse_vd": sparse_vd,
    "sbp": sbp,
    "concrete": concrete,
    "gradient_variance": gradient_variance,
    "uci": uci,
    "estimators": estimators,
    "referral": referral,
    "shift": shift,
    "active_learning": active_learning,
    "bayesian_optimisation": bayesian_optimisation,
    "digits": _digits,
    "perception": perception,
    "where_it_fails": where_it_fails,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
