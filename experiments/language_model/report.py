"""The section of the report on language models, and its picture."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common import pictures
from experiments.common.reporting import provenance, reason, table


def picture(run: dict[str, Any]) -> Figure:
    """Perplexity of each method and of each of its networks."""
    columns, texts = ("validation perplexity", "validation, network"), {"title": _title(run)}
    return pictures.comparison(run["metrics"], *columns, {}, label="validation perplexity", **texts)


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Perplexity of each method."""
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
            f"## {_title(run)}\n",
            f"![Validation perplexity of each method]({link}{path.stem}.png)\n",
            table(("method", "validation perplexity", "test", "training"), rows),
            f"\nMean ± standard error over {run['config']['num_seeds']} networks, each as it was after its best epoch. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def _title(run: dict[str, Any]) -> str:
    config = run["config"]
    symbols = "characters" if config["dataset"] == "shakespeare" else "words"
    amount = f"{config['max_symbols']:,}".replace(",", " ") if config["max_symbols"] else "all"
    units = f"{config['num_layers']} x {config['width']} units"
    rates = f"rate {config['rate']:g}, recurrent {config['recurrent_rate']:g}"
    return f"Language models of {amount} {symbols} of {config['dataset']}: {units}, {rates}"
