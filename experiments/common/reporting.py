"""What the sections of the report share."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def reason(path: Path) -> list[str]:
    """What we think of the numbers in a result file: the text of the same name beside it, or nothing."""
    beside = path.with_suffix(".md")
    return [beside.read_text()] if beside.exists() else []


def provenance(path: Path, run: dict[str, Any], link: str) -> str:
    """Which file a table is made from, and where and in what time that was."""
    device, versions = run["device"], run["versions"]
    return (
        f"[{path.name}]({link}{path.name}): seed {run['seed']}, "
        f"{run['wall_seconds'] / 60:.0f} min on {device['kind']}, jax {versions['jax']}."
    )


def with_error(column: Mapping[str, float], name: str, digits: int, factor: float = 1) -> str:
    """A mean and its standard error, as `means_and_errors` names them, or nothing where there is none."""
    if name not in column:
        return ""
    return f"{factor * column[name]:.{digits}f} ± {factor * column[f'{name}, error']:.{digits}f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def columns(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The metrics that have numbers of their own, without the single numbers beside them."""
    return {name: values for name, values in metrics.items() if isinstance(values, dict)}


def deployed(networks: Mapping[str, Mapping[str, float]]) -> str:
    """A table of what is left of networks where they are used."""
    rows = [
        (name.removeprefix("deployed: "), f"{values['parameters']:.0f}", f"{values['kB']:.0f}", f"{values['ms']:.2f}")
        for name, values in networks.items()
    ]
    return table(("deployed", "parameters", "kB on disk", "ms for the test examples"), rows)


def differences(metrics: Mapping[str, Any]) -> str:
    """By how much logits of small networks differ from those of the large one."""
    return ", ".join(f"{value:.0e}" for name, value in metrics.items() if name.startswith("largest difference"))
