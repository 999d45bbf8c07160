"""The report has a section for each experiment, with the numbers of its result file."""

import json

import pytest

from experiments import report

TRAINED = {"validation perplexity": 8.5, "standard error": 0.0321, "test perplexity": 8.7, "training perplexity": 4.4}
BOTH = {
    f"{metric}, {case}": value
    for case in ("small", "large", "pre-trained", "new")
    for metric, value in (("error %", 12.345), ("standard error", 0.6789), ("NLL", 0.9876))
}
RUNS = {
    "language_model": (
        {"none": {**TRAINED, "validation, network 0": 8.4, "validation, network 1": 8.6}},
        {"dataset": "shakespeare", "max_symbols": 50_000, "num_layers": 1, "width": 200, "num_seeds": 2},
        "Language models of 50 000 characters of shakespeare: 1 x 200 units",
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
        {"dense": {"error %": 1.234, "NLL": 0.05, "compression": 67.8, "sparsity %, layer 0": 98.76}},
        {"dataset": "mnist", "widths": "300-100", "epochs": 200},
        "| paper: sparse VD | 1.92 |  | 98.9 - 97.2 - 62.0 | 68 |",
        "| dense | 1.23 | 0.050 | 98.8 | 68 |",
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
    assert (folder / experiment / "one.png").exists() == (experiment == "language_model")
