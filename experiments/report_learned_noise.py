"""The sections of the report on learned noise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.reporting import provenance, reason, table

# By network: rows of the papers' tables in the authors' repositories; V.
SPARSE_VD = {
    "300-100": (
        ("paper: dense", "1.64", "", "", "", "1"),
        ("paper: magnitude (Han et al. 2015)", "1.59", "", "", "92.0 - 91.0 - 74.0", "12"),
        ("paper: sparse VD", "1.92", "", "", "98.9 - 97.2 - 62.0", "68"),
    ),
    "lenet5": (
        ("paper: dense", "0.80", "", "", "", "1"),
        ("paper: magnitude (Han et al. 2015)", "0.77", "", "", "34 - 88 - 92.0 - 81", "12"),
        ("paper: sparse VD", "0.75", "", "", "67 - 98 - 99.8 - 95", "280"),
    ),
}
SBP = {
    "500-300": (
        ("paper: dense", "1.54", "784-500-300"),
        ("paper: sparse VD", "1.57", "537-217-130"),
        ("paper: pruned", "1.55", "245-160-55"),
    )
}


def sparse_vd(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and sparsity beside the paper's, and what is left where it is used."""
    metrics, config = run["metrics"], run["config"]
    kinds = {name: values for name, values in metrics.items() if "compression" in _columns(metrics).get(name, {})}
    rows = [
        (
            "dense, with dropout" if name == "dense" and config["dropout_rate"] else name,
            _with_error(values),
            f"{values['NLL']:.3f}",
            f"{values['training error %']:.2f}",
            " - ".join(f"{value:.1f}" for key, value in values.items() if key.startswith("sparsity")),
            f"{values['compression']:.0f}",
        )
        for name, values in kinds.items()
    ]
    labels = ", permuted labels" if config["random_labels"] else ""
    published = () if labels or config["dataset"] != "mnist" else SPARSE_VD.get(config["network"], ())
    source = " The papers' numbers: the table in the authors' repository; V." if published else ""
    heads = ("network", "test error, %", "NLL", "training error, %", "sparsity by layer, %", "compression")
    number = config["num_seeds"]
    networks = "One network" if number == 1 else f"Mean of {number} networks"
    title = f"{config['network']}, {config['dataset']}{labels}, {config['epochs']} epochs"
    return "\n".join(
        [
            f"## Sparse variational dropout: {title}\n",
            table(heads, [*rows, *published]),
            f"\n{networks}. {provenance(path, run, link)}{source}\n",
            *reason(path),
            _deployed({name: values for name, values in _columns(metrics).items() if name.startswith("deployed")}),
            f"\nLogits of the small networks differ from the large one's by {_differences(metrics)} at most.\n",
        ]
    )


def sbp(path: Path, run: dict[str, Any], link: str) -> str:
    """Error and units beside the paper's, and what is left where it is used."""
    metrics, config = run["metrics"], run["config"]
    columns = _columns(metrics)
    rows = [
        (
            name,
            f"{values['error %']:.2f}",
            "-".join(f"{value:.0f}" for key, value in values.items() if key.startswith("inputs")),
        )
        for name, values in columns.items()
    ]
    published = SBP.get(config["network"], ()) if config["dataset"] == "mnist" else ()
    source = " The papers' numbers: the table in the authors' repository; V." if published else ""
    return "\n".join(
        [
            f"## Structured Bayesian pruning: {config['network']}, {config['dataset']}, {config['epochs']} epochs\n",
            table(("network", "test error, %", "inputs of each layer"), [*rows, *published]),
            f"\nOne network. {provenance(path, run, link)}{source}\n",
            *reason(path),
            _deployed(columns),
            f"\nLogits of the small network differ from the large one's by {_differences(metrics)} at most.\n",
        ]
    )


def concrete(path: Path, run: dict[str, Any], link: str) -> str:
    """Rates and uncertainties against the number of examples."""
    config, columns = run["config"], _columns(run["metrics"])
    names = [name for name in next(iter(columns.values())) if not name.endswith("deviation")]
    rows = [(column, *(_spread(values, name) for name in names)) for column, values in columns.items()]
    return "\n".join(
        [
            "## Concrete dropout on a line with noise\n",
            f"![Rates and uncertainties]({link}{path.stem}.png)\n",
            table(("examples", *names), rows),
            f"\nMean ± standard deviation over {config['num_seeds']} networks. The authors' notebook has (V) RMSE "
            "1.82, 1.18, 1.15, 1.15, 1.07, 1.21 and rates of .077, .069, .071, .079, .075, .079 before the first layer "
            f"and .404, .404, .326, .236, .231, .137 before the second. {provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def gradient_variance(path: Path, run: dict[str, Any], link: str) -> str:
    """The variance of gradients by estimator."""
    columns, config = run["metrics"], run["config"]
    rows = [(name, *(f"{values[name]:.2e}" for values in columns.values())) for name in next(iter(columns.values()))]
    return "\n".join(
        [
            f"## Variance of gradients: 784 - 3 x {config['width']} - 10, {config['dataset']}\n",
            table(("gradient of", *columns), rows),
            f"\nSummed over the weights of a layer, from {config['num_gradients']} gradients each. "
            f"{provenance(path, run, link)}\n",
            *reason(path),
        ]
    )


def _columns(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {name: values for name, values in metrics.items() if isinstance(values, dict)}


def _with_error(values: Mapping[str, float]) -> str:
    error = f" ± {values['standard error']:.2f}" if "standard error" in values else ""
    return f"{values['error %']:.2f}{error}"


def _spread(values: Mapping[str, float], name: str) -> str:
    spread = f" ± {values[f'{name}, deviation']:.3f}" if f"{name}, deviation" in values else ""
    return f"{values[name]:.3f}{spread}"


def _deployed(columns: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (name.removeprefix("deployed: "), f"{values['parameters']:.0f}", f"{values['kB']:.0f}", f"{values['ms']:.2f}")
        for name, values in columns.items()
    ]
    return table(("deployed", "parameters", "kB on disk", "ms for the test examples"), rows)


def _differences(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{value:.0e}" for name, value in metrics.items() if name.startswith("largest difference"))
