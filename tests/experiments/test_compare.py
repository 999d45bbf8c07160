"""The comparison puts every method where it belongs, trains several networks at once, and reports them."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import report
from experiments.compare.methods import MLP_METHODS, RESNET_METHODS, Setting
from experiments.compare.networks import MLP, Places, ResNet, convolve
from experiments.compare.train import Config, run

pytestmark = pytest.mark.thorough

TINY = Config(dataset="digits", width=32, epochs=8, num_seeds=2, batch_size=64, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("compare")
    methods = "none;dropout + max-norm;R-Drop"
    return run(dataclasses.replace(TINY, methods=methods), workdir), workdir


@pytest.mark.slow
def test_reports_each_network_and_their_standard_error(trained):
    metrics, _ = trained
    assert list(metrics) == ["none", "dropout + max-norm", "R-Drop"]
    for values in metrics.values():
        errors = [values[f"error %, network {number}"] for number in range(2)]
        assert errors[0] != errors[1]
        assert values["error %"] == pytest.approx(np.mean(errors))
        assert values["standard error"] == pytest.approx(np.std(errors, ddof=1) / np.sqrt(2))
        assert values["error %"] < 50  # chance is 90


@pytest.mark.slow
def test_reports_on_the_validation_examples_if_asked(trained, tmp_path):
    metrics, _ = trained
    validated = run(dataclasses.replace(TINY, methods="none", validate=True), tmp_path)
    assert validated["none"]["error %"] != metrics["none"]["error %"]


@pytest.mark.slow
def test_trains_residual_networks_on_a_part_of_the_examples(tmp_path):
    config = dataclasses.replace(
        TINY, network="resnet", methods="DropBlock, scheduled", max_examples=192, epochs=1, width=2
    )
    metrics = run(config, tmp_path)["DropBlock, scheduled"]
    assert all(np.isfinite(value) for value in metrics.values())


def network(methods, name, train, step=10):
    config = Config(network="mlp" if methods is MLP_METHODS else "resnet", width=4)
    places = methods[name].places(Setting(config, train, step, 20))
    return MLP((4, 4), places) if methods is MLP_METHODS else ResNet((4, 8, 16), places, train=False)


@pytest.mark.thorough
@pytest.mark.parametrize("methods", [MLP_METHODS, RESNET_METHODS], ids=["mlp", "resnet"])
def test_noise_is_on_in_training_alone_and_the_parameters_are_the_same(methods, getkey):
    images = jax.random.uniform(getkey(), (8, 12, 12))
    shapes = set()
    for name in methods:
        variables = jax.eval_shape(network(methods, name, False).init, getkey(), images)
        variables = jax.tree.map(lambda leaf: jnp.abs(jnp.sin(jnp.arange(leaf.size))).reshape(leaf.shape), variables)
        first, second = (
            network(methods, name, True).apply(variables, images, rngs={"dropout": getkey()}) for _ in range(2)
        )
        assert np.allclose(first, second) == (name == "none"), name
        logits = network(methods, name, False).apply(variables, images)
        assert logits.shape == (8, 10)
        assert np.isfinite(logits).all()
        shapes.add(tuple(sorted(leaf.shape for leaf in jax.tree.leaves(variables["params"]))))
    assert len(shapes) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["curriculum dropout", "DropBlock, scheduled"])
def test_schedules_start_without_noise(name, getkey):
    methods = MLP_METHODS if name in MLP_METHODS else RESNET_METHODS
    images = jax.random.uniform(getkey(), (8, 12, 12))
    variables = network(methods, name, False).init(getkey(), images)
    start = network(methods, name, True, step=0).apply(variables, images, rngs={"dropout": getkey()})
    np.testing.assert_allclose(start, network(methods, name, False).apply(variables, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [28, 7, (14, 9)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_by_matrix_products_is_flax_s(size, stride, getkey):
    height, width = (size, size) if isinstance(size, int) else size
    x = jax.random.normal(getkey(), (2, height, width, 3))
    ours, theirs = (
        nn.Conv(4, (3, 3), stride, conv_general_dilated=function)
        for function in (convolve, jax.lax.conv_general_dilated)
    )
    variables = theirs.init(getkey(), x)
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5)


def test_dropping_every_branch_leaves_the_shortcuts(getkey):
    images = jax.random.uniform(getkey(), (2, 28, 28))
    without = ResNet((4, 8, 16), Places(branch=lambda block: jnp.zeros_like), train=False)
    variables = without.init(getkey(), images)
    other = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 2 * leaf if "Conv_1" in str(path) else leaf, variables["params"]
    )
    np.testing.assert_array_equal(
        without.apply(variables, images), without.apply({**variables, "params": other}, images)
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("methods", "none;no such", "methods must be 'all' or among none; dropout; .*, got 'none;no such'"),
        ("network", "cnn", "network must be one of mlp, resnet, got 'cnn'"),
        ("drop_connect_mode", "row", "drop_connect_mode must be one of example, batch, got 'row'"),
        ("num_seeds", 1, "num_seeds must be at least 2, for standard errors, got 1"),
        ("rate", 1.0, "rate must be at least 0 and below 1, got 1.0"),
        ("max_norm", 0.0, "max_norm must be positive and finite, got 0.0"),
        ("consistency", -1.0, "consistency must be at least 0 and finite, got -1.0"),
        ("width", 0, "width must be at least 1, got 0"),
        ("max_examples", -1, "max_examples must be at least 0, got -1"),
    ],
)
def test_refuses_settings_that_make_no_sense(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})


def result(metrics, **config):
    return json.dumps(
        {
            "metrics": metrics,
            "config": dataclasses.asdict(Config(**config)),
            "seed": 0,
            "versions": {"jax": "1.2.3"},
            "device": {"kind": "abacus"},
            "wall_seconds": 90,
        }
    )


def test_the_report_shows_our_number_beside_the_paper_s(tmp_path, trained, capsys):
    metrics, _ = trained
    folder = tmp_path / "results"
    (folder / "compare").mkdir(parents=True)
    (folder / "compare" / "mnist.json").write_text(result(metrics, epochs=7))
    assert report.main([str(folder)]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    values = metrics["dropout + max-norm"]
    row = f"| dropout + max-norm | {values['error %']:.2f} ± {values['standard error']:.2f} |"
    (line,) = [line for line in text.splitlines() if line.startswith(row)]
    assert line.endswith("| 1.06 | S | Srivastava et al. 2014, table 2: 3 x 1024 ReLUs |")
    assert "## Methods on mnist, 784-1024-1024-10, 7 epochs" in text
    assert "seed 0, 2 min on abacus, jax 1.2.3" in text
    assert (folder / "compare" / "mnist.png").exists()
    capsys.readouterr()


def test_the_report_shows_no_paper_s_number_beside_another_data_set(tmp_path, trained):
    folder = tmp_path / "results"
    (folder / "compare").mkdir(parents=True)
    (folder / "compare" / "other.json").write_text(result(trained[0], dataset="fashion_mnist"))
    assert "1.06" not in report.write(folder).read_text()


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": {}}'])
def test_the_report_refuses_other_files_by_name(tmp_path, content, capsys):
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare" / "bad.json").write_text(content)
    assert report.main([str(tmp_path)]) == 2
    assert "bad.json is not a result file" in capsys.readouterr().err


def test_the_report_refuses_an_empty_folder(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 2
    assert "there are no result files" in capsys.readouterr().err


def test_the_report_in_the_repository_is_up_to_date():
    assert report.text(report.RESULTS) == (report.RESULTS.parent / "RESULTS.md").read_text()
