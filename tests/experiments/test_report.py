"""The report has a section for each experiment, with the numbers of its result file."""

import dataclasses
import json

import pytest

from experiments import report
from experiments.active_learning.report import halves
from experiments.shift import cifar10
from experiments.shift import report as shift
from experiments.uci import train as uci

TRAINED = {"validation perplexity": 8.5, "standard error": 0.0321, "test perplexity": 8.7, "training perplexity": 4.4}
BOTH = {
    f"{metric}, {case}": value
    for case in ("small", "large", "pre-trained", "new")
    for metric, value in (("error %", 12.345), ("standard error", 0.6789), ("NLL", 0.9876))
}
FIT = {"RMSE": 1.2, "rate, layer 1": 0.1, "epistemic": 0.5, "aleatoric": 1.0, "RMSE, deviation": 0.3}
SCORES = {"RMSE": 2.9, "RMSE, error": 0.17, "log-likelihood": -2.6, "log-likelihood, error": 0.05}
DEPLOYED = {"error %": 1.234, "NLL": 0.05, "parameters": 1234, "kB": 5.6, "ms": 0.123}
ERRORS = {
    "probabilities": 0.02,
    "information": 0.05,
    "information, bias": -0.01,
    "jackknifed information": 0.06,
    "jackknifed information, bias": 0.001,
}
MOMENTS = {"mean off by": 0.0123, "deviation off by": 0.0456, "time / 100 samples": 0.05}


def with_errors(values):
    return {name: value for key, mean in values.items() for name, value in ((key, mean), (f"{key}, error", mean / 10))}


SHARES = {f"{name}, {share} % referred": 5.0 + share for name in ("accuracy %", "missed") for share in range(0, 55, 5)}
AREAS = {"AURC": 0.01234, "excess AURC": 0.005}
REFERRED = {
    "softmax confidence": with_errors({**SHARES, **AREAS}),
    **{
        name: with_errors({**SHARES, **AREAS, "AURC, difference": 0.002})
        for name in ("predictive entropy", "mutual information", "ensemble entropy")
    },
}
TOLD = with_errors({"AUROC, notmnist": 0.98765, "AUPR, notmnist": 0.9, "FPR at 95 % TPR, notmnist": 0.123})
BETTER = TOLD | with_errors({"AUROC, notmnist, difference": 0.05})
TURNED = with_errors(
    {
        **{
            f"{score}, {way}": value
            for score, value in (("accuracy", 0.91), ("NLL", 0.3), ("ECE", 0.0456))
            for way in ("deterministic", "MC dropout", "ensemble")
        },
        **{
            f"{score}, difference, {way}": 0.02
            for score in ("accuracy", "NLL", "ECE")
            for way in ("deterministic", "ensemble")
        },
        "softmax entropy": 0.1,
        "predictive entropy": 0.2,
        "mutual information": 0.03,
        "ensemble entropy": 0.4,
    }
)
QUALITY = {"accuracy %": 71.234, "NLL": 0.9, "ECE": 0.05}
REPAIRS = {
    "no dropout": with_errors(QUALITY),
    "+ repeated examples": with_errors({**QUALITY, **{f"{name}, without noise": 1.0 for name in QUALITY}}),
}
CURVE = {
    "labels": [20, 30, 40, 50],
    "accuracies": [[0.6, 0.96, 0.91, 0.95], [0.5, 0.89, 0.96, 0.97]],
    "last accuracy": 0.96,
}
REGRET = {
    "median step": 0.0432,
    "median regret": 0.0123,
    "lower quartile": 0.001,
    "upper quartile": 0.5,
    "median after half": 1.23,
    **{name: [2.0, 1.23, 0.0123] for name in ("medians", "lower quartiles", "upper quartiles")},
}
RUNS = {
    "referral": (
        {**REFERRED, "test cases": 113, "malignant test cases": 42},
        {"dataset": "breast_cancer", "num_seeds": 20, "num_samples": 200, "num_members": 5},
        "## Referral: breast cancer",
        "| softmax confidence | 5.00 ± 0.50 | 15.00 ± 1.50 |",
        "| 12.34 ± 1.23 | 5.00 ± 0.50 |  |",
        "| 12.34 ± 1.23 | 5.00 ± 0.50 | 2.00 ± 0.20 |",
        "Of 42 malignant cases, those that are kept and called benign.",
    ),
    "shift": (
        {"softmax confidence": TOLD, "mutual information": BETTER, "0°": TURNED, "15°": TURNED},
        {"num_seeds": 3, "num_samples": 50, "num_members": 5, "dataset": "mnist", "max_test": 0},
        "## Anomalies: other pictures told from MNIST's",
        "over 3 seeds, of all test pictures",
        "| measure | notmnist: AUROC | notmnist: AUPR | notmnist: FPR at 95 % TPR | notmnist: AUROC minus that of ",
        "| softmax confidence | 98.77 ± 9.88 | 90.00 ± 9.00 | 12.30 ± 1.23 |  |",
        "| mutual information | 98.77 ± 9.88 | 90.00 ± 9.00 | 12.30 ± 1.23 | 5.00 ± 0.50 |",
        "| 15° | 91.0 | 91.0 | 91.0 | 0.300 | 0.300 | 0.300 | 0.046 | 0.046 | 0.046 | 0.200 | 0.030 |",
        "| 15° | 0.0200 ± 0.0020 | 0.0200 ± 0.0020 | 0.020 ± 0.002 | 0.020 ± 0.002 | 0.0200 ± 0.0020 | 0.0200 ",
    ),
    "active_learning": (
        {
            "random": {**CURVE, "accuracies": [[0.6, 0.9, 0.8, 0.8], [0.5, 0.5, 0.5, 0.5]]},
            "BALD": CURVE,
        },
        {
            "acquisition_size": 10,
            "candidates": 500,
            "num_samples": 40,
            "num_test_samples": 0,
            "num_seeds": 2,
            "epochs": 3,
            "epoch_images": 50,
            "batch_size": 20,
        },
        "## Active learning on MNIST: 10 labels at once, up to 50, 6 steps",
        "| random | more than 50 (30, –) | more than 50 (–, –) | more than 50 (–, –) | 96.00 | 50 |",
        "| BALD | 35 (30, 40) | 35 (30, 40) | 40 (40, 40) | 96.00 | 50 |",
        "| Kirsch et al. 2019: BatchBALD, 10 at once | 105 | 225 |  |  |  |",
        "40 dropout samples of 500 images at each step; test accuracy by one pass without dropout. BALD reaches 95 % ",
    ),
    "bayesian_optimisation": (
        {"random": REGRET, "dropout, EI": {**REGRET, "runs below random": 0.85}},
        {"objective": "branin", "num_evaluations": 51, "num_initial": 5, "num_seeds": 20},
        "| method | regret after 25 | after 51 | quartiles | runs below random search | step |",
        "| random | 1.2 | 0.012 | 0.001 – 0.5 |  | 0.043 |",
        "| dropout, EI | 1.2 | 0.012 | 0.001 – 0.5 | 85 % | 0.043 |",
    ),
    "estimators": (
        {
            "independent, 10 samples": ERRORS,
            "balanced, 10 samples": {**ERRORS, "probabilities": 0.01},
            "weight scaling": {"probabilities": 0.03},
            "moments": MOMENTS,
            "moments, covariance": MOMENTS,
        },
        {"network": "8-8", "dataset": "digits", "rate": 0.5, "num_test": 5, "repeats": 3, "num_reference": 99},
        "| balanced, 10 | 10.00 | 4.00 | 50.00 | -10.00 | 60.00 | 1.00 |",
        "| moments | 1.2 | 4.6 | 1/20.0 |",
    ),
    "language_model": (
        {"none": {**TRAINED, "validation, network 0": 8.4, "validation, network 1": 8.6}},
        {"dataset": "shakespeare", "max_symbols": 50_000, "num_layers": 1, "width": 200, "num_seeds": 2}
        | {"rate": 0.3, "recurrent_rate": 0.25},
        "Language models of 50 000 characters of shakespeare: 1 x 200 units, rate 0.3, recurrent 0.25",
        "| none | 8.500 ± 0.032 | 8.700 | 4.400 |",
    ),
    "text_classification": (
        {"R-Drop": BOTH},
        {"small": 1000, "large": 0, "num_layers": 2, "features": 64, "num_seeds": 3},
        "| method | test error, %, 1000 phrases | NLL | test error, %, all 60614 phrases | NLL |",
        "| R-Drop | 12.35 ± 0.68 | 0.988 | 12.35 ± 0.68 | 0.988 |",
    ),
    "fine_tuning": (
        {"rate 0.1": BOTH, "perplexity after pre-training": 99.0},
        {"labelled": 500, "num_seeds": 3},
        "## Fine-tuning on 500 labelled sentences",
        "| 0.1 | 12.35 ± 0.68 | 12.35 ± 0.68 | 0.988 | 0.988 |",
    ),
    "sparse_vd": (
        {
            "dense": {
                "error %": 1.234,
                "standard error": 0.056,
                "NLL": 0.05,
                "training error %": 0.1,
                "compression": 67.8,
                "sparsity %, layer 0": 98.76,
            },
            "deployed: compact": DEPLOYED,
            "largest difference of logits, compact": 1.2e-6,
        },
        {
            "dataset": "mnist",
            "network": "300-100",
            "epochs": 200,
            "num_seeds": 3,
            "random_labels": False,
            "dropout_rate": 0.0,
        },
        "| paper: sparse VD | 1.92 |  |  | 98.9 - 97.2 - 62.0 | 68 |",
        "| dense | 1.23 ± 0.06 | 0.050 | 0.10 | 98.8 | 68 |",
        "| compact | 1234 | 6 | 0.12 |",
        "Mean of 3 networks.",
        "differ from the large one's by 1e-06 at most",
    ),
    "sbp": (
        {"pruned": {**DEPLOYED, "inputs, layer 0": 245, "inputs, layer 1": 160}, "largest difference of logits": 2e-6},
        {"dataset": "mnist", "network": "500-300", "epochs": 40},
        "| pruned | 1.23 | 245-160 |",
        "| paper: pruned | 1.55 | 245-160-55 |",
        "| pruned | 1234 | 6 | 0.12 |",
    ),
    "concrete": (
        {"N = 10": FIT, "N = 100": FIT},
        {"num_seeds": 2},
        "| N = 10 | 1.200 ± 0.300 | 0.100 | 0.500 | 1.000 |",
    ),
    "gradient_variance": (
        {"local": {"first layer": 12345.0}, "single": {"first layer": 67890.0}},
        {"dataset": "mnist", "width": 250, "num_gradients": 200},
        "| first layer | 1.23e+04 | 6.79e+04 |",
    ),
    "uci": (
        {
            "MC dropout": SCORES,
            "ensemble": {**SCORES, "RMSE": 3.1},
            "difference": {**SCORES, "RMSE": -0.0123, "log-likelihood": 0.2},
            "moments": {**SCORES, "mean off by": 0.01, "deviation off by": 0.02},
            "moments, covariance": {**SCORES, "mean off by": 0.03, "deviation off by": 0.04},
            "splits with rate 0.005": 4,
            "splits with rate 0.01": 16,
            "splits with precision 0.1": 20,
            "learned rate, layer 1": 0.05,
            "learned rate, layer 2": 0.06,
        },
        dataclasses.asdict(uci.Config("boston")),
        "## MC dropout for regression: Boston housing, 100x epochs",
        "| MC dropout | 2.90 ± 0.17 | -2.600 ± 0.050 |",
        "| published: MC dropout (V) | 2.90 ± 0.18 | -2.402 ± 0.042 |",
        "| ensemble of 5 | 3.10 ± 0.17 | -2.600 ± 0.050 |",
        "over 20 splits. Chosen by validation: rate 0.005 in 4, 0.01 in 16; precision 0.1 in 20 splits.",
        "within two combined standard errors of the published numbers: RMSE yes, log-likelihood no. Ours minus theirs, "
        "split by split: RMSE -0.0123 ± 0.17, log-likelihood +0.2 ± 0.05.",
        "off by 0.010 and 0.020, with covariances by 0.030 and 0.040.",
    ),
}


@pytest.mark.parametrize("experiment", RUNS)
def test_shows_the_numbers_of_a_run(experiment, tmp_path):
    metrics, config, *lines = RUNS[experiment]
    run = {
        "metrics": metrics,
        "config": config,
        "seed": 7,
        "versions": {"jax": "1.2.3"},
        "device": {"kind": "abacus"},
        "wall_seconds": 90,
    }
    folder = tmp_path / "results"
    (folder / experiment).mkdir(parents=True)
    (folder / experiment / "one.json").write_text(json.dumps(run))
    text = report.write(folder).read_text()
    for line in (*lines, "seed 7, 2 min on abacus, jax 1.2.3"):
        assert line in text
    assert (folder / experiment / "one.png").exists() == (experiment in report.PICTURES)


@pytest.mark.parametrize(
    ("needed", "at_random", "verdict"),
    [
        (200, 450, "with 44 % of the labels of random choice, fewer than half"),
        (200, 390, "with 51 % of the labels of random choice, not fewer than half"),
        (200, None, "with less than 33 % of the labels of random choice, fewer than half"),
        (320, None, "with less than 53 % of the labels of random choice, perhaps fewer than half"),
        (None, 200, "in fewer than half of its runs"),
    ],
)
def test_says_whether_bald_takes_fewer_than_half_of_the_labels(needed, at_random, verdict):
    labels = [*range(10, 610, 10)]

    def curve(reached):
        return {"labels": labels, "accuracies": [[0.95 if reached and n >= reached else 0.9 for n in labels]]}

    text = halves({"BALD": curve(needed), "random": curve(at_random)})
    assert text == f"BALD reaches 95 % {verdict}; smoothed, {verdict}."


@pytest.mark.parametrize(
    ("experiment", "changes"),
    [
        ("sparse_vd", {"dataset": "digits"}),
        ("sparse_vd", {"random_labels": True}),
        ("sparse_vd", {"network": "16", "dropout_rate": 0.5, "num_seeds": 1}),
        ("sbp", {"dataset": "digits"}),
    ],
)
def test_the_papers_numbers_stand_beside_the_same_experiment_only(experiment, changes, tmp_path):
    metrics, config, *_ = RUNS[experiment]
    run = {"config": {**config, **changes}, "metrics": metrics, "seed": 7, "versions": {"jax": "1"}}
    text = report.SECTIONS[experiment](
        tmp_path / "one.json", {**run, "device": {"kind": "abacus"}, "wall_seconds": 90}, ""
    )
    assert "paper" not in text
    assert ("| dense, with dropout |" in text) == ("dropout_rate" in changes)
    assert ("One network." in text) == ("num_seeds" in changes or experiment == "sbp")


@pytest.mark.parametrize("dataset", ["cifar10", "cifar10_jpeg"])
def test_published_repairs_stand_beside_the_same_network_on_the_original_pictures_only(dataset, tmp_path):
    config = dataclasses.asdict(cifar10.Config(dataset=dataset))
    run = {"config": config, "metrics": REPAIRS, "seed": 7, "versions": {"jax": "1"}}
    text = shift.section(tmp_path / "one.json", {**run, "device": {"kind": "abacus"}, "wall_seconds": 90}, "")
    assert "## Repairs of MC dropout on CIFAR-10: Wide ResNet 28-10, all training examples, 200 epochs" in text
    row = "| no dropout | 71.23 ± 7.12 | 0.900 ± 0.090 | 0.0500 ± 0.0050 |  |  |  |"
    assert (f"{row} 96.0 | 0.159 | 0.0231 |" in text) == (dataset == "cifar10")
    assert row in text
    assert ("no number compares with published ones" in text) == (dataset == "cifar10_jpeg")
    assert shift.picture(run).axes[0].get_title(loc="left") == "accuracy %"
    validated = {**run, "config": config | {"validate": True}, "device": {"kind": "abacus"}, "wall_seconds": 90}
    text = shift.section(tmp_path / "one.json", validated, "")
    assert "All validation examples." in text
    assert "uncertainty-baselines" not in text
