"""Standard errors, the jackknife, and sampling until an error is small enough."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import stats

import jaxdrop
from tests.statistical import assert_mean

STATISTICS = {
    "mean": lambda p: p.mean(0),
    "variance": lambda p: p.var(0),
    "predictive_entropy": lambda p: stats.entropy(p.mean(0), axis=-1),
    "expected_entropy": lambda p: stats.entropy(p, axis=-1).mean(0),
    "mutual_information": lambda p: stats.entropy(p.mean(0), axis=-1) - stats.entropy(p, axis=-1).mean(0),
}


def logits(key):
    # Not the same for all classes: where the mean is uniform, entropy has no slope, and no jackknife helps.
    return jaxdrop.gaussian_dropout(key, jnp.broadcast_to(jnp.array([2.0, 1.0, -1.0]), (2, 3)), 0.5)


def jackknife(statistic, samples, blocks):
    """Estimate and standard error, block by block as in Busing et al. (1999)."""
    n, numbers = len(samples), np.unique(blocks)
    whole = statistic(samples)
    sizes = [np.sum(blocks == b) for b in numbers]
    without = [statistic(samples[blocks != b]) for b in numbers]
    estimate = len(numbers) * whole - sum((1 - m / n) * part for m, part in zip(sizes, without, strict=True))
    pseudo = [n / m * whole - (n / m - 1) * part for m, part in zip(sizes, without, strict=True)]
    squares = [(p - estimate) ** 2 / (n / m - 1) for m, p in zip(sizes, pseudo, strict=True)]
    return estimate, np.sqrt(np.mean(squares, axis=0))


@pytest.mark.parametrize(
    ("masks", "num_samples", "num_blocks", "block_of"),
    [
        ("independent", 53, 10, lambda s: s % 10),
        ("antithetic", 53, 10, lambda s: s // 2 % 10),
        ("antithetic", 7, 10, lambda s: s // 2),
        ("balanced", 53, 10, lambda s: s // 6),
    ],
)
def test_errors_are_those_of_the_jackknife(masks, num_samples, num_blocks, block_of, getkey):
    p = jaxdrop.monte_carlo(
        logits,
        getkey(),
        num_samples,
        outputs="logits",
        masks=masks,
        num_blocks=num_blocks,
        return_samples=True,
        chunk_size=7,
    )
    samples, blocks = np.asarray(p.samples, np.float64), block_of(np.arange(num_samples))
    for name, statistic in STATISTICS.items():
        estimate, error = jackknife(statistic, samples, blocks)
        np.testing.assert_allclose(getattr(p.standard_error, name), error, rtol=1e-3, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(p.jackknifed_information, estimate, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(p.standard_error.jackknifed_information, p.standard_error.mutual_information)
    votes = samples.argmax(-1)[..., None] == np.arange(3)
    _, error = jackknife(lambda v: v.mean(0) * num_samples, votes.astype(float), blocks)
    np.testing.assert_allclose(p.standard_error.votes, error, rtol=1e-3, atol=1e-5)
    assert p.num_samples == num_samples


@pytest.mark.thorough
@pytest.mark.parametrize("masks", ["independent", "antithetic"])
def test_errors_say_how_much_statistics_vary(masks, getkey):
    run = functools.partial(jaxdrop.monte_carlo, logits, num_samples=60, outputs="logits", masks=masks)
    p = jax.jit(jax.vmap(run))(jax.random.split(getkey(), 3000))
    for name in STATISTICS:
        squares = np.square(np.asarray(getattr(p.standard_error, name), np.float64))
        truth = np.var(getattr(p, name), axis=0, ddof=1)
        # Both estimates have a relative deviation of some sqrt(2 / 3000), and the jackknife's is biased upwards.
        np.testing.assert_allclose(squares.mean(0), truth, rtol=0.25, err_msg=name)


@pytest.mark.thorough
def test_the_jackknife_takes_away_most_of_the_bias(getkey):
    def sample(key):
        p = jnp.where(jax.random.bernoulli(key), 0.9, 0.1)
        return jnp.stack([p, 1 - p])

    truth = np.log(2) - stats.entropy([0.9, 0.1])
    run = functools.partial(jaxdrop.monte_carlo, sample, num_samples=20, outputs="probabilities")
    p = jax.jit(jax.vmap(run))(jax.random.split(getkey(), 20_000))
    bias = truth - np.mean(p.mutual_information)
    assert bias > 0.015  # 0.8 / 2 / 20, by the second derivative of the entropy, times the variance of p, 0.16
    assert_mean(np.asarray(p.jackknifed_information) + bias / 20, truth + bias / 20)


@pytest.mark.parametrize("arguments", [{"num_blocks": 1}, {"num_samples": 1}])
def test_one_block_has_no_errors(arguments, getkey):
    p = jaxdrop.monte_carlo(logits, getkey(), outputs="logits", **arguments)
    assert p.standard_error is None
    assert p.jackknifed_information is None


@pytest.mark.thorough
def test_statistics_do_not_depend_on_the_number_of_blocks(getkey):
    key = getkey()
    p, q = (jaxdrop.monte_carlo(logits, key, 41, num_blocks=b) for b in (1, 7))
    np.testing.assert_allclose(p.mean, q.mean, rtol=1e-5)
    np.testing.assert_allclose(p.variance, q.variance, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "masks"), [("mean", "antithetic"), ("mutual_information", "independent")])
def test_draws_until_the_error_is_small_enough(name, masks, getkey):
    key = getkey()
    run = functools.partial(jaxdrop.monte_carlo, logits, key, outputs="logits", masks=masks)
    tolerance = 0.01
    p = run(2000, tolerance=tolerance, tolerance_of=name)
    n = int(p.num_samples)
    step = 20 * (1 + (masks == "antithetic"))
    assert step < n < 2000
    assert n % step == 0
    assert getattr(p.standard_error, name).max() <= tolerance
    assert getattr(run(n - step).standard_error, name).max() > tolerance
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), p, run(n))


@pytest.mark.thorough
def test_draws_no_more_than_the_most_and_one_round_at_least(getkey, capsys):
    key = getkey()
    run = functools.partial(jaxdrop.monte_carlo, logits, key, 50, num_blocks=4)
    for tolerance, number in ((0.0, 50), (jnp.nan, 50), (1e3, 8)):
        for progress in (False, True):
            p = run(tolerance=tolerance, progress=progress)
            assert p.num_samples == number
            jax.tree.map(
                functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
                p,
                jaxdrop.monte_carlo(logits, key, number, num_blocks=4),
            )
    assert "8/50" in capsys.readouterr().err


@pytest.mark.thorough
def test_draws_beyond_the_most_have_no_votes(getkey):
    """The last round, of 8 draws one by one, has 2 that count."""
    p = jaxdrop.monte_carlo(logits, getkey(), 10, outputs="logits", num_blocks=4, tolerance=0.0, chunk_size=1)
    assert p.votes.sum(-1).tolist() == [10, 10]


@pytest.mark.thorough
def test_another_tolerance_does_not_compile_again(getkey):
    traced = []

    def counted(key):
        traced.append(key)
        return logits(key)

    run = functools.partial(jaxdrop.monte_carlo, counted, getkey(), 300)
    first = run(tolerance=0.5)
    before = len(traced)
    assert run(tolerance=0.2).num_samples > first.num_samples
    assert len(traced) == before > 0
    assert run(tolerance=jnp.float32(0.3)).num_samples >= first.num_samples
    assert len(traced) <= 2 * before  # a number and an array are two types


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_blocks": 0}, "num_blocks must be from 1 to 2147483647, got 0"),
        ({"masks": "paired"}, "masks must be one of 'independent', 'antithetic', 'balanced', got 'paired'"),
        ({"tolerance": 0.1, "tolerance_of": "votes"}, "tolerance_of must be one of 'mean', 'variance', got 'votes'"),
        ({"tolerance": 0.1, "masks": "balanced"}, "tolerance must be None with masks='balanced': they are balanced"),
        ({"tolerance": 0.1, "return_samples": True}, "tolerance must be None with return_samples=True: how many"),
        (
            {"tolerance": 0.1, "num_blocks": 1},
            "tolerance must be None with num_blocks=1 and num_samples=100: a standard error takes two",
        ),
    ],
)
def test_refuses_bad_arguments(arguments, message, getkey):
    with pytest.raises(ValueError, match=message):
        jaxdrop.monte_carlo(logits, getkey(), **arguments)


@pytest.mark.thorough
@pytest.mark.parametrize("chunk_size", [None, 16])
def test_samples_spread_over_devices(chunk_size, getkey):
    mesh = jax.make_mesh((8,), ("samples",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding, key, w = NamedSharding(mesh, P("samples")), getkey(), jax.random.normal(getkey(), (64, 64))

    def sample(w, key):
        return (jaxdrop.dropout(key, jnp.ones((16, 64)), 0.5) @ w) @ w

    sample = jax.tree_util.Partial(sample, w)
    run = functools.partial(jaxdrop.monte_carlo, sample, key, 30, chunk_size=chunk_size, return_samples=True)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), run(), run(sharding=sharding))

    def flops(sharding):
        program = jax.jit(
            lambda sample, key: jaxdrop.monte_carlo(sample, key, 32, chunk_size=16, sharding=sharding).mean
        )
        return program.lower(sample, key).compile().cost_analysis()["flops"]

    assert flops(sharding) < 0.3 * flops(None)  # of one device
