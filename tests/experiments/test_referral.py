"""Whom to refer: the splits, the scores, and the experiment from end to end, small."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets

import jaxdrop
from experiments.common import ensembles
from experiments.common.summary import means_and_errors, with_differences
from experiments.referral import train
from experiments.referral.train import Config, breast_cancer, referral

pytestmark = pytest.mark.thorough

TINY = {"network": "8", "epochs": 2, "batch_size": 64, "num_samples": 5, "num_members": 2, "num_seeds": 2}


def test_splits_of_breast_cancer_are_complete_stratified_and_standardised_on_the_training_cases():
    cases = breast_cancer(seed=3, num_seeds=2)
    raw = sklearn.datasets.load_breast_cancer().data
    for seed in range(2):
        parts = [(x[seed], labels[seed]) for x, labels in cases]
        assert [len(labels) for _, labels in parts] == [343, 113, 113]
        assert [int((labels == train.MALIGNANT).sum()) for _, labels in parts] == [128, 42, 42]
        np.testing.assert_allclose(parts[0][0].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(parts[0][0].std(0), 1, atol=1e-5)
        # In its own unit, each feature of all parts together has the values of the table, each as often as there.
        both = (np.sort(table, axis=0) for table in (raw, np.concatenate([x for x, _ in parts]).astype(float)))
        in_unit, there = ((table - table[0]) / (table[-1] - table[0]) for table in both)
        np.testing.assert_allclose(in_unit, there, atol=1e-5)
    tests = [*cases.test[0], *breast_cancer(seed=4, num_seeds=2).test[0]]
    assert len({part.tobytes() for part in tests}) == 4  # another seed has other splits


def test_scores_are_those_of_the_cases_kept():
    labels = np.arange(20) % 2
    probabilities = np.eye(2)[labels]
    for wrong in (4, 16, 17):  # called benign, benign and malignant
        probabilities[wrong] = probabilities[wrong][::-1]
    scores = referral(jnp.arange(20.0), jnp.asarray(probabilities), labels, train.MALIGNANT)
    # 20, 18 and 10 cases are kept: three, two and one of them are wrong.
    shares = (0, 10, 20, 50)
    right = [scores[f"accuracy %, {share} % referred"] for share in shares]
    np.testing.assert_allclose(right, [85, 100 * 15 / 18, 100 * 15 / 16, 90], rtol=1e-6)
    np.testing.assert_allclose([scores[f"missed, {share} % referred"] for share in shares], [2, 2, 1, 1], atol=1e-6)
    risks = np.cumsum(np.isin(np.arange(20), (4, 16, 17))) / np.arange(1, 21)
    best = np.array([*[0] * 17, 1, 2, 3]) / np.arange(1, 21)
    np.testing.assert_allclose(scores["AURC"], risks.mean(), rtol=1e-6)
    np.testing.assert_allclose(scores["excess AURC"], risks.mean() - best.mean(), rtol=1e-6)
    assert not [name for name in referral(jnp.arange(20.0), jnp.asarray(probabilities), labels) if "missed" in name]


def test_of_equally_uncertain_cases_their_share_is_missed():
    labels, probabilities = np.zeros(20, int), np.eye(2)[[1] * 5 + [0] * 15]
    scores = referral(jnp.zeros(20), jnp.asarray(probabilities), labels, 0)
    np.testing.assert_allclose(scores["missed, 50 % referred"], 2.5, rtol=1e-6)


def test_means_and_standard_errors():
    summary = means_and_errors([{"x": 1.0, "y": 5.0}, {"x": 2.0, "y": 5.0}, {"x": 6.0, "y": 5.0}])
    # The deviation of 1, 2, 6 is sqrt((4 + 1 + 9) / 2).
    assert summary == {"x": 3.0, "x, error": pytest.approx((7 / 3) ** 0.5), "y": 5.0, "y, error": 0.0}


def test_differences_are_of_what_both_columns_have():
    columns = with_differences({"a": {"x": 1.0, "y": 2.0}, "b": {"x": 4.0, "z": 3.0}}, "a")
    assert columns == {"a": {"x": 1.0, "y": 2.0}, "b": {"x": 4.0, "z": 3.0, "x, difference": 3.0}}


def test_standard_errors_of_random_splits_cover_the_mean():
    """A test set of a quarter of the cases, predicted by the mean of the others, 20 times: too small otherwise."""
    random, outside = np.random.default_rng(0), {0.0: 0, 1 / 3: 0}
    for _ in range(400):
        cases, scores = random.normal(size=80), []
        for _ in range(20):
            order = random.permutation(80)
            test, train = cases[order[:20]], cases[order[20:]]
            scores.append({"x": float(np.mean((test - train.mean()) ** 2))})
        for held_out in outside:
            summary = means_and_errors(scores, held_out=held_out)
            outside[held_out] += abs(summary["x"] - (1 + 1 / 60)) > 2 * summary["x, error"]
    assert outside[0.0] > 0.3 * 400
    assert outside[1 / 3] < 0.1 * 400


def test_ranks_by_each_measure_and_answers_by_the_network_that_it_is_of():
    one, other = jnp.array([[0.9, 0.1], [0.6, 0.4]]), jnp.array([[0.5, 0.5], [0.2, 0.8]])
    statistics = {"predictive_entropy": jnp.array([1.0, 2.0]), "mutual_information": jnp.array([3.0, 4.0])}
    statistics |= {"variance": jnp.array([[1.0, 9.0], [4.0, 4.0]]), "votes": jnp.array([[3, 1], [2, 2]])}
    sampled = jaxdrop.ClassPrediction(mean=one * other, expected_entropy=None, **statistics)
    ways = ensembles.uncertainties(ensembles.Predictions(one, sampled, other))
    for kind, probabilities in (("softmax", one), ("MC dropout", sampled.mean), ("ensemble", other)):
        np.testing.assert_allclose(ways[f"{kind} confidence"][0], 1 - np.asarray(probabilities).max(-1), atol=1e-6)
        assert ways[f"{kind} confidence"][1] is probabilities
    for kind, probabilities in (("softmax", one), ("ensemble", other)):
        entropy = -(np.asarray(probabilities) * np.log(probabilities)).sum(-1)
        np.testing.assert_allclose(ways[f"{kind} entropy"][0], entropy, 1e-6)
        assert ways[f"{kind} entropy"][1] is probabilities
    others = {"predictive entropy": [1, 2], "mutual information": [3, 4], "variation ratio": [0.25, 0.5]}
    for name, uncertainty in (others | {"mean standard deviation": [2, 2]}).items():
        np.testing.assert_array_equal(ways[name][0], uncertainty)
        assert ways[name][1] is sampled.mean


def test_each_seed_learns_its_own_examples(tmp_path):
    """Those of the first seed all have class 0, those of the second class 1."""
    inputs = np.random.default_rng(0).normal(size=(2, 64, 3)).astype(np.float32)
    labels = np.repeat(np.array([[0], [1]], np.int32), 64, axis=1)
    settings = {**TINY, "epochs": 4, "batch_size": 8, "num_members": 3, "learning_rate": 0.1, "rate": 0.1}
    config = ensembles.Config(**settings)
    examples = (inputs, labels)
    variables = ensembles.fit_networks(
        config, jax.random.key(0), examples, examples, tmp_path, num_classes=2, own_examples=True
    )
    for seed in range(2):
        networks = jax.tree.map(lambda x, seed=seed: x[seed], variables)
        assert jax.tree.leaves(networks)[0].shape[0] == 3
        p = ensembles.predict(config, networks, inputs[seed], jax.random.key(0), num_classes=2)
        for probabilities in (p.deterministic, p.mc_dropout.mean, p.ensemble):
            assert probabilities[:, seed].min() > 0.9


def test_predicts_by_the_first_network_and_by_the_mean_of_all():
    kernels = jnp.array([[[1.0, 2.0], [0.5, -1.0]], [[-1.0, 0.5], [2.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    variables = {
        "params": {
            "layers_1": {"kernel": jnp.broadcast_to(jnp.eye(2), (3, 2, 2)), "bias": jnp.zeros((3, 2))},
            "layers_3": {"kernel": kernels, "bias": jnp.zeros((3, 2))},
        }
    }
    inputs = np.array([[1.0, 2.0], [3.0, 0.5]], np.float32)
    config = ensembles.Config(network="2", rate=0.5, num_members=3, num_samples=4000)
    p = ensembles.predict(config, variables, inputs, jax.random.key(0), num_classes=2)
    members = np.exp(inputs @ np.asarray(kernels)) / np.exp(inputs @ np.asarray(kernels)).sum(-1, keepdims=True)
    np.testing.assert_allclose(p.deterministic, members[0], rtol=1e-5)
    np.testing.assert_allclose(p.ensemble, members.mean(0), rtol=1e-5)
    masks = 2 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[:, None]
    logits = masks * inputs @ np.asarray(kernels[0])
    exact = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).mean(0)
    np.testing.assert_allclose(p.mc_dropout.mean, exact, atol=5 * 0.5 / 4000**0.5)


@pytest.mark.slow
def test_runs_on_breast_cancer_and_gives_the_same_numbers_when_it_goes_on(tmp_path):
    results = train.run(Config(**TINY), tmp_path)
    assert (tmp_path / "referral.png").read_bytes().startswith(b"\x89PNG")
    assert results == train.run(Config(**TINY), tmp_path)
    assert results["test cases"] == 113
    assert results["malignant test cases"] == 42
    softmax, ensemble = results["softmax confidence"], results["ensemble entropy"]
    assert ensemble["AURC, difference"] == pytest.approx(ensemble["AURC"] - softmax["AURC"], abs=1e-6)
    for name in ("softmax confidence", "predictive entropy", "mutual information", "ensemble entropy"):
        assert 0 <= results[name]["excess AURC"] < results[name]["AURC"]
        assert 0 <= results[name]["missed, 10 % referred"] <= 42


def test_runs_on_fashion_mnist(tmp_path, monkeypatch):
    sizes = {"train": 12, "validation": 8, "test": 10}
    given = []

    def load(name, split):
        assert name == "fashion_mnist"
        return train.data.Examples(np.zeros((sizes[split], 4, 4), np.float32), np.arange(sizes[split]) % 10)

    def fit_networks(config, key, training, validation, workdir, **options):
        given.append((len(training[1]), len(validation[1]), options))
        return jnp.arange(2 * 3).reshape(2, 3)

    def predict(config, networks, inputs, key, *, num_classes):
        given.append((networks.tolist(), inputs.shape, num_classes))
        right = jnp.eye(10) if networks[0] == 0 else jnp.eye(10)[::-1]
        statistics = (jnp.zeros((10, 10)), jnp.arange(10.0), None, jnp.arange(10.0))
        sampled = jaxdrop.ClassPrediction(right, *statistics, votes=jnp.ones((10, 10), jnp.int32))
        return ensembles.Predictions(right, sampled, jnp.eye(10))

    monkeypatch.setattr(train.data, "load", load)
    monkeypatch.setattr(ensembles, "fit_networks", fit_networks)
    monkeypatch.setattr(ensembles, "predict", predict)
    results = train.run(Config(dataset="fashion_mnist", **TINY), tmp_path)
    assert given == [
        (12, 8, {"num_classes": 10, "own_examples": False}),
        ([0, 1, 2], (10, 4, 4), 10),
        ([3, 4, 5], (10, 4, 4), 10),
    ]
    assert "malignant test cases" not in results
    # The first seed is right always, the second never.
    name = "accuracy %, 10 % referred"
    assert [results["mutual information"][f"{name}{end}"] for end in ("", ", error")] == pytest.approx([50, 50])
    assert [results["ensemble entropy"][f"{name}{end}"] for end in ("", ", error")] == [100, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"dataset": "mnist"},
            "dataset must be one of breast_cancer, fashion_mnist, or the path of an .npz file, got 'mnist'",
        ),
        ({"network": "5-"}, "network must be positive integers joined by dashes, got '5-'"),
        ({"rate": 0.0}, "rate must be above 0 and below 1, got 0"),
        ({"num_members": 1}, "num_members must be at least 2, got 1"),
        ({"num_seeds": 1}, "num_seeds must be at least 2, for standard errors, got 1"),
    ],
)
def test_refuses_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Config(**arguments)
