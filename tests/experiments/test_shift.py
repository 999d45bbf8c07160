"""Other pictures, turned digits and the repairs of dropout: the measures, the network, and both experiments, small."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
import jaxdrop.linen
from experiments.common import cifar10 as pictures
from experiments.common.ensembles import Predictions
from experiments.shift import cifar10, train
from experiments.shift.networks import WideResNet
from jaxdrop import metrics

pytestmark = pytest.mark.thorough

SURE, UNSURE = np.eye(10, dtype=np.float32)[:4], np.full((6, 10), 0.1, np.float32)


def predictions(probabilities, spread):
    """All three ways to predict alike; `spread` says how much passes of MC dropout differ."""
    size = len(probabilities)
    votes = jnp.asarray(np.eye(10, dtype=np.int32)[[0] * size] * 8 + np.eye(10, dtype=np.int32)[[1] * size] * spread)
    statistics = {"predictive_entropy": metrics.entropy(probabilities), "expected_entropy": None}
    statistics |= {"mutual_information": jnp.full(size, float(spread)), "votes": votes}
    sampled = jaxdrop.ClassPrediction(probabilities, jnp.full((size, 10), float(spread)), **statistics)
    return Predictions(probabilities, sampled, probabilities)


def test_turns_images_about_their_middle():
    images = np.random.default_rng(0).random((3, 6, 6), np.float32)
    np.testing.assert_array_equal(train.rotate(images, 0), images)
    for angle, quarters in ((90, 1), (180, 2)):
        turned = train.rotate(images, angle)
        np.testing.assert_allclose(turned, np.rot90(images, quarters, axes=(1, 2)), atol=1e-5)
        assert turned.dtype == np.float32
    oblique = train.rotate(np.ones((1, 6, 6), np.float32), 45)
    assert oblique.min() >= 0
    assert oblique.max() <= 1 + 1e-6
    assert oblique[0, 0, 0] == 0


def test_measures_are_those_of_the_samples():
    def sample(key):
        return 3 * jax.random.normal(key, (7, 4))

    p = jaxdrop.monte_carlo(sample, jax.random.key(0), 20, outputs="logits", return_samples=True)
    deterministic, ensemble = (jax.nn.softmax(sample(jax.random.key(seed))) for seed in (1, 2))
    measures = train.uncertainties(Predictions(deterministic, p, ensemble))
    samples = np.asarray(p.samples, float)
    votes = np.stack([np.bincount(column, minlength=4) for column in samples.argmax(-1).T])
    mean = samples.mean(0)
    entropy = -(mean * np.log(mean)).sum(-1)
    expected = {
        "max softmax": 1 - np.asarray(deterministic).max(-1),
        "predictive entropy": entropy,
        "mutual information": entropy + (samples * np.log(samples)).sum(-1).mean(0),
        "variation ratio": 1 - votes.max(-1) / 20,
        "mean standard deviation": samples.std(0).mean(-1),
        "ensemble entropy": -(ensemble * np.log(ensemble)).sum(-1),
    }
    assert set(measures) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(measures[name], values, atol=1e-5, err_msg=name)


def test_unknown_pictures_are_the_positives():
    scores = train.detect(predictions(SURE, 0), {"far": predictions(UNSURE, 1), "near": predictions(SURE[:2], 0)})
    assert len(scores) == 6
    for name, values in scores.items():
        far, near = ([values[f"{score}, {other}"] for score in train.SCORES] for other in ("far", "near"))
        np.testing.assert_allclose(far, [1, 1, 0], err_msg=name)
        np.testing.assert_allclose(near, [1 / 2, 2 / 6, 1], rtol=1e-6, err_msg=name)  # nothing tells them
    reverse = train.detect(predictions(UNSURE, 1), {"far": predictions(SURE, 0)})
    assert [values["AUROC, far"] for values in reverse.values()] == [0] * 6


def test_quality_of_each_way_to_predict():
    labels = np.arange(4)
    p = predictions(SURE, 0)._replace(ensemble=UNSURE[:4])
    scores = train.quality(p, labels)
    assert scores["accuracy, deterministic"] == scores["accuracy, MC dropout"] == 1
    assert scores["NLL, MC dropout"] == pytest.approx(0, abs=1e-6)
    assert scores["NLL, ensemble"] == pytest.approx(np.log(10))
    assert scores["accuracy, ensemble"] == 1 / 4  # of equal probabilities the first counts
    assert scores["ECE, ensemble"] == pytest.approx(1 / 4 - 1 / 10, abs=1e-6)
    assert scores["ensemble entropy"] == pytest.approx(np.log(10))
    assert scores["predictive entropy"] == scores["softmax entropy"] == pytest.approx(0, abs=1e-6)


def test_runs_on_mnist_and_gives_the_same_numbers_when_it_goes_on(tmp_path, monkeypatch):
    def load(name, split):
        rng = np.random.default_rng(len(name) + len(split))
        return train.data.Examples(rng.random((40, 6, 6), np.float32), rng.integers(0, 10, 40).astype(np.int32))

    monkeypatch.setattr(train.data, "load", load)
    monkeypatch.setattr(train, "ANGLES", (0, 90))
    sizes = {"epochs": 2, "batch_size": 20, "num_samples": 5, "num_members": 2, "num_seeds": 2, "max_test": 30}
    config = train.Config(network="8", others="kmnist", **sizes)
    results = train.run(config, tmp_path)
    for name in ("histograms.png", "rotation.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert results == train.run(config, tmp_path)
    assert set(results) == {*train.uncertainties(predictions(SURE, 0)), "0°", "90°"}
    assert 0 < results["mutual information"]["AUROC, kmnist"] < 1
    assert results["0°"]["accuracy, ensemble"] == pytest.approx(round(results["0°"]["accuracy, ensemble"] * 60) / 60)
    assert results["0°"] != results["90°"]


def test_the_wide_network_has_as_many_parameters_as_the_published_one():
    shapes = jax.eval_shape(WideResNet(28, 10).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8))
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes["params"])]
    assert round(sum(sizes) / 1e6, 1) == 36.5  # README of uncertainty-baselines


def dropped(images, **fields):
    """The shapes that dropout sees in a network, and those of its channels that are the same all over a map."""
    seen = []

    def watch(next_fun, args, kwargs, context):
        outputs = next_fun(*args, **kwargs)
        if isinstance(context.module, (jaxdrop.linen.Dropout, jaxdrop.linen.SpatialDropout)):
            zero = np.asarray((outputs == 0) & (args[0] != 0)).any((1, 2))
            seen.append((outputs.shape, bool((zero == np.asarray(outputs == 0).all((1, 2))).all())))
        return outputs

    model = WideResNet(10, 2, **fields)
    variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, images)
    with nn.intercept_methods(watch):
        model.apply(variables, images, rngs={"dropout": jax.random.key(1)})
    return seen


def test_dropout_stands_where_uncertainty_baselines_has_it():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    noise = functools.partial(jaxdrop.linen.Dropout, 0.5, deterministic=False)
    inside = [shape for shape, _ in dropped(images, noise=noise)]
    assert inside == [(2, 8, 8, 32), (2, 4, 4, 64), (2, 2, 2, 128)]
    # The first convolution; then twice before a convolution, after the branch, after the shortcut.
    before = [(2, 8, 8, 16), (2, 8, 8, 32), (2, 4, 4, 64)]
    blocks = [shape for first, middle in zip(before, inside, strict=True) for shape in (first, middle, middle, middle)]
    everywhere = dropped(images, noise=noise, everywhere=True)
    assert [shape for shape, _ in everywhere] == [(2, 8, 8, 16), *blocks]
    assert not all(whole for _, whole in everywhere)
    assert not dropped(images)


def test_filter_wise_noise_drops_whole_maps():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    noise = functools.partial(cifar10.VARIANTS["+ filter-wise"].noise, 0.5, deterministic=False)
    assert all(whole for _, whole in dropped(images, noise=noise, everywhere=True))


def test_mirrors_and_shifts_each_image():
    image = 1 + np.arange(10 * 10 * 3).reshape(10, 10, 3)
    outputs = np.asarray(cifar10.augment(jax.random.key(0), jnp.asarray(np.stack([image] * 400))))
    padded = [np.pad(version, ((4, 4), (4, 4), (0, 0))) for version in (image, image[:, ::-1])]
    expected = {
        version[row : row + 10, column : column + 10].tobytes(): (mirrored, row, column)
        for mirrored, version in enumerate(padded)
        for row in range(9)
        for column in range(9)
    }
    found = np.array([expected[output.astype(image.dtype).tobytes()] for output in outputs])
    assert abs(found[:, 0].mean() - 0.5) < 5 * 0.5 / 400**0.5
    assert set(found[:, 1]) == set(found[:, 2]) == set(range(9))


@pytest.fixture
def tiny_cifar(monkeypatch):
    def load(name, split):
        rng = np.random.default_rng(len(split))
        images = rng.integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
        return pictures.Pictures(images, rng.integers(0, 10, 12).astype(np.int32))

    monkeypatch.setattr(pictures, "load", load)


SMALL = {"depth": 10, "width": 1, "stride": 2, "epochs": 1, "batch_size": 8, "num_repeats": 4, "num_samples": 3}


def test_trains_on_fewer_examples_at_a_time_and_shows_each_several_times(tiny_cifar, tmp_path, monkeypatch):
    fitted, seen, forward = {}, [], WideResNet.__call__

    def fit(loss, variables, optimizer, examples, key, *, batch_size, name, **options):
        loss(variables, tuple(part[:batch_size] for part in examples), jax.random.key(0), 0)
        fitted[name] = (batch_size, len(examples[1]))
        return variables

    def look(self, images):
        if self.train:
            seen.append(np.asarray(images))
        return forward(self, images)

    monkeypatch.setattr(cifar10, "fit", fit)
    monkeypatch.setattr(WideResNet, "__call__", look)
    config = cifar10.Config(variants="dropout;+ small batches;+ repeated examples", augment=False, max_test=4, **SMALL)
    results = cifar10.run(config, tmp_path)
    assert fitted["dropout, 0"] == (8, 24)
    assert fitted["+ small batches, 1"] == fitted["+ repeated examples, 1"] == (2, 24)
    assert [len(images) for images in seen[::2]] == [8, 2, 8]
    np.testing.assert_array_equal(seen[4], np.repeat(seen[2], 4, axis=0))
    assert set(results) == set(config.variants.split(";"))


def test_runs_on_cifar10_and_gives_the_same_numbers_when_it_goes_on(tiny_cifar, tmp_path):
    config = cifar10.Config(variants="no dropout;+ repeated examples", num_seeds=2, max_test=6, **SMALL)
    results = cifar10.run(config, tmp_path)
    assert (tmp_path / "repairs.png").read_bytes().startswith(b"\x89PNG")
    assert results == cifar10.run(config, tmp_path)
    plain, repaired = results.values()
    assert "NLL, without noise" not in plain
    assert repaired["NLL, without noise"] != repaired["NLL"]
    assert 0 <= plain["ECE"] <= 1
    assert plain["accuracy %"] == pytest.approx(round(plain["accuracy %"] * 12 / 100) * 100 / 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "cifar100"}, "dataset must be one of cifar10, cifar10_jpeg, got 'cifar100'"),
        ({"variants": "+ luck"}, "variants must be 'all' or among no dropout; dropout; .* got '\\+ luck'"),
        ({"depth": 12}, "depth must be 10, 16, 22, ... = 6 n \\+ 4, got 12"),
        ({"rate": 0.0}, "rate must be positive and finite, got 0"),
        ({"num_repeats": 3}, "batch_size must be a multiple of num_repeats, got 128, 3"),
    ],
)
def test_refuses_settings_for_cifar10(arguments, message):
    with pytest.raises(ValueError, match=message):
        cifar10.Config(**arguments)


def test_refuses_settings_for_mnist():
    with pytest.raises(ValueError, match="others must be 'all' or among fashion_mnist; notmnist; kmnist, got 'emnist'"):
        train.Config(others="emnist")
    with pytest.raises(ValueError, match="max_test must be at least 0, got -1"):
        train.Config(max_test=-1)
