"""A user's own examples: read, split and refused by name, and an experiment on them."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.common import data, own_data, results
from experiments.common.errors import RefusedError


@pytest.fixture
def arrays():
    """Twelve examples to train on and three to test on, numbered by their labels."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.normal(size=(12, 3)),
        "y_train": np.arange(12),
        "x_test": rng.normal(size=(3, 3)),
        "y_test": np.arange(3),
    }


def saved(folder, name="own", **arrays):
    np.savez(folder / name, **arrays)
    return str(folder / f"{name}.npz")


def test_without_examples_for_validation_the_last_sixth_of_those_for_training_are(arrays, tmp_path):
    path = saved(tmp_path, **arrays)
    train, validation, test = (data.load(path, split) for split in data.SPLITS)
    np.testing.assert_array_equal(train.images, arrays["x_train"][:10].astype(np.float32))
    assert [train.labels.tolist(), validation.labels.tolist(), test.labels.tolist()] == [
        [*range(10)],
        [10, 11],
        [0, 1, 2],
    ]
    assert (train.images.dtype, train.labels.dtype) == (np.float32, np.int32)
    assert data.num_classes(train, validation, test) == 12


def test_examples_for_validation_are_taken_from_the_file(arrays, tmp_path):
    path = saved(tmp_path, **arrays, x_validation=np.ones((2, 3)), y_validation=np.array([7, 8]))
    assert data.load(path, "train").labels.tolist() == [*range(12)]
    assert data.load(path, "validation").labels.tolist() == [7, 8]


def test_bytes_become_brightness(arrays, tmp_path):
    pictures = {name: np.full((len(arrays[name]), 2, 2), 51, np.uint8) for name in ("x_train", "x_test")}
    np.testing.assert_allclose(data.load(saved(tmp_path, **arrays | pictures), "test").images, 0.2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_train": np.arange(11)}, r"y_train must be \(12,\), integers from 0, got \(11,\) of int64"),
        ({"x_test": np.ones((3, 4))}, r"x_test, \(3, 4\) of float64, must be like x_train, \(12, 3\) of float64"),
        ({"x_test": np.ones((3, 3), np.uint8)}, r"x_test, \(3, 3\) of uint8, must be like x_train"),
        ({"x_train": np.ones(12)}, r"x_train must be \(examples, ...\), finite numbers, got \(12,\)"),
        ({"y_test": np.array([0, 1, -1])}, "y_test must be .* integers from 0"),
        ({"y_test": np.ones(3)}, "integers from 0, got .* of float64"),
        ({"x_test": np.full((3, 3), np.nan)}, "x_test must be .* finite"),
        ({"x_test": np.full((3, 3), "a")}, "x_test must be .* finite numbers"),
        ({"x_validation": np.ones((2, 3))}, r"own\.npz lacks y_validation"),
        ({"x_train": np.ones((1, 3)), "y_train": np.ones(1, int)}, "x_train must have two examples or more"),
    ],
)
def test_refuses_arrays_that_do_not_fit(arrays, tmp_path, changed, message):
    with pytest.raises(RefusedError, match=message):
        data.load(saved(tmp_path, **arrays | changed), "train")


def test_refuses_a_file_that_is_not_there_or_lacks_an_array(arrays, tmp_path):
    with pytest.raises(RefusedError, match=r"there is no file .*none\.npz"):
        data.load(str(tmp_path / "none.npz"), "train")
    del arrays["y_test"]
    with pytest.raises(RefusedError, match=r"own\.npz lacks y_test"):
        data.load(saved(tmp_path, **arrays), "train")
    (tmp_path / "own.npz").write_text("no archive")
    with pytest.raises(RefusedError, match=r"own\.npz cannot be read"):
        data.load(str(tmp_path / "own.npz"), "train")


def test_inputs_alone_need_nothing_else(arrays, tmp_path):
    path = saved(tmp_path, x_test=arrays["x_test"])
    np.testing.assert_array_equal(data.load_inputs(path), arrays["x_test"].astype(np.float32))
    with pytest.raises(RefusedError, match=r"own\.npz lacks x_test"):
        data.load_inputs(saved(tmp_path, x_train=arrays["x_test"]))


@dataclasses.dataclass(frozen=True)
class Config:
    dataset: str
    others: str = "a;b"
    seed: int = 0


def test_a_run_is_of_what_is_in_the_file(arrays, tmp_path):
    config = Config(saved(tmp_path, **arrays))
    assert results.open_workdir(tmp_path / "run", "any", config) is None
    assert results.open_workdir(tmp_path / "run", "any", config) is None
    results.begin_segment(tmp_path / "run")
    assert list(results.write_result(tmp_path / "run", config, {})["files"]) == [config.dataset]
    saved(tmp_path, **arrays | {"y_test": np.zeros(3, int)})
    with pytest.raises(RefusedError, match=r"another configuration .sha256 of .*own"):
        results.open_workdir(tmp_path / "run", "any", config)
    both = Config("mnist", f"fashion_mnist;{config.dataset}")
    assert list(own_data.sums(both)) == [config.dataset]


def test_only_a_path_is_one():
    assert own_data.is_file("a/b.npz")
    assert not own_data.is_file("mnist")


SMALL = {"network": "8", "epochs": 3, "batch_size": 20, "num_samples": 5, "num_members": 2, "num_seeds": 2}


def run(config, workdir, **options):
    arguments = [f"--config.{name}={value}" for name, value in {**SMALL, **options}.items()]
    status = main([f"configs/{config}.py", "--workdir", str(workdir), *arguments])
    return status, json.loads((workdir / "result.json").read_text())["metrics"] if status == 0 else None


@pytest.mark.thorough
def test_refers_cases_of_ones_own(tmp_path):
    """Three classes, told by the sign of features, but for every tenth case of the test."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 4)), rng.integers(0, 3, 400)
    x[np.arange(400), y] += 6
    wrong = np.where(np.arange(100) % 10 == 0, (y[300:] + 1) % 3, y[300:])
    path = saved(tmp_path, x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=wrong)
    settings = {"epochs": 40, "learning_rate": 0.01, "rate": 0.1}
    status, metrics = run("referral/fashion_mnist", tmp_path / "run", dataset=path, **settings)
    assert status == 0
    assert metrics["test cases"] == 100
    assert 85 < metrics["softmax confidence"]["accuracy %, 0 % referred"] <= 91


@pytest.mark.thorough
def test_tells_pictures_from_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("experiments.shift.train.ANGLES", (0, 90))
    noise, y = np.random.default_rng(0).random((60, 6, 6)) / 10, np.arange(60) % 2
    bright = np.arange(6) // 3 == y[:, None, None]  # one half or the other
    pictures = 0.9 * bright + noise
    known = saved(tmp_path, x_train=pictures, y_train=y, x_test=pictures[:20], y_test=y[:20])
    grey = saved(tmp_path, "grey", x_test=0.45 + noise)
    settings = {"dataset": known, "network": "32", "epochs": 60, "learning_rate": 0.02, "rate": 0.2}
    status, metrics = run("shift/mnist", tmp_path / "run", others=grey, **settings)
    assert status == 0
    assert metrics["0°"]["accuracy, ensemble"] == 1
    assert metrics["predictive entropy"]["AUROC, grey"] > 0.9

    for name, inputs in (("tables", noise[:, 0]), ("unscaled", 255 * noise)):
        others = saved(tmp_path, name, x_test=inputs)
        assert run("shift/mnist", tmp_path / "refused" / name, dataset=known, others=others)[0] == 2
        assert "of one size, and bytes or from 0 to 1" in capsys.readouterr().err
    assert run("shift/mnist", tmp_path / "refused", dataset=known, others=known)[0] == 2
    assert "different names" in capsys.readouterr().err
