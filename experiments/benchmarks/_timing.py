"""What the benchmarks share: timing in turns, compiled memory, the table and the result file."""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import random
import statistics
import string
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

MIB = 2**20
MAX_CALLS = 100
LIBRARIES = ("jax", "jaxlib", "flax", "equinox", "dm-haiku", "keras", "torch", "numpy")
# By the flag of the processor, widest first; times of the same code differ by up to 2.5 between them.
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}


class Contestant(NamedTuple):
    """Something to time: `call` takes a fresh key and returns its outputs; None if its library is not installed."""

    name: str
    call: Callable[[jax.Array], Any] | None
    temporary_mib: float | None = None


def jitted(name: str, function: Callable[..., Any], *args: Any) -> Contestant:
    """Returns a contestant that calls `jax.jit(function)(*args, key)`, and its compiled temporary memory."""
    call = jax.jit(function)
    return Contestant(name, lambda key: call(*args, key), temporary_mib(call, *args))


def temporary_mib(call: jax.stages.Wrapped, *args: Any) -> float | None:
    """Returns the temporary memory that jitted `call(*args, key)` allocates, beside inputs and outputs, in MiB."""
    analysis = call.lower(*args, jax.random.key(0)).compile().memory_analysis()
    return None if analysis is None else analysis.temp_size_in_bytes / MIB


def held_bytes(function: Callable[..., jax.Array], *args: jax.Array) -> int:
    """Returns the bytes that wait for the backward pass of `function(*args)`."""
    _, pullback = jax.vjp(function, *args)
    return sum(leaf.nbytes for leaf in jax.tree.leaves(pullback))


def time_in_turns(
    contestants: Sequence[Contestant], repeats: int, *, min_seconds: float = 0.01
) -> dict[str, list[float]]:
    """Returns `repeats` timings of each installed contestant, in seconds per call.

    Every repeat times each contestant once, so that a disturbance of the machine hits all alike, and in an order of
    its own, so that none always runs in the wake (spinning threads, cold caches) of the same neighbour.

    Args:
      contestants: What to time; their names are distinct.
      repeats: Number of timings of each.
      min_seconds: A timing is the mean over as many calls as take about this long, at most `MAX_CALLS`; each call is
        waited for.
    """
    playing = [(contestant.name, contestant.call) for contestant in contestants if contestant.call is not None]
    key = jax.random.key(0)
    calls = {}
    for name, call in playing:
        key, subkey = jax.random.split(key)
        _seconds_per_call(call, subkey, 1)  # compiles
        key, subkey = jax.random.split(key)
        calls[name] = min(MAX_CALLS, 1 + int(min_seconds / _seconds_per_call(call, subkey, 1)))
    seconds = {name: [] for name, _ in playing}
    order = random.Random(0)
    for _ in range(repeats):
        for name, call in order.sample(playing, len(playing)):
            key, subkey = jax.random.split(key)
            seconds[name].append(_seconds_per_call(call, subkey, calls[name]))
    return seconds


def _seconds_per_call(call: Callable[[jax.Array], Any], key: jax.Array, calls: int) -> float:
    keys = list(jax.random.split(key, MAX_CALLS))  # as many every time, so that this compiles once
    jax.block_until_ready(keys)
    start = time.perf_counter()
    for key in keys[:calls]:
        jax.block_until_ready(call(key))
    return (time.perf_counter() - start) / calls


def timed_rows(case: str, contestants: Sequence[Contestant], repeats: int) -> list[dict[str, Any]]:
    """Times the contestants and returns one row each: case, name, note, the times in ms and the memory in MiB."""
    seconds = time_in_turns(contestants, repeats)
    rows = []
    for contestant in contestants:
        row = {
            "case": case,
            "name": contestant.name,
            "note": "",
            "median_ms": None,
            "min_ms": None,
            "max_ms": None,
            "temporary_mib": contestant.temporary_mib,
        }
        if contestant.call is None:
            row["note"] = "not installed"
        else:
            times = [1e3 * second for second in seconds[contestant.name]]
            row.update(median_ms=statistics.median(times), min_ms=min(times), max_ms=max(times))
        rows.append(row)
    return rows


def parse_shape(text: str) -> tuple[int, ...]:
    """Parses `1024x1024`."""
    return tuple(int(size) for size in text.split("x"))


def format_shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def ratio(value: float | None, base: float | None) -> float | None:
    """Returns `value / base`, or None where either is unknown or the base is zero."""
    return None if value is None or not base else value / base


def environment() -> dict[str, Any]:
    """Returns what the figures depend on: device, threads, load and versions."""
    device = jax.devices()[0]
    affinity = getattr(os, "sched_getaffinity", None)
    torch = sys.modules.get("torch")  # only if a contestant needed it
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": f"{device.platform}: {device.device_kind}",
        "device_count": jax.device_count(),
        "processor": processor(),
        "cpu_threads": len(affinity(0)) if affinity else os.cpu_count(),
        "torch_threads": torch.get_num_threads() if torch else None,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "key_implementation": str(jax.random.key_impl(jax.random.key(0))),
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
    }


def processor(cpuinfo: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> str:
    """Returns the processor's name and its widest vector instructions, as precisely as the system tells them."""
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        values = {name.strip(): value.strip() for name, _, value in lines}
        flags = values.get("flags", "").split()
        widest = next((f" ({name})" for flag, name in VECTORS.items() if flag in flags), "")
        if "model name" in values:
            return values["model name"] + widest
    return platform.processor() or platform.machine()


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def print_environment(values: dict[str, Any]) -> None:
    print("  ".join(f"{name}={value}" for name, value in values.items()))


def print_table(title: str, rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    """Prints rows under a title; `columns` maps a heading to a format such as `{median_ms:.2f}`; unknown is n/a."""
    cells = [list(columns)]
    for row in rows:
        known = [all(row[name] is not None for name in _fields(form)) for form in columns.values()]
        cells.append(
            [form.format(**row) if there else "n/a" for form, there in zip(columns.values(), known, strict=True)]
        )
        if row["note"]:
            cells[-1][1:] = [row["note"]] + [""] * (len(columns) - 2)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for line in cells:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())
    sys.stdout.flush()


def _fields(form: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(form) if name]


def command_line(benchmark: str, description: str | None, repeats: int) -> argparse.ArgumentParser:
    """Returns a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.benchmarks.{benchmark}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--out", help="file for all figures, as JSON")
    return parser


def start_report(benchmark: str, args: argparse.Namespace) -> dict[str, Any]:
    """Returns a report without rows: the environment, which it prints, and the settings less the path of the result."""
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    report = {"benchmark": benchmark, "environment": environment(), "settings": settings, "rows": []}
    print_environment(report["environment"])
    return report


def write_report(path: str | None, report: dict[str, Any]) -> None:
    """Writes a report as JSON, if there is a path."""
    if path is not None:
        pathlib.Path(path).write_text(json.dumps(report, indent=2) + "\n")
