"""Other pictures, turned digits and the repairs of dropout: the measures, the network, and both experiments, small."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
import jaxdrop.linen
from experiments.common import cifar10 as pictures
from experiments.common import ensembles
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
    measures = ensembles.uncertainties(Predictions(deterministic, p, ensemble))
    samples = np.asarray(p.samples, float)
    votes = np.stack([np.bincount(column, minlength=4) for column in samples.argmax(-1).T])
    mean = samples.mean(0)
    entropy = -(mean * np.log(mean)).sum(-1)
    expected = {
        "softmax confidence": 1 - np.asarray(deterministic).max(-1),
        "softmax entropy": -(deterministic * np.log(deterministic)).sum(-1),
        "MC dropout confidence": 1 - mean.max(-1),
        "predictive entropy": entropy,
        "mutual information": entropy + (samples * np.log(samples)).sum(-1).mean(0),
        "variation ratio": 1 - votes.max(-1) / 20,
        "mean standard deviation": samples.std(0).mean(-1),
        "ensemble confidence": 1 - np.asarray(ensemble).max(-1),
        "ensemble entropy": -(ensemble * np.log(ensemble)).sum(-1),
    }
    assert set(measures) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(measures[name][0], values, atol=1e-5, err_msg=name)


def test_unknown_pictures_are_the_positives():
    scores = train.detect(predictions(SURE, 0), {"far": predictions(UNSURE, 1), "near": predictions(SURE[:2], 0)})
    assert len(scores) == 9
    for name, values in scores.items():
        far, near = ([values[f"{score}, {other}"] for score in train.SCORES] for other in ("far", "near"))
        np.testing.assert_allclose(far, [1, 1, 0], err_msg=name)
        np.testing.assert_allclose(near, [1 / 2, 2 / 6, 1], rtol=1e-6, err_msg=name)  # nothing tells them
    reverse = train.detect(predictions(UNSURE, 1), {"far": predictions(SURE, 0)})
    assert [values["AUROC, far"] for values in reverse.values()] == [0] * 9


def test_quality_of_each_way_to_predict():
    labels = np.arange(4)
    p = predictions(SURE, 0)._replace(ensemble=UNSURE[:4])
    scores = train.quality(p, labels)
    assert scores["accuracy, deterministic"] == scores["accuracy, MC dropout"] == 1
    assert scores["NLL, MC dropout"] == pytest.approx(0, abs=1e-6)
    assert scores["NLL, ensemble"] == pytest.approx(np.log(10))
    assert scores["accuracy, ensemble"] == 1 / 4  # of equal probabilities the first counts
    assert scores["ECE, ensemble"] == pytest.approx(1 / 4 - 1 / 10, abs=1e-6)
    assert scores["NLL, difference, ensemble"] == pytest.approx(np.log(10), abs=1e-5)
    assert scores["accuracy, difference, deterministic"] == 0
    assert scores["ensemble entropy"] == pytest.approx(np.log(10))
    assert scores["predictive entropy"] == scores["softmax entropy"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_runs_on_mnist(tmp_path, monkeypatch):
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
    assert set(results) == {*ensembles.uncertainties(predictions(SURE, 0)), "0°", "90°"}
    assert 0 < results["mutual information"]["AUROC, kmnist"] < 1
    right = 60 * results["0°"]["accuracy, ensemble"]  # of 30 images and two seeds
    assert right == pytest.approx(round(right), abs=1e-4)
    assert results["0°"] != results["90°"]


def test_the_wide_network_has_as_many_parameters_as_the_published_one():
    shapes = jax.eval_shape(WideResNet(28, 10).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8))
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes["params"])]
    assert round(sum(sizes) / 1e6, 1) == 36.5  # README of uncertainty-baselines


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)


def around_dropout(transform, **fields):
    """What goes in and comes out of each dropout layer of a network of ten convolutions."""

    def forward():
        seen = []

        def watch(next_fun, args, kwargs, context):
            outputs = next_fun(*args, **kwargs)
            is_noise = isinstance(context.module, (jaxdrop.linen.Dropout, jaxdrop.linen.SpatialDropout))
            if is_noise and context.method_name == "__call__":
                seen.append((args[0], outputs))
            return outputs

        with nn.intercept_methods(watch):
            WideResNet(10, 2, **fields).init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, IMAGES)
        return seen

    return transform(forward)()


def test_dropout_stands_where_uncertainty_baselines_has_it():
    def shapes(**fields):
        only_shapes = functools.partial(functools.partial, jax.eval_shape)
        return [outputs.shape for _, outputs in around_dropout(only_shapes, **fields)]

    noise = functools.partial(jaxdrop.linen.Dropout, 0.5, deterministic=False)
    inside = [(2, 8, 8, 32), (2, 4, 4, 64), (2, 2, 2, 128)]
    assert shapes(noise=noise) == inside
    # After the first convolution; then twice before a convolution, after the branch, and after the shortcut.
    before = [(2, 8, 8, 16), (2, 8, 8, 32), (2, 4, 4, 64)]
    blocks = [shape for first, middle in zip(before, inside, strict=True) for shape in (first, middle, middle, middle)]
    assert shapes(noise=noise, everywhere=True) == [(2, 8, 8, 16), *blocks]
    assert shapes() == []


@pytest.mark.parametrize("variant", ["+ after every layer", "+ filter-wise"])
def test_filter_wise_noise_drops_whole_maps_and_the_other_kind_does_not(variant):
    noise = functools.partial(cifar10.VARIANTS[variant].noise, 0.5, deterministic=False)
    partly = []
    for inputs, outputs in around_dropout(jax.jit, noise=noise, everywhere=True):
        dropped, kept = (np.asarray((inputs != 0) & (outputs == 0)), np.asarray(outputs != 0))
        assert dropped.any()
        partly.append((dropped.any((1, 2)) & kept.any((1, 2))).any())
    assert any(partly) == (variant == "+ after every layer")


def test_mirrors_and_shifts_each_image():
    image = 1 + np.arange(10 * 10 * 3).reshape(10, 10, 3)
    outputs = np.asarray(cifar10.augment(jax.random.key(0), jnp.asarray(np.stack([image] * 400))))
    padded = [np.pad(version, ((2, 2), (2, 2), (0, 0))) for version in (image, image[:, ::-1])]
    expected = {
        version[row : row + 10, column : column + 10].tobytes(): (mirrored, row, column)
        for mirrored, version in enumerate(padded)
        for row in range(5)
        for column in range(5)
    }
    found = np.array([expected[output.astype(image.dtype).tobytes()] for output in outputs])
    assert abs(found[:, 0].mean() - 0.5) < 5 * 0.5 / 400**0.5
    assert set(found[:, 1]) == set(found[:, 2]) == set(range(5))


class Small(nn.Module):
    """A network that compiles fast in the place of the residual one."""

    depth: int
    width: int
    stride: int
    noise: Any
    everywhere: bool
    train: bool

    @nn.compact
    def __call__(self, images):
        x = nn.BatchNorm(use_running_average=not self.train)(nn.Dense(8)(images.astype(jnp.float32) / 255))
        return nn.Dense(10)((self.noise()(x) if self.noise else x).mean((1, 2)))


@pytest.fixture
def tiny_cifar(monkeypatch):
    def load(name, split):
        rng = np.random.default_rng(len(split))
        images = rng.integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
        return pictures.Pictures(images, rng.integers(0, 10, 12).astype(np.int32))

    monkeypatch.setattr(pictures, "load", load)
    monkeypatch.setattr(cifar10, "WideResNet", Small)


SMALL = {"epochs": 2, "batch_size": 8, "num_repeats": 4, "num_samples": 3, "num_seeds": 2}


def test_trains_on_fewer_examples_at_a_time_and_shows_each_several_times(tiny_cifar, tmp_path, monkeypatch):
    sizes, seen = {}, {}

    def fit(loss, variables, optimizer, examples, key, *, batch_size, name, **options):
        assert len(examples[1]) == 24  # those to validate with, too

        def record(next_fun, args, kwargs, context):
            if isinstance(context.module, Small) and context.method_name == "__call__":
                seen[name] = len(args[0])
            return next_fun(*args, **kwargs)

        with nn.intercept_methods(record):
            jax.eval_shape(loss, variables, tuple(part[:batch_size] for part in examples), jax.random.key(0), 0)
        sizes[name] = batch_size
        return variables

    monkeypatch.setattr(cifar10, "fit", fit)
    monkeypatch.setattr(cifar10, "_in_parts", lambda predict, images: jnp.full((len(images), 10), 0.1))
    variants = ("no dropout", "+ small batches", "+ repeated examples")
    results = cifar10.run(cifar10.Config(variants=";".join(variants), **SMALL), tmp_path)
    assert [sizes[f"{name}, 1"] for name in variants] == [8, 2, 2]
    assert [seen[f"{name}, 1"] for name in variants] == [8, 2, 8]
    assert [name for name in variants if "NLL, without noise" in results[name]] == list(variants[1:])


@pytest.mark.slow
def test_runs_on_cifar10(tiny_cifar, tmp_path):
    results = cifar10.run(cifar10.Config(variants="+ repeated examples", max_test=6, **SMALL), tmp_path)
    assert (tmp_path / "repairs.png").read_bytes().startswith(b"\x89PNG")
    (scores,) = results.values()
    assert scores["NLL, without noise"] != scores["NLL"]
    assert 0 <= scores["ECE"] <= 1
    right = 12 * scores["accuracy %"] / 100  # of 6 images and two seeds
    assert right == pytest.approx(round(right), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "cifar100"}, "dataset must be one of cifar10, cifar10_jpeg, got 'cifar100'"),
        ({"variants": "+ luck"}, "variants must be 'all' or among no dropout; dropout; .* got '\\+ luck'"),
        ({"depth": 12}, "depth must be 10, 16, 22, ... = 6 n \\+ 4, got 12"),
        ({"rate": 0.0}, "rate must be above 0 and below 1, got 0.0"),
        ({"num_repeats": 3}, "batch_size must be a multiple of num_repeats, got 512, 3"),
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
