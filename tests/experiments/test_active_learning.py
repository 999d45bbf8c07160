"""Active learning: what is chosen, what is trained on, when it stops, and that a killed run goes on alike."""

import dataclasses
import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxdrop
import jaxdrop.linen
from experiments.active_learning import train, training
from experiments.active_learning.acquisition import FUNCTIONS, SCORES, choose, choose_at_random
from experiments.active_learning.network import Network, _pool
from experiments.common import data
from tests.statistical import assert_frequency

pytestmark = pytest.mark.thorough


class Small(nn.Module):
    """A network that compiles at once, and counts how often it is traced."""

    train: bool = False
    traces = 0

    @nn.compact
    def __call__(self, images):
        Small.traces += 1
        x = nn.relu(nn.Dense(16)(images.reshape(len(images), -1)))
        return nn.Dense(10)(jaxdrop.linen.Dropout(0.5, deterministic=not self.train)(x))


def pictures(count, seed):
    """Images of a bright row, which is the class, and noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 10
    images = rng.uniform(0, 0.8, (count, 12, 4)).astype(np.float32)
    images[np.arange(count), labels] += 0.4
    return data.Examples(images, labels)


# The network


def test_masks_may_come_after_pooling_and_rectifying(getkey):
    x, key = jax.random.normal(getkey(), (3, 8, 8, 5)), getkey()
    theirs = nn.relu(nn.max_pool(jaxdrop.spatial_dropout(key, x, 0.5), (2, 2), (2, 2)))
    ours = jaxdrop.spatial_dropout(key, nn.relu(_pool(x)), 0.5)
    np.testing.assert_array_equal(ours, theirs)
    assert (ours == 0).all((1, 2)).any()
    assert (ours > 0).any()


def test_the_network_has_the_authors_parameters(getkey):
    shapes = jax.eval_shape(Network().init, getkey(), jnp.ones((1, 28, 28)))["params"]
    assert [shapes[name]["kernel"].shape for name in sorted(shapes)] == [
        (5, 5, 1, 32),
        (5, 5, 32, 64),
        (1024, 128),
        (128, 10),
    ]


# Choosing


def test_scores_equal_scipy():
    samples = np.random.default_rng(0).dirichlet(np.full(4, 0.3), size=(7, 30)).astype(np.float32)
    mean, votes = samples.mean(0), stats.mode(samples.argmax(-1), axis=0).count
    expected = {
        "BALD": stats.entropy(mean, axis=-1) - stats.entropy(samples, axis=-1).mean(0),
        "maximum entropy": stats.entropy(mean, axis=-1),
        "variation ratio": 1 - votes / 7,
        "mean deviation": samples.std(0).mean(-1),
    }
    assert set(expected) == set(SCORES)
    available = np.arange(30) % 3 != 0
    for name, scores in expected.items():
        np.testing.assert_allclose(SCORES[name](jnp.asarray(samples)), scores, rtol=1e-4, atol=1e-6)
        chosen = choose(name, jax.random.key(0), jnp.asarray(samples), jnp.asarray(available), 5, 100)
        best = np.argsort(-np.where(available, np.asarray(SCORES[name](jnp.asarray(samples))), -1), kind="stable")
        assert chosen.tolist() == best[:5].tolist()
    chosen = choose("BatchBALD", jax.random.key(0), jnp.asarray(samples), jnp.asarray(available), 3, 100)
    assert chosen.tolist() == jaxdrop.batch_bald(jax.random.key(0), samples, 3, available=available).indices.tolist()
    assert available[np.asarray(chosen)].all()


def test_random_choice_is_uniform_without_repetition(getkey):
    available = jnp.arange(6) != 2
    chosen = jax.vmap(lambda key: choose_at_random(key, available, 2))(jax.random.split(getkey(), 5000))
    assert (chosen[:, 0] != chosen[:, 1]).all()
    for place in range(6):
        assert_frequency((chosen == place).sum(), 5000, 0.4 if available[place] else 0.0)


def test_begins_with_as_many_of_each_class_and_validates_on_others(getkey):
    labels = np.random.default_rng(0).integers(10, size=500)
    validation, initial = train.first_places(getkey(), labels, 100)
    assert len(set(validation)) == 100
    assert len(set(initial)) == 20
    assert not set(validation) & set(initial)
    assert sorted(labels[initial]) == sorted(list(range(10)) * 2)


# Training


def make(labels=None, **changes):
    examples = pictures(300, 0)
    settings = {"epochs": 2, "epoch_images": 96, "batch_size": 16, "patience": 3, "learning_rate": 0.03, **changes}
    labels = jnp.asarray(examples.labels if labels is None else labels)
    run = training.trainer(Small, jnp.asarray(examples.images), labels, training.Plan(**settings))
    # Images 0 to 59 may be labelled, the last hundred are for validation.
    return lambda number: run(jax.random.key(0), jnp.arange(60), number, jnp.arange(200, 300))


def test_trains_on_those_labelled_only_and_compiles_once():
    labels = pictures(300, 0).labels
    spoilt = np.where((np.arange(300) < 40) | (np.arange(300) >= 200), labels, 9 - labels)
    run, run_spoilt = make(), make(spoilt)
    variables, _ = run(40)
    jax.tree.map(np.testing.assert_array_equal, run_spoilt(40)[0], variables)
    traces = Small.traces
    others = run(50)[0], run_spoilt(50)[0]
    assert Small.traces == traces
    assert (others[0]["params"]["Dense_1"]["kernel"] != others[1]["params"]["Dense_1"]["kernel"]).any()


def test_an_epoch_has_each_labelled_image_as_often():
    seen = []

    class Counting(Small):
        @nn.compact
        def __call__(self, images):
            if self.train:
                jax.debug.callback(lambda x: seen.extend(np.asarray(x)[:, 0, 0].tolist()), images)
            return Small.__call__(self, images)

    images = jnp.arange(300, dtype=jnp.float32)[:, None, None] * jnp.ones((1, 12, 4))
    plan = training.Plan(epochs=1, epoch_images=96, batch_size=16, patience=3, learning_rate=0.0)
    run = training.trainer(Counting, images, jnp.zeros(300, int), plan)
    run(jax.random.key(0), jnp.arange(100, 160), 40, jnp.arange(10))
    jax.effects_barrier()
    counts = {place: seen.count(place) for place in set(seen)}
    assert set(counts) == set(range(100, 140))
    assert set(counts.values()) == {2, 3}
    assert len(seen) == 96
    assert seen != sorted(seen)


def test_stops_when_patience_ends():
    assert make(learning_rate=0.0, epochs=8)(40)[1] == 4  # no epoch is better than the first
    assert make(learning_rate=0.0, epochs=3)(40)[1] == 3


def test_returns_the_best_parameters_of_all_epochs():
    examples = pictures(300, 0)
    scores = []
    for epochs in (1, 6, 12):
        variables, number = make(epochs=epochs, patience=99)(60)
        logits = Small().apply(variables, examples.images[200:])
        scores.append(float((logits.argmax(-1) == examples.labels[200:]).mean()))
        assert number == epochs
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 0.2  # it learns


# The whole


def test_counts_labels_until_a_target_is_reached():
    assert train.labels_to(0.9, [20, 30, 40], [0.8, 0.9, 0.95]) == 30
    assert train.labels_to(0.96, [20, 30, 40], [0.8, 0.9, 0.95]) == math.inf
    runs = [
        [{"labels": 20, "accuracy": first, "epochs": 4}, {"labels": 30, "accuracy": second, "epochs": 6}]
        for first, second in ((0.91, 0.96), (0.5, 0.93), (0.7, 0.94))
    ]
    values = train.summary(runs)
    assert values["labels to 90 %"] == 30
    assert values["labels to 90 %, run 0"] == 20
    assert "labels to 95 %" not in values
    assert values["labels to 95 %, run 0"] == 30
    assert "labels to 95 %, run 1" not in values
    assert values["last accuracy"] == pytest.approx(0.9433, abs=1e-4)
    assert values["mean epochs"] == 5
    assert values["accuracies"][2] == [0.7, 0.94]


SETTINGS = {
    "acquisition_size": 3,
    "max_labels": 26,
    "max_labels_random": 32,
    "num_samples": 4,
    "num_configurations": 100,
    "num_test_samples": 4,
    "epochs": 2,
    "epoch_images": 32,
    "batch_size": 16,
    "num_validation": 50,
    "num_seeds": 2,
}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(data, "load_all_training", lambda name: pictures(300, 1))
    monkeypatch.setattr(data, "load", lambda name, split: pictures(50, 2))
    monkeypatch.setattr(train, "Network", Small)
    monkeypatch.setattr(training, "PART", 50)  # so that there are several, of one shape


@pytest.mark.slow
def test_runs_every_function_and_goes_on_where_it_was_killed(small, tmp_path, monkeypatch):
    config = train.Config(**SETTINGS, candidates=50)
    (tmp_path / "whole").mkdir()
    whole = train.run(config, tmp_path / "whole")
    assert list(whole) == list(FUNCTIONS)
    assert whole["random"]["labels"] == [20, 23, 26, 29, 32]
    assert whole["BALD"]["labels"] == [20, 23, 26]
    assert (tmp_path / "whole" / "learning_curves.png").stat().st_size > 10_000
    rounds = json.loads((tmp_path / "whole" / "rounds" / "BALD, run 1.json").read_text())
    chosen = [place for one in rounds for place in one["chosen"]]
    assert len(set(chosen)) == len(chosen) == 6
    # Functions begin alike, runs do not.
    assert len({values["accuracies"][0][0] for values in whole.values()}) == 1
    first = [json.loads((tmp_path / "whole" / "rounds" / f"BALD, run {n}.json").read_text())[0] for n in (0, 1)]
    assert first[0]["chosen"] != first[1]["chosen"]

    class Killed(BaseException):
        pass

    calls = []

    def die(workdir):
        calls.append(workdir)
        if len(calls) == 12:
            raise Killed

    (tmp_path / "killed").mkdir()
    config = dataclasses.replace(config, functions="random;BALD")
    with monkeypatch.context() as patch:
        patch.setattr(train, "sign_of_life", die)
        with pytest.raises(Killed):
            train.run(config, tmp_path / "killed")
    assert train.run(config, tmp_path / "killed") == {name: whole[name] for name in ("random", "BALD")}
    assert len(calls) == 12


def test_scores_all_images_but_those_for_validation(small, tmp_path):
    config = train.Config(**SETTINGS | {"functions": "BatchBALD", "num_test_samples": 0})
    train.run(config, tmp_path)
    split_key, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
    validation, initial = train.first_places(split_key, pictures(300, 1).labels, 50)
    rounds = json.loads((tmp_path / "rounds" / "BatchBALD, run 0.json").read_text())
    chosen = {place for one in rounds for place in one["chosen"]}
    assert len(chosen) == 6
    assert not chosen & {*validation.tolist(), *initial.tolist()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"functions": "BALD;best"}, "functions must be 'all' or among random; BALD; "),
        ({"candidates": 5}, "candidates must be 0 or at least acquisition_size, 10, got 5"),
        ({"epoch_images": 600}, "epoch_images must be at least batch_size and max_labels, so that each label is used"),
        ({"max_labels": 10}, "max_labels must be at least 20, got 10"),
        ({"num_validation": 59_500}, "together must be at most MNIST's 60000 training images, got 60141"),
        ({"num_seeds": 0}, "num_seeds must be at least 1"),
        ({"num_samples": 1}, "num_samples must be at least 2, got 1"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        train.Config(**settings)
