"""The files of a run: the configuration it belongs to, the time it took, what came out.

config.json     experiment, PRNG implementation, configuration and sums of the files it names; written first
segments.json   start and latest sign of life of each segment of the run, in seconds since 1970
result.json     metrics and everything needed to say where they come from; written last
"""

import dataclasses
import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from experiments.common import own_data
from experiments.common.errors import RefusedError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "jaxdrop")


def open_workdir(workdir: Path, experiment: str, config: Any) -> dict[str, Any] | None:
    """Makes `workdir` the folder of this run: new, to be resumed, or finished.

    Args:
      workdir: Folder; made if it is not there.
      experiment: Name of the experiment.
      config: Its configuration.

    Returns:
      The content of `result.json` if the run is finished, else None.

    Raises:
      RefusedError: If the folder holds another run's files; the message names what differs.
    """
    identity = {
        "experiment": experiment,
        "prng_impl": _prng_impl(),
        **dataclasses.asdict(config),
        **{f"sha256 of {path}": checksum for path, checksum in own_data.sums(config).items()},
    }
    path = workdir / "config.json"
    if path.exists():
        there = json.loads(path.read_text())
        differences = [
            f"{name}: {there.get(name)!r} there, {identity.get(name)!r} asked for"
            for name in identity | there
            if there.get(name) != identity.get(name)
        ]
        if differences:
            raise RefusedError(
                f"{workdir} holds a run of another configuration ({'; '.join(differences)}). "
                "Choose another --workdir, or delete that folder."
            )
    elif workdir.exists() and not (workdir.is_dir() and next(workdir.iterdir(), None) is None):
        raise RefusedError(f"{workdir} is neither an empty folder nor an experiment's run. Choose another --workdir.")
    else:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(path, identity)
    result = workdir / "result.json"
    return json.loads(result.read_text()) if result.exists() else None


def begin_segment(workdir: Path) -> None:
    """Starts the clock of a run, or of a resumed run's next segment."""
    path = workdir / "segments.json"
    segments = json.loads(path.read_text()) if path.exists() else []
    write_json(path, [*segments, [time.time(), time.time()]])


def sign_of_life(workdir: Path) -> None:
    """Extends the current segment to now, so that its time counts if the run is killed."""
    path = workdir / "segments.json"
    if path.exists():
        *earlier, (start, _) = json.loads(path.read_text())
        write_json(path, [*earlier, [start, time.time()]])


def write_result(workdir: Path, config: Any, metrics: dict[str, Any]) -> dict[str, Any]:
    """Writes `result.json` and returns its content.

    Args:
      workdir: Folder of the run.
      config: Configuration, with a field `seed`.
      metrics: Numbers, or dictionaries of them and of lists: one column of the table each.
    """
    sign_of_life(workdir)
    segments = json.loads((workdir / "segments.json").read_text())
    result = {
        "metrics": metrics,
        "config": dataclasses.asdict(config),
        "files": own_data.sums(config),
        "seed": config.seed,
        "prng_impl": _prng_impl(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "device": {"kind": jax.devices()[0].device_kind, "count": jax.device_count()},
        "segments": len(segments),
        "wall_seconds": round(sum(end - start for start, end in segments), 2),
    }
    write_json(workdir / "result.json", result)
    return result


def table(metrics: dict[str, Any]) -> str:
    """Metrics as lines of text: a dictionary of dictionaries is one column each, other numbers follow below.

    Lists are left out.

    Examples:
      >>> print(table({"deterministic": {"accuracy": 0.97}, "dropout": {"accuracy": 0.98}}))
                deterministic    dropout
      accuracy         0.9700     0.9800
    """
    columns = {name: values for name, values in metrics.items() if isinstance(values, dict)}
    single = {name: value for name, value in metrics.items() if name not in columns}
    cells = (cell for column in columns.values() for cell in column.items())
    rows = list(dict.fromkeys(row for row, value in cells if not isinstance(value, list)))
    width = max(map(len, [*rows, *single]))
    lines = []
    if columns:
        lines.append(" " * width + "".join(f"  {name:>9}" for name in columns))
        for row in rows:
            cells = [
                f"{values[row]:>{max(9, len(name))}.4f}" if row in values else " " * max(9, len(name))
                for name, values in columns.items()
            ]
            lines.append("  ".join([f"{row:<{width}}", *cells]))
    return "\n".join(lines + [f"{name:<{width}}  {value:>9.4f}" for name, value in single.items()])


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader, or a run killed now, never meets half a file."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(draft, path)


def _prng_impl() -> str:
    """Name of the implementation behind `jax.random.key`."""
    return str(jax.random.key_impl(jax.random.key(0)))


def _version(package: str) -> str:
    """Version of an installed package, or of one imported from a checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return str(getattr(__import__(package), "__version__", "unknown"))
