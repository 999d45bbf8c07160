"""Tests that the benchmarks run, compare what they say they compare, and report it."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import _contestants, _timing, drop_block, drop_connect, dropout, methods, monte_carlo
from tests.statistical import assert_mean

LAYERS = ["multiply", "jaxdrop", "jaxdrop bits=8", "flax.linen", "equinox", "haiku", "keras", "torch (eager)"]

# The other libraries are not written for the strict settings of our own tests.
pytestmark = [pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()  # no later test gets what was compiled here


@pytest.fixture(autouse=True)
def default_settings():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def hide(monkeypatch, *libraries):
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)


@pytest.mark.thorough
def test_dropout_reports_every_contestant_and_writes_it(tmp_path, monkeypatch, capsys):
    hide(monkeypatch, "torch", "keras")
    path = tmp_path / "dropout.json"
    arguments = f"--sizes 4x8 --dtypes float32 --repeats 1 --layers 1 --width 4 --batch 2 --out {path}"
    report = dropout.main(arguments.split(" "))
    assert json.loads(path.read_text())["rows"] == report["rows"]
    assert str(tmp_path) not in path.read_text()
    layers, steps = report["rows"][:-4], report["rows"][-4:]
    assert [row["name"] for row in layers] == 2 * LAYERS
    assert [row["name"] for row in steps] == ["no dropout", "jaxdrop", "jaxdrop bits=8", "flax.linen"]
    for row in layers + steps:
        if row["note"] == "not installed":
            assert row["median_ms"] is None
        else:
            assert row["min_ms"] == row["median_ms"] == row["max_ms"] > 0
            assert row["temporary_mib"] >= 0
        if row["name"] == "flax.linen":
            assert row["time_vs_flax"] == 1
    absent = {row["name"] for row in report["rows"] if row["note"]}
    assert {"keras", "torch (eager)"} <= absent <= {"equinox", "haiku", "keras", "torch (eager)"}
    assert steps[0]["over_no_dropout_percent"] == 0
    assert capsys.readouterr().out.count("not installed") >= 4


@pytest.mark.parametrize("dtype", dropout.DTYPES)
@pytest.mark.parametrize("library", LAYERS[1:-1])
def test_every_jax_layer_is_dropout(library, dtype):
    layer = _contestants.jax_layers(0.5)[library]
    if layer is None:
        pytest.skip(f"{library} is not installed")
    y = jax.jit(layer)(jax.random.key(0), jnp.ones((8, 8), dtype))
    assert y.dtype == dtype
    assert set(y.ravel().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("direction", dropout.DIRECTIONS)
def test_torch_is_timed_on_dropout(direction):
    pytest.importorskip("torch")
    outputs = _contestants.torch_calls(0.5, (8, 8), "float32")[direction](jax.random.key(0))
    if direction == "forward":
        assert outputs.shape == (8, 8)
        assert not outputs.requires_grad
        assert (outputs == 0).any()
    else:
        y, gradient = outputs
        assert ((y == 0) == (gradient == 0)).all()


@pytest.mark.slow
def test_monte_carlo_reports_every_contestant_and_writes_it(tmp_path, monkeypatch):
    contestants, build = [], monte_carlo.contestants
    monkeypatch.setattr(monte_carlo, "contestants", lambda *args: contestants.extend(new := build(*args)) or new)
    path, num_samples = tmp_path / "monte_carlo.json", 1000
    arguments = f"--sizes 3x4x40x2 --samples {num_samples} --chunks 10 --repeats 1 --out {path}"
    report = monte_carlo.main(arguments.split(" "))
    assert json.loads(path.read_text())["rows"] == report["rows"]
    ours, flax = report["rows"][:6], report["rows"][6:]
    assert [row["name"].partition(" (")[0] for row in ours] == [
        "monte_carlo, chunk default",
        "monte_carlo, chunk 10",
        "sub-networks, chunk default",
        *monte_carlo.RIVALS,
    ]
    assert [row["name"].partition(" (")[0] for row in flax] == ["monte_carlo, chunk default", *monte_carlo.RIVALS]
    for rows in (ours, flax):
        assert min(row["time_vs_best"] for row in rows[-3:]) == 1
        assert rows[-1]["memory_vs_vmap"] == 1
    assert min(row["time_vs_best_flax"] for row in flax[-3:]) == 1
    assert_predictions_agree(
        {contestant.name: contestant.call(jax.random.key(1)) for contestant in contestants}, num_samples
    )


def assert_predictions_agree(predictions, num_samples):
    """All means lie within six standard errors of their difference from the last one's."""
    *_, (expected, variance) = predictions.values()
    for name, (mean, _) in predictions.items():
        assert jnp.all(jnp.abs(mean - expected) <= 6 * jnp.sqrt(2 * variance / num_samples)), name


@pytest.mark.thorough
def test_turns_are_taken_by_all_installed_contestants():
    calls = {"a": 0, "b": 0}

    def count(name):
        def call(key):
            calls[name] += 1

        return call

    contestants = [
        _timing.Contestant("a", count("a")),
        _timing.Contestant("absent", None),
        _timing.Contestant("b", count("b")),
    ]
    seconds = _timing.time_in_turns(contestants, repeats=3, min_seconds=0)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert calls == {"a": 5, "b": 5}  # and one call to compile, one to see how long it takes


def test_table_shows_what_is_unknown(capsys):
    rows = [
        {"name": "ours", "note": "", "value": 1.25},
        {"name": "theirs", "note": "", "value": None},
        {"name": "absent", "note": "not installed", "value": None},
    ]
    _timing.print_table("title", rows, {"": "{name}", "value": "{value:.1f}"})
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["value"],
        ["ours", "1.2"],
        ["theirs", "n/a"],
        ["absent", "not", "installed"],
    ]


@pytest.mark.slow
def test_methods_reports_every_method_and_what_it_holds(tmp_path):
    path = tmp_path / "methods.json"
    report = methods.main(f"--shape 4x8x8x16 --repeats 1 --out {path}".split(" "))
    assert json.loads(path.read_text())["rows"] == report["rows"]
    by_name = {row["name"]: row for row in report["rows"]}
    assert list(by_name) == [*methods.METHODS, *methods.layers(16), *methods.recurrent(16), *methods.attention()]
    for baseline in ("dropout", "dense", "lstm", "attention"):
        assert by_name[baseline]["time_vs_baseline"] == 1
    assert by_name["ZoneoutCell"]["baseline"] == "lstm"
    # A key and a rate are held, no mask; the places of 64 maxima; beliefs; tokens; weights; masks; inputs and kernel.
    more = {
        "max_drop": 256 / 4096,
        "standout": 4,
        "embedding_dropout": 4 / 16,
        "drop_attention": 4,
        "masksembles": 5,
        "drop_connect_dense": 4,
        "drop_connect_dense, one mask": 4,
    }
    for name in [*methods.METHODS, *methods.layers(16)]:
        assert 0 <= by_name[name]["held_bytes"] - more.get(name, 0) < 0.3


@pytest.mark.thorough
def test_drop_block_reports_every_contestant_and_writes_it(tmp_path):
    path = tmp_path / "drop_block.json"
    report = drop_block.main(f"--sizes 2x6x6x3 --block 3 --rate 0.2 --repeats 1 --out {path}".split(" "))
    assert json.loads(path.read_text())["rows"] == report["rows"]
    assert [row["name"] for row in report["rows"]] == 2 * list(drop_block.LAYERS)
    for row in report["rows"]:
        assert row["median_ms"] > 0
        assert (row["held_bytes"] < 4) == (row["name"] == drop_block.OURS)  # of float32
        assert row["name"] != drop_block.OURS or row["time_vs_ours"] == row["memory_vs_ours"] == 1


@pytest.mark.parametrize("name", list(drop_block.LAYERS))
def test_every_drop_block_layer_drops_whole_blocks(name):
    draw = jax.jit(lambda key, x: drop_block.LAYERS[name](key, x, 0.1, 3))
    x = jnp.ones((400, 9, 9, 1))
    dropped = draw(jax.random.key(0), x) == 0
    covering = np.array([1, 2, 3, 3, 3, 3, 3, 2, 1])  # starts of blocks that cover a row; blocks overlap
    gamma = 0.1 * 9**2 / (3**2 * 7**2)
    assert_mean(dropped.mean((1, 2, 3)), np.mean(1 - (1 - gamma) ** np.outer(covering, covering)))
    whole = jnp.stack([dropped[:, i : i + 7, j : j + 7] for i in range(3) for j in range(3)]).all(0)
    covered = jnp.zeros(dropped.shape, bool)
    for i in range(3):
        for j in range(3):
            covered = covered.at[:, i : i + 7, j : j + 7].set(covered[:, i : i + 7, j : j + 7] | whole)
    assert (covered == dropped).all()


@pytest.mark.thorough
def test_drop_connect_reports_every_contestant_and_writes_it(tmp_path):
    path = tmp_path / "drop_connect.json"
    report = drop_connect.main(f"--batch 3 --widths 5 4 --rates 0.5 --repeats 1 --out {path}".split(" "))
    assert json.loads(path.read_text())["rows"] == report["rows"]
    assert [row["name"] for row in report["rows"]] == 2 * list(drop_connect.layers(0.5))
    for row in report["rows"]:
        assert row["median_ms"] > 0
        assert row["temporary_mib"] >= 0
        assert row["name"] != drop_connect.NAIVE or row["time_vs_naive"] == 1
        assert row["name"] != drop_connect.DENSE or row["time_vs_dense"] == 1


@pytest.mark.parametrize("name", list(drop_connect.layers(0.5))[:-1])
def test_every_drop_connect_layer_is_one(name):
    draw = jax.jit(drop_connect.layers(0.5)[name])
    y = draw(jax.random.key(0), jnp.ones((2000, 1)), jnp.ones((1, 3)))
    assert set(y.ravel().tolist()) == {0.0, 1.0} or name == "jaxdrop, one mask"
    assert (y[0] == y).all() == (name == "jaxdrop, one mask")
    assert (draw(jax.random.key(0), jnp.zeros((1, 1)), jnp.ones((1, 3))) == 0).all()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("sse2 avx avx2 avx512f", "Abacus 5 (AVX-512)"), ("sse2 avx2", "Abacus 5 (AVX2)"), ("sse2", "Abacus 5")],
)
def test_the_processor_is_named_with_its_widest_vectors(flags, expected, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: Abacus 5\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert _timing.processor(path) == expected
    path.write_text("processor : 0\n")
    assert _timing.processor(path) == _timing.processor(tmp_path / "nowhere") != ""
