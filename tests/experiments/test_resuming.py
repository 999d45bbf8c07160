"""Runs that are killed, and started again by the same command, end with the numbers of those that are not.

Each application from its own configuration file, made small, in processes of their own.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = {
    "digits/default": {"epochs": 40},
    "referral/breast_cancer": {"num_seeds": 5, "epochs": 300},
    "bayesian_optimisation/branin": {"methods": "dropout, Thompson", "num_seeds": 5},
    "where_it_fails/default": {"num_seeds": 2, "line_epochs": 300, "epochs": 10},
    "perception/spatial_dropout": {"num_train": 320, "num_test": 50, "epochs": 6, "num_seeds": 2, "repeats": 1},
    "active_learning/mnist_bald": {"max_labels": 60, "max_labels_random": 60, "num_seeds": 2},
    "shift/mnist": {"epochs": 4, "max_test": 500, "num_samples": 10, "num_seeds": 2},
    "shift/cifar10_short": {
        "variants": "dropout;+ filter-wise",
        "max_examples": 640,
        "max_test": 200,
        "epochs": 10,
        "num_seeds": 2,
    },
}
OF_DATA = {"perception", "active_learning", "shift"}

pytestmark = pytest.mark.slow


def start(name: str, workdir: Path, seconds: float | None = None) -> bool:
    """Runs an experiment, and kills it after some seconds. Returns whether it ended by itself."""
    options = [f"--config.{field}={value}" for field, value in SMALL[name].items()]
    command = [sys.executable, "-m", "experiments", f"configs/{name}.py", "--workdir", str(workdir), *options]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=seconds)  # SIGKILL, if it is late
    except subprocess.TimeoutExpired:
        return False
    return True


def numbers(values: dict) -> dict:
    """Metrics, without milliseconds."""
    return {
        name: numbers(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if not name.startswith("ms")
    }


@pytest.mark.parametrize("name", SMALL)
def test_a_run_that_was_killed_ends_as_one_that_was_not(name, tmp_path):
    if name.split("/")[0] in OF_DATA and "JAXDROP_DATA" not in os.environ:
        pytest.skip("needs data")
    begin = time.monotonic()
    assert start(name, tmp_path / "whole")
    took = time.monotonic() - begin
    assert not start(name, tmp_path / "killed", 0.6 * took), "too short to be killed"
    assert start(name, tmp_path / "killed")
    whole, killed = (json.loads((tmp_path / run / "result.json").read_text()) for run in ("whole", "killed"))
    assert killed["segments"] == 2
    assert numbers(killed["metrics"]) == numbers(whole["metrics"])
    # Tensorboard's files end with the epoch that training went on from; where there are none, time tells.
    epochs = {path.name.rpartition(".")[2] for path in (tmp_path / "killed").rglob("events.out.*")}
    *_, (begin, end) = json.loads((tmp_path / "killed" / "segments.json").read_text())
    assert epochs - {"0"} if epochs else end - begin < 0.85 * whole["wall_seconds"], "began anew"
