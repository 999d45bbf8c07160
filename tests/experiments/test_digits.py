"""The digits experiment from end to end, small: its files, its repeatability, its resumption."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from experiments.__main__ import main

ROOT = Path(__file__).parents[2]
SMALL = [
    f"--config.{setting}"
    for setting in ("epochs=6", "depth=1", "width=32", "batch_size=32", "num_samples=8", "learning_rate=0.01")
]


def run(workdir, *changed):
    assert main([*SMALL, *changed, "--workdir", str(workdir)]) == 0
    return json.loads((workdir / "result.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, run(workdir)


@pytest.mark.thorough
def test_writes_result_configuration_pictures_and_events(finished):
    workdir, result = finished
    assert result["config"]["width"] == 32
    assert result["seed"] == 0
    assert result["prng_impl"] == "threefry2x32"
    assert result["versions"]["jax"] == jax.__version__
    assert set(result["versions"]) == {"python", "jax", "jaxlib", "flax", "optax", "numpy", "jaxdrop"}
    assert result["device"] == {"kind": jax.devices()[0].device_kind, "count": jax.device_count()}
    assert result["segments"] == 1
    assert 0 < result["wall_seconds"] < 600
    identity = json.loads((workdir / "config.json").read_text())
    assert identity == {"experiment": "digits", "prng_impl": result["prng_impl"], **result["config"]}
    for picture in ("sure_and_unsure.png", "referral.png"):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")
    assert len(list(workdir.glob("events.*"))) == 1


def test_learns_and_is_surer_where_it_is_right(finished):
    _, result = finished
    for scores in result["metrics"].values():
        assert scores["accuracy"] > 0.8  # chance is 0.1
        assert scores["accuracy, 10 % referred"] > scores["accuracy"]
        assert scores["AURC"] < 1 - scores["accuracy"]
    assert result["metrics"]["deterministic"]["NLL"] != result["metrics"]["MC dropout"]["NLL"]


@pytest.mark.thorough
def test_the_same_configuration_gives_the_same_numbers_and_another_seed_others(finished, tmp_path):
    _, result = finished
    assert run(tmp_path / "again")["metrics"] == result["metrics"]
    assert run(tmp_path / "other", "--config.seed=1")["metrics"] != result["metrics"]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(finished, tmp_path):
    _, result = finished
    workdir = tmp_path / "killed"
    command = [sys.executable, "-m", "experiments", *SMALL, "--workdir", str(workdir)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(workdir.glob("checkpoints/[2-9]")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (first_segment,) = json.loads((workdir / "segments.json").read_text())
    resumed = run(workdir)
    assert resumed["metrics"] == result["metrics"]
    assert resumed["segments"] == 2
    assert resumed["wall_seconds"] > first_segment[1] - first_segment[0] > 0


def test_a_finished_run_prints_its_table_again_and_is_left_alone(finished, capsys):
    workdir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    run(workdir)
    output = capsys.readouterr().out
    assert "finished before" in output
    assert "MC dropout" in output
    assert "AURC" in output
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


def test_the_folder_of_another_configuration_is_refused(finished, capsys):
    workdir, _ = finished
    assert main([*SMALL, "--config.rate=0.25", "--workdir", str(workdir)]) == 2
    assert "holds a run of another configuration (rate: 0.5 there, 0.25 asked for)" in capsys.readouterr().err


def test_a_folder_of_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    assert main([*SMALL, "--workdir", str(tmp_path)]) == 2
    assert "neither an empty folder nor an experiment's run" in capsys.readouterr().err
    assert main([*SMALL, "--workdir", str(tmp_path / "thesis.tex")]) == 2


def test_the_default_folder_is_named_after_the_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path / "nowhere"))
    assert main(["--config.dataset=mnist", "--config.seed=3"]) == 2
    assert (tmp_path / "runs/digits/default,dataset=mnist,seed=3/config.json").exists()
    missing = tmp_path / "nowhere/mnist/train-images-idx3-ubyte.gz"
    assert f"there is no file {missing}" in capsys.readouterr().err
