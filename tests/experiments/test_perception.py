"""Scenes are what they say, pixels are scored as they should be, and the experiment runs, resumes and is reported."""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import jaccard_score

import jaxdrop.linen
from experiments import report
from experiments.common import data, results
from experiments.perception import train
from experiments.perception.network import UNet, doubled
from experiments.perception.scenes import CONTRAST, NOISE, Scenes, compose, shrunk
from experiments.perception.scores import Maps, mean_intersection_over_union, of_known, of_unseen
from experiments.perception.train import Config, predictors, run

pytestmark = pytest.mark.thorough

TINY = Config(
    noise="drop_block",
    block_size=2,
    widths="2;4",
    size=8,
    shrink=4,
    num_train=16,
    num_validation=2,
    num_test=1,
    epochs=2,
    batch_size=8,
    num_samples=2,
    timed_samples="2",
    repeats=1,
    num_seeds=2,
)


def squares(side, labels=(0, 9)):
    """Digits that fill their pictures."""
    return data.Examples(np.ones((len(labels), side, side), np.float32), np.array(labels, np.int32))


def test_an_object_has_its_class_and_contrast_on_its_pixels_and_noise_is_everywhere(getkey):
    images, labels, unseen = map(np.asarray, compose(getkey(), squares(5), 200, 32, (1, 1)))
    ink = labels > 0
    np.testing.assert_array_equal(ink.sum((1, 2)), 25)
    assert set(np.unique(labels)) == {0, 1, 10}
    assert not unseen.any()
    means = np.array([image[where].mean() for image, where in zip(images, ink, strict=True)])
    # Where noise is cut off at 1, a contrast looks smaller.
    assert CONTRAST[0] - 5 * NOISE / 5 < means.min() < 0.55
    assert 0.9 < means.max() <= CONTRAST[1]
    # Half of the background's noise is cut off at 0.
    assert np.square(images[~ink]).mean() == pytest.approx(NOISE**2 / 2, rel=0.03)


def test_there_are_as_many_objects_as_asked_for_and_the_last_covers_the_others(getkey):
    points = np.asarray(compose(getkey(), squares(1), 60, 64, (2, 4)).labels > 0).sum((1, 2))
    assert set(points) <= {1, 2, 3, 4}
    assert {2, 3, 4} <= set(points)
    images, labels, _ = map(np.asarray, compose(getkey(), squares(6), 20, 6, (3, 3)))
    assert (labels == labels[:, :1, :1]).all()
    assert images.std((1, 2)).max() < 2 * NOISE
    assert len(np.unique(labels)) == 2


def test_an_unseen_object_changes_nothing_but_its_own_pixels(getkey):
    key, digits = getkey(), squares(5)
    plain, beside = (compose(key, digits, 50, 12, (2, 3), unseen) for unseen in (None, np.ones((3, 4, 4), np.float32)))
    unseen = np.asarray(beside.unseen)
    np.testing.assert_array_equal(unseen.sum((1, 2)), 16)
    for one, other in zip(plain[:2], beside[:2], strict=True):
        np.testing.assert_array_equal(np.asarray(one)[~unseen], np.asarray(other)[~unseen])
    assert (np.asarray(beside.labels)[unseen] == 0).all()
    assert (np.asarray(plain.labels)[unseen] > 0).any()
    again, others = compose(key, digits, 50, 12, (2, 3)), compose(getkey(), digits, 50, 12, (2, 3))
    np.testing.assert_array_equal(again.images, plain.images)
    assert (np.asarray(others.images) != np.asarray(plain.images)).any()


def test_pictures_are_shrunk_to_the_means_of_squares():
    picture = np.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_array_equal(shrunk(picture, 2), [[[2.5, 4.5], [10.5, 12.5]]])


@pytest.mark.parametrize("noise", train.NOISES)
def test_noise_is_on_maps_that_are_smaller_than_the_images(noise, getkey):
    config = dataclasses.replace(TINY, noise=noise, block_size=2 * (noise == "drop_block"), widths="2;3;4", rate=0.5)
    layer = {"spatial": jaxdrop.linen.SpatialDropout, "drop_block": jaxdrop.linen.DropBlock}[noise]
    network, images = train.network(config, train=True), jax.random.uniform(getkey(), (3, 8, 8))
    variables = train.network(config).init(getkey(), images)
    logits, state = network.apply(
        variables,
        images,
        rngs={"dropout": getkey()},
        capture_intermediates=lambda module, method: isinstance(module, layer) and method == "__call__",
        mutable=["intermediates"],
    )
    noisy = jax.tree.leaves(state)
    assert sorted(leaf.shape for leaf in noisy) == [(3, 2, 2, 4), (3, 4, 4, 3), (3, 4, 4, 3)]
    assert all((leaf == 0).any() for leaf in noisy)
    assert logits.shape == (3, 8, 8, 11)
    still = train.network(config).apply(variables, images)
    assert not np.allclose(logits, still)


def test_maps_are_doubled_as_numpy_repeats(getkey):
    x = jax.random.normal(getkey(), (2, 3, 4, 5))
    np.testing.assert_array_equal(doubled(x), np.repeat(np.repeat(x, 2, 1), 2, 2))


def test_intersection_over_union_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    predicted, labels = rng.integers(0, 4, (2, 500))
    expected = jaccard_score(labels, predicted, average="macro")
    assert mean_intersection_over_union(predicted, labels, 4) == pytest.approx(expected)
    assert mean_intersection_over_union(predicted, labels, 7) == pytest.approx(expected)  # classes that are nowhere


def two_scenes():
    """Scenes of a digit, the background and an unseen object, each a third, and perfect predictions but of the last."""
    labels, unseen = np.zeros((2, 3, 6), np.int32), np.zeros((2, 3, 6), bool)
    labels[:, 0], unseen[:, 2] = 4, True
    probabilities = np.full((2, 3, 6, 11), 0.02, np.float32)
    np.put_along_axis(probabilities, np.where(unseen, 7, labels)[..., None], 0.8, -1)
    return Scenes(jnp.zeros((2, 3, 6)), jnp.asarray(labels), jnp.asarray(unseen)), probabilities


def test_unseen_objects_do_not_count_among_known_pixels():
    scenes, probabilities = two_scenes()
    scores = of_known(Maps(probabilities, {}), scenes)
    expected = {"mIoU": 1, "accuracy": 1, "ECE": 0.2, "NLL": -np.log(0.8)}
    assert scores == {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}


def test_ink_alone_does_not_find_unseen_objects_among_objects():
    scenes, probabilities = two_scenes()
    unseen = np.asarray(scenes.unseen)
    ink = (unseen | (np.asarray(scenes.labels) > 0)).astype(np.float32)
    scores = of_unseen(Maps(probabilities, {"knows": unseen.astype(np.float32), "sees ink": ink}), scenes)
    assert scores == {
        "knows": {"AUROC": 1, "AUPR": 1, "AUROC among objects": 1, "AUPR among objects": 1},
        "sees ink": {"AUROC": 0.75, "AUPR": 0.5, "AUROC among objects": 0.5, "AUPR among objects": 0.5},
    }


class Kept(nn.Module):
    """Multiplies channels by what takes the place of a mask."""

    mask: np.ndarray

    @nn.compact
    def __call__(self, x):
        return x * self.mask.reshape(1, 1, 1, -1)


def test_ways_to_predict_are_those_of_all_masks(getkey):
    """One layer of noise on four channels: sixteen masks, whose mean is what samples and moments estimate."""
    rate, num_samples = 0.3, 2000
    config = dataclasses.replace(TINY, noise="spatial", block_size=0, rate=rate, num_samples=num_samples)
    images = jax.random.uniform(getkey(), (2, 8, 8))
    variables = train.network(config).init(getkey(), images)
    last = variables["params"]["Conv_6"]["kernel"]
    variables["params"]["Conv_6"]["kernel"] = 10 * last  # so that masks matter
    maps = {name: predict(images, 0) for name, predict in predictors(config, variables, getkey()).items()}

    def predicted(mask):
        return UNet((2, 4), functools.partial(Kept, mask)).apply(variables, images, method="probabilities")

    masks = np.array(list(itertools.product((0, 1), repeat=4)))
    chances = rate ** (4 - masks.sum(1)) * (1 - rate) ** masks.sum(1)
    each = np.stack([predicted(mask / (1 - rate)) for mask in masks])
    exact, squares = (np.einsum("m,m...->...", chances, power) for power in (each, np.square(each)))
    deviation = np.sqrt(np.maximum(squares - np.square(exact), 0))
    still, sampled, moments = (maps[name].probabilities for name in ("deterministic", "MC dropout", "moments"))
    np.testing.assert_allclose(still, predicted(np.ones(4)), atol=1e-5)
    # A failure by chance is one in ten million for each of 1408 numbers; the pass without noise is not within it.
    bound = 5.3 * deviation / num_samples**0.5 + 1e-5
    assert np.all(np.abs(sampled - exact) < bound)
    assert np.any(np.abs(still - exact) > 5 * bound)
    # Moments take entries of a channel for independent.
    assert np.abs(moments - exact).max() < 0.6 * np.abs(still - exact).max()

    entropy = -(exact * np.log(exact)).sum(-1)
    expected = -np.einsum("m,m...->...", chances, (each * np.log(each)).sum(-1))
    parts = maps["MC dropout"].uncertainties
    for name, value in {
        "entropy": entropy,
        "expected entropy": expected,
        "mutual information": entropy - expected,
    }.items():
        np.testing.assert_allclose(parts[name], value, atol=0.005, err_msg=name)
    assert (entropy - expected).max() > 0.05
    assert [list(each.uncertainties) for each in maps.values()] == [["entropy"], list(parts), ["entropy", "variance"]]
    for name in ("deterministic", "moments"):
        p = maps[name].probabilities
        np.testing.assert_allclose(maps[name].uncertainties["entropy"], -(p * np.log(p)).sum(-1), atol=1e-4)
    assert maps["moments"].uncertainties["variance"].max() > 0


def load(name, split):
    """Pictures of lines at the height of their class, and for unseen objects columns."""
    labels = np.arange(10, dtype=np.int32)
    images = np.zeros((10, 28, 28), np.float32)
    for label in labels:
        images[label, 2 * label + 4 : 2 * label + 10, 4:24] = 1
    return data.Examples(images if name == "mnist" else images.swapaxes(1, 2), labels)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(data, "load", load)
    workdir = tmp_path_factory.mktemp("perception")
    results.open_workdir(workdir / "run", "perception", TINY)
    metrics = run(TINY, workdir / "run")
    yield workdir / "run", metrics
    patch.undo()


@pytest.mark.slow
def test_measures_each_way_to_predict(finished):
    workdir, metrics = finished
    ways = ("deterministic", "MC dropout", "moments")
    kinds = ("entropy",), ("entropy", "expected entropy", "mutual information"), ("entropy", "variance")
    finding = [f"{way}: {kind}" for way, kinds in zip(ways, kinds, strict=True) for kind in kinds]
    assert list(metrics) == [*ways, *finding]
    for column, values in metrics.items():
        names = [name for name in values if not name.endswith(", error")]
        assert all(f"{name}, error" in values for name in names)
        assert all(np.isfinite(list(values.values())))
        if column in finding:
            assert {"AUROC", "AUPR among objects"} < set(names)
        else:
            assert {"mIoU", "NLL", "mIoU, unseen beside"} < set(names)
            assert any(name.startswith("ms") and values[name] > 0 for name in names)
    for column, baseline in (("moments", "deterministic"), ("moments: variance", "deterministic: entropy")):
        for score in ("mIoU", "NLL, unseen beside") if column == "moments" else ("AUROC", "AUPR among objects"):
            expected = metrics[column][score] - metrics[baseline][score]
            assert metrics[column][f"{score}, difference"] == pytest.approx(expected, abs=1e-6)
    assert metrics["deterministic"]["NLL, error"] > 0  # networks differ
    assert (workdir / "maps.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in workdir.iterdir() if path.is_dir()} == {"network 0", "network 1"}


@pytest.mark.slow
def test_a_network_that_is_trained_is_taken_from_its_checkpoint(finished):
    workdir, metrics = finished
    train_scenes, validation, test, _ = train._scenes(TINY)
    variables = train._train(TINY, 1, train_scenes, validation, workdir)
    maps = predictors(TINY, variables, jax.random.key(0))["deterministic"](test.images, 0)
    for name, value in of_known(maps, test).items():
        mean, error = (metrics["deterministic"][key] for key in (name, f"{name}, error"))
        # Of two numbers, the standard error is what each differs from their mean by.
        assert abs(value - mean) == pytest.approx(error, abs=1e-6)


@pytest.mark.slow
def test_the_report_has_the_numbers_and_the_picture(finished, tmp_path):
    _, metrics = finished
    path = tmp_path / "one.json"
    result = {"metrics": metrics, "config": dataclasses.asdict(TINY), "seed": 7, "versions": {"jax": "1"}}
    result |= {"device": {"kind": "abacus"}, "wall_seconds": 90}
    text = report.SECTIONS["perception"](path, result, "there/")
    dropout = metrics["MC dropout"]
    assert "## Segmentation of scenes of digits: DropBlock at 0.1" in text
    assert f"| {dropout['NLL']:.4f} ± {dropout['NLL, error']:.4f} |" in text
    information = metrics["MC dropout: mutual information"]
    areas = [f"{area}{among}" for among in ("", " among objects") for area in ("AUROC", "AUPR")]
    areas += ["AUROC, difference", "AUROC among objects, difference"]
    cells = " | ".join(f"{information[name]:.4f} ± {information[f'{name}, error']:.4f}" for name in areas)
    assert f"| MC dropout: mutual information | {cells} |" in text
    assert "| MC dropout, 2 samples |" in text
    assert "one.png" not in text
    path.with_suffix(".png").write_bytes(b"")
    assert "(there/one.png)" in report.SECTIONS["perception"](path, result, "there/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": "pink"}, "noise must be one of spatial, drop_block, got 'pink'"),
        ({"rate": 0.0}, "rate must be above 0 and below 1, got 0"),
        ({"block_size": 3}, "block_size must be 0 with 'spatial', else above 0, got 3"),
        ({"noise": "drop_block"}, "block_size must be 0 with 'spatial', else above 0, got 0"),
        ({"shrink": 3}, "shrink must be 1, 2 or 4, got 3"),
        ({"size": 30}, "size must be divisible by 4 and at least 14, a digit's, got 30"),
        ({"size": 24, "shrink": 1}, "size must be divisible by 4 and at least 28, a digit's, got 24"),
        ({"max_objects": 1}, "max_objects must be at least 2, got 1"),
        ({"timed_samples": "1;x"}, "timed_samples must be positive integers, separated by ;, got '1;x'"),
    ],
)
def test_refuses_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Config(**({"widths": "2;4;8"} | arguments))
