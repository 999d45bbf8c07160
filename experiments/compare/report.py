"""The section of the report on the comparison of methods, and its picture."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common import pictures
from experiments.common.reporting import provenance, reason, table
from experiments.compare.methods import MLP_METHODS


def picture(run: dict[str, Any]) -> Figure:
    """Errors of each method and of each of its networks, beside the paper's."""
    numbers = {name: float(value.split()[0]) for name, (value, _, _) in _published(run).items()}
    columns, texts = ("error %", "error %, network"), {"label": "test error (%)", "title": _title(run)}
    return pictures.comparison(run["metrics"], *columns, numbers, **texts)


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and likelihood of each method beside the paper's."""
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
