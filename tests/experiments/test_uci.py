"""The protocol of the UCI experiment: splits, units, weight decay, likelihood, choice, and resumption."""

import functools
import http.server
import json
import math
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pooch
import pytest
import scipy.special
import scipy.stats

import jaxdrop
from experiments.common import data
from experiments.common.errors import RefusedError
from experiments.uci import networks, prediction, published, train, training
from experiments.uci.networks import Networks, Setting
from tests import statistical

pytestmark = pytest.mark.thorough

RATES, PRECISIONS = [0.01, 0.1], [0.5, 2.0]


def tiny_table(rows=50, splits=2):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (rows, 3)).round(3)
    y = (x @ [1.0, -2.0, 0.5] + 100 + rng.normal(size=rows)).round(3)
    orders = np.stack([rng.permutation(rows) for _ in range(splits)])
    return data.Regression(x, y, orders[:, 10:], orders[:, :10], np.array(RATES), np.array(PRECISIONS), 4, 2)


def files(table):
    """The publisher's files by name: the target is column 1, and column 2 is not used."""
    columns = (table.x[:, :1], table.y[:, None], np.zeros((len(table.y), 1)), table.x[:, 1:])
    return {
        "data": np.concatenate(columns, 1),
        "index_features": np.array([0, 3, 4]),
        "index_target": np.array(1),
        "n_splits": np.array(len(table.train)),
        "dropout_rates": table.rates,
        "tau_values": table.precisions,
        "n_hidden": np.array(table.width),
        "n_epochs": np.array(table.epochs),
        **{f"index_train_{number}": rows for number, rows in enumerate(table.train)},
        **{f"index_test_{number}": rows for number, rows in enumerate(table.test)},
    }


@pytest.fixture
def tiny_yacht(tmp_path, monkeypatch):
    """A small table in the place of a published one; JAXDROP_DATA names its folder."""
    table = tiny_table()
    (tmp_path / "uci").mkdir()
    # The archive's names are those of the files but for "index_" before a split's number.
    np.savez(
        tmp_path / "uci" / "yacht.npz",
        **{name.removeprefix("index_") if name[-1].isdigit() else name: x for name, x in files(table).items()},
    )
    monkeypatch.setitem(data.UCI, "yacht", ("yacht", data.digest(table)))
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path))
    return table


def assert_same_table(one, other):
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_reads_a_table_from_the_archive_and_refuses_another(tiny_yacht, tmp_path):
    assert_same_table(data.load_regression("yacht"), tiny_yacht)
    path = tmp_path / "uci" / "yacht.npz"
    content = dict(np.load(path))
    np.savez(path, **{**content, "train_1": content["train_1"][::-1]})
    with pytest.raises(RefusedError, match=r"yacht\.npz is damaged: the sha256 sum of its content is not"):
        data.load_regression("yacht")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RefusedError, match=r"yacht\.npz is damaged: "):
        data.load_regression("yacht")
    path.unlink()
    with pytest.raises(RefusedError, match=r"there is no file .*yacht\.npz; unset JAXDROP_DATA"):
        data.load_regression("yacht")
    with pytest.raises(ValueError, match=r"name must be one of .* got 'house'"):
        data.load_regression("house")


def test_downloads_a_table_once_and_refuses_a_damaged_one(tiny_yacht, tmp_path, monkeypatch):
    folder, requested = tmp_path / "public" / "yacht" / "data", []
    folder.mkdir(parents=True)
    for name, numbers in files(tiny_yacht).items():
        np.savetxt(folder / f"{name}.txt", np.atleast_1d(numbers))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requested.append(self.path)

    handler = functools.partial(Handler, directory=tmp_path / "public")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.delenv("JAXDROP_DATA")
        monkeypatch.setattr(data, "UCI_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
        for _ in range(2):
            assert_same_table(data.load_regression("yacht"), tiny_yacht)
        assert len(requested) == len(files(tiny_yacht))
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "other")
        (folder / "index_test_0.txt").write_text("0\n" * 10)
        with pytest.raises(
            RefusedError, match=r"other/uci/yacht is damaged: .*; delete it to have it downloaded again"
        ):
            data.load_regression("yacht")
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "third")
        (folder / "tau_values.txt").unlink()
        with pytest.raises(RefusedError, match=r"tau_values\.txt could not be downloaded intact"):
            data.load_regression("yacht")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_last_fifth_of_the_training_rows_is_for_validation_in_the_order_of_the_file():
    fit, held_out = train.for_validation(np.arange(2 * 455).reshape(2, 455))
    assert (fit.shape, held_out.shape) == ((2, 364), (2, 91))  # Boston's 455: 0.8 * 455 = 364
    np.testing.assert_array_equal(np.concatenate([fit, held_out], 1), np.arange(2 * 455).reshape(2, 455))


def test_standardises_by_the_examples_trained_on_alone():
    table = tiny_table()
    table.x[:, 2] = 7.0  # a constant feature
    part = train.standardise(table, table.train, table.test)
    np.testing.assert_allclose(part.x.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(part.x.std(1), [[1, 1, 0]] * 2, atol=1e-5)
    np.testing.assert_allclose(part.y.std(1), 1, atol=1e-5)
    for split in range(2):
        y = table.y[table.train[split]]
        np.testing.assert_allclose(part.scale[split], y.std())
        np.testing.assert_allclose(part.y_test[split], (table.y[table.test[split]] - y.mean()) / y.std(), atol=1e-5)
    assert float(jnp.abs(part.x_test.mean(1)[:, :2]).min()) > 1e-4


def test_weight_decay_is_the_authors():
    # l^2 (1 - p) / (2 N tau) with l = 0.01, p = 0.05, N = 364, tau = 0.15
    assert float(networks.weight_decay(0.05, 0.15, 0.01, 364)) == pytest.approx(1e-4 * 0.95 / 109.2)
    method = networks.mc_dropout(4, 0.01)
    params = jax.jit(lambda: method.init(jax.random.key(0), 3))()
    params["hidden"]["bias"] += 1000.0  # has no decay
    squares = sum(np.square(layer["kernel"]).sum() for layer in params.values())
    penalty = method.penalty(params, Setting(0.05, 0.15, 9.0), 364)
    assert float(penalty) == pytest.approx(1e-4 * 0.95 / 109.2 * squares, rel=1e-5)
    penalty = networks.deterministic(4, 0.01).penalty(params, Setting(0.05, 0.15, 9.0), 364)
    assert float(penalty) == pytest.approx(1e-4 / 109.2 * squares, rel=1e-5)


def test_penalty_of_concrete_dropout_is_the_bounds_in_the_unit_of_standardised_targets():
    method = networks.concrete_dropout(4, 0.01)
    params = jax.jit(lambda: method.init(jax.random.key(0), 3))()
    kernels = params["hidden"]["kernel"], params["output"]["kernel"]
    entropy = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    kl = sum(1e-4 / 2 * np.square(kernel).sum() / 0.9 - len(kernel) * entropy for kernel in kernels)
    penalty = method.penalty(params, Setting(0.0, 0.15, 9.0), 364)
    assert float(penalty) == pytest.approx(2 * kl / (364 * 0.15 * 81), rel=1e-5)
    assert jax.nn.sigmoid(params["logit_rates"]).tolist() == pytest.approx([0.1, 0.1])


@pytest.fixture(scope="module")
def trained():
    """Examples, and four networks: two settings on each of two splits."""
    table = tiny_table()
    part = train.standardise(table, table.train, table.test)
    scales = jnp.asarray(part.scale, jnp.float32)[:, None].repeat(2, 1)
    settings = Setting(jnp.array([[0.1, 0.3]] * 2), jnp.array([[0.5, 2.0]] * 2), scales)
    side_by_side = Networks(jax.random.split(jax.random.key(0)), jnp.arange(2), settings)
    return networks.mc_dropout(8, 0.01), side_by_side, table, part


def part_of(side_by_side, group, setting):
    """The network of a group with a setting, alone."""
    settings = jax.tree.map(lambda leaf: leaf[group : group + 1, setting : setting + 1], side_by_side.settings)
    chosen = slice(group, group + 1)
    return Networks(side_by_side.keys[chosen], side_by_side.splits[chosen], settings)


@pytest.mark.thorough
def test_likelihood_and_moments_are_those_of_the_samples(trained):
    method, side_by_side, table, part = trained
    keys = jax.random.split(jax.random.key(1), (2, 2))
    params = jax.jit(jax.vmap(jax.vmap(lambda key: method.init(key, 3))))(keys)
    number = 400
    p = prediction.sample(method, params, side_by_side, part.x_test, part.y_test, number)
    # Directly, in the unit of the data, for the last network.
    last, setting = jax.tree.map(lambda leaf: leaf[1, 1], (params, side_by_side.settings))
    key = networks.purposes(side_by_side.keys[1]).prediction
    x = part.x_test[1]
    draw = jax.vmap(lambda n: method.predict(last, x, method.noise(jax.random.fold_in(key, n), x.shape, setting.rate)))
    y_train, y_test = table.y[table.train[1]], table.y[table.test[1]]
    outputs = np.asarray(jax.jit(draw)(jnp.arange(number)), float) * y_train.std() + y_train.mean()
    exponents = scipy.special.logsumexp(-2.0 / 2 * (y_test[None] - outputs) ** 2, 0)
    expected = exponents - np.log(number) - 0.5 * np.log(2 * np.pi) + 0.5 * np.log(2.0)
    np.testing.assert_allclose(p.log_likelihood[1, 1], expected, rtol=1e-4)
    np.testing.assert_allclose(p.mean[1, 1] * y_train.std() + y_train.mean(), outputs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(p.deviation[1, 1] * y_train.std(), outputs.std(0), rtol=1e-3)
    moments = prediction.propagate(method, params, side_by_side, part.x_test, part.y_test, False)
    # Six standard errors of the samples, and what the approximation is known to be off by.
    assert (jnp.abs(moments.mean - p.mean) < (6 / number**0.5 + 0.2) * p.deviation).all()
    normal = scipy.stats.norm.logpdf(
        y_test,
        np.asarray(moments.mean[1, 1]) * y_train.std() + y_train.mean(),
        np.sqrt((np.asarray(moments.deviation[1, 1]) * y_train.std()) ** 2 + 1 / 2.0),
    )
    np.testing.assert_allclose(moments.log_likelihood[1, 1], normal, rtol=1e-4)


@pytest.mark.thorough
def test_resumes_bit_for_bit_and_networks_are_what_they_are_alone(trained, tmp_path, monkeypatch):
    _, side_by_side, _, part = trained
    # Linear, which compiles in half the time.
    method = networks.Method(
        lambda key, features: jax.random.normal(key, (features,)),
        lambda key, shape, rate: jaxdrop.dropout(key, jnp.ones(shape), rate, bits=16),
        lambda params, x, noise: (x * noise) @ params,
        lambda params, setting, num_data: jnp.square(params).sum() / (num_data * setting.precision),
    )
    settings = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "name": "networks"}
    monkeypatch.setattr(training, "SEGMENT_STEPS", 3)  # 40 examples are 2 batches of 16 and one of 8

    def fit(workdir, chosen=side_by_side):
        return training.fit_networks(method, chosen, part.x, part.y, workdir=workdir, **settings)

    expected = fit(tmp_path / "uninterrupted")
    segments = []

    def stop_after_two(workdir):
        segments.append(workdir)
        if len(segments) == 2:
            raise InterruptedError

    monkeypatch.setattr(training, "sign_of_life", stop_after_two)
    with pytest.raises(InterruptedError):
        fit(tmp_path / "interrupted")
    resumed = fit(tmp_path / "interrupted")
    assert len(segments) == 3  # the third alone was left to do
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)
    alone = fit(tmp_path / "alone", part_of(side_by_side, 1, 0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0, 0], b[1, 0], rtol=1e-4, atol=1e-5), alone, expected)


def test_mc_dropout_drops_before_both_layers():
    method = networks.mc_dropout(8, 0.01)
    init_key, x_key, key = jax.random.split(jax.random.key(0), 3)
    params, x = method.init(init_key, 3), jax.random.normal(x_key, (16, 3))
    first, second = jax.random.split(key)
    units = jax.nn.relu(jaxdrop.dropout(first, x, 0.3, bits=16) @ params["hidden"]["kernel"])
    expected = (jaxdrop.dropout(second, units, 0.3, bits=16) @ params["output"]["kernel"])[:, 0]
    np.testing.assert_allclose(method.predict(params, x, method.noise(key, x.shape, 0.3)), expected, rtol=1e-5)
    assert not jnp.allclose(method.predict(params, x, method.noise(key, x.shape, 0.0)), expected)


def test_networks_of_a_group_differ_in_their_setting_alone(trained, tmp_path):
    method, side_by_side, _, part = trained
    one_setting = jax.tree.map(lambda leaf: leaf[:, :1].repeat(2, 1), side_by_side.settings)
    settings = {"epochs": 1, "batch_size": 16, "learning_rate": 0.01, "workdir": tmp_path, "name": "same"}
    same = side_by_side._replace(settings=one_setting)
    params = training.fit_networks(method, same, part.x, part.y, **settings)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf[:, 0], leaf[:, 1]), params)
    p = prediction.sample(method, params, same, part.x_test, part.y_test, 3)
    np.testing.assert_array_equal(p.log_likelihood[:, 0], p.log_likelihood[:, 1])
    # Two groups share nothing but what they are told to.
    assert not jnp.allclose(params["hidden"]["kernel"][0], params["hidden"]["kernel"][1])


def test_orders_are_permutations_and_uniform():
    number, keys = 6, jax.random.split(jax.random.key(0), 10_000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: training.random_order(key, number)))(keys))
    np.testing.assert_array_equal(np.sort(orders, 1), np.tile(np.arange(number), (len(keys), 1)))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == math.factorial(number)
    statistical.assert_uniform(counts)
    for size in (1, 2, 8, 9, 5898):
        np.testing.assert_array_equal(np.sort(training.random_order(keys[0], size)), np.arange(size))


def test_chooses_the_first_best_cell_of_the_grid_of_each_split():
    rates, precisions = train.grid(tiny_table())
    np.testing.assert_array_equal(rates, [0.01, 0.01, 0.1, 0.1])
    np.testing.assert_array_equal(precisions, [0.5, 2.0, 0.5, 2.0])
    likelihoods = np.array([[-3.0, -1.0, -1.0, -2.0], [np.nan, -9.0, -8.0, np.nan]])
    np.testing.assert_array_equal(train.best_cells(likelihoods), [1, 2])


def test_precision_without_noise_is_the_likeliest():
    rng = np.random.default_rng(0)
    y, means = rng.normal(size=30), rng.normal(size=(3, 30))
    assert prediction.best_precision(means[:1], y) == pytest.approx(1 / np.square(means[0] - y).mean())
    best = prediction.best_precision(means, y)
    scores = [prediction.mixture_log_likelihood(means, y, best * factor, 1.0) for factor in (0.9, 1.0, 1.1)]
    assert max(scores) == scores[1]
    # The unit of the data: twice the scale is half the density.
    wide = prediction.mixture_log_likelihood(means, y, best / 4, 2.0)
    assert wide == pytest.approx(scores[1] - np.log(2), rel=1e-5)


def test_summary_is_over_splits():
    columns = train.summary({"RMSE": np.array([1.0, 2.0, 3.0])})
    assert columns["RMSE"] == 2
    assert columns["RMSE, error"] == pytest.approx(1 / np.sqrt(3))
    np.testing.assert_array_equal(train.each_split(columns, "RMSE"), [1.0, 2.0, 3.0])


def test_published_values_of_each_split_are_read_where_they_are_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path))
    assert published.of_each_split("boston") == {}
    (tmp_path / "uci").mkdir()
    content = {"bostonHousing": {"test_MC_rmse": [1.0, 2.0], "test_ll": [-3.0, -4.0]}}
    (tmp_path / "uci" / "gal_results_100x_1layer.json").write_text(json.dumps(content))
    values = published.of_each_split("boston")
    assert values["RMSE"].tolist() == [1.0, 2.0]
    assert values["log-likelihood"].tolist() == [-3.0, -4.0]
    monkeypatch.delenv("JAXDROP_DATA")
    assert published.of_each_split("boston") == {}


@pytest.mark.slow
def test_runs_all_methods(tiny_yacht, tmp_path):
    content = {"yacht": {"test_MC_rmse": [1.0, 2.0], "test_ll": [-3.0, -4.0]}}
    (tmp_path / "uci" / "gal_results_100x_1layer.json").write_text(json.dumps(content))
    config = train.Config(dataset="yacht", num_samples=50, num_validation_samples=20, num_members=2, batch_size=16)
    metrics = train.run(config, tmp_path / "run")
    methods = ("MC dropout", "moments", "moments, covariance", "deterministic", "ensemble", "concrete dropout")
    assert list(metrics)[:7] == [*methods, "difference"]
    for name in methods:
        assert 0 < metrics[name]["RMSE"] < 5
        assert metrics[name]["RMSE, error"] > 0
        assert -10 < metrics[name]["log-likelihood"] < 0
    assert metrics["difference"]["RMSE"] == pytest.approx(metrics["MC dropout"]["RMSE"] - 1.5)
    assert set(metrics["difference"]) == {"RMSE", "RMSE, error", "log-likelihood", "log-likelihood, error"}
    assert sum(value for name, value in metrics.items() if name.startswith("splits with rate")) == 2
    assert metrics["learned rate, layer 1"] != pytest.approx(0.1, abs=1e-4)
    assert 0 < metrics["moments, covariance"]["deviation off by"] < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "house"}, "dataset must be one of boston, concrete, .* got 'house'"),
        ({"multiplier": 0}, "multiplier must be at least 1, got 0"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"num_members": 1}, "num_members must be at least 2, got 1"),
        ({"length_scale": 0.0}, "length_scale must be positive and finite, got 0.0"),
        ({"max_splits": 1}, "max_splits must be 0, for all, or at least 2, got 1"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        train.Config(**settings)
