"""Batches chosen by BatchBALD are those that brute force finds, and estimates beyond enumeration are unbiased."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxdrop
import jaxdrop.linen
from jaxdrop import metrics
from tests.statistical import assert_mean

KEY = jax.random.key(0)


def probabilities(num_samples=6, pool=8, classes=3, seed=0):
    drawn = np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), size=(num_samples, pool))
    drawn[0, 0] = np.eye(classes)[0]  # exact zeros
    return drawn


def joint_information(samples, chosen):
    """Mutual information between the noise and the classes of some inputs: by the definition, from the whole joint."""
    joint = np.zeros([samples.shape[2]] * len(chosen))
    for configuration in itertools.product(range(samples.shape[2]), repeat=len(chosen)):
        likelihood = np.prod([samples[:, i, c] for i, c in zip(chosen, configuration, strict=True)], axis=0)
        joint[configuration] = likelihood.mean()
    return stats.entropy(joint.ravel()) - stats.entropy(samples[:, chosen], axis=-1).mean(0).sum()


def greedy(samples, batch_size, allowed):
    chosen, information = [], []
    for _ in range(batch_size):
        values = {i: joint_information(samples, [*chosen, i]) for i in allowed if i not in chosen}
        best = max(values, key=values.__getitem__)
        chosen.append(best)
        information.append(values[best])
    return chosen, information


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("seed", range(3))
def test_finds_what_brute_force_finds(seed, chunk_size):
    samples = probabilities(seed=seed)
    indices, information = jaxdrop.batch_bald(KEY, jnp.float32(samples), 4, chunk_size=chunk_size)
    expected, expected_information = greedy(samples, 4, range(8))
    assert indices.tolist() == expected
    np.testing.assert_allclose(information, expected_information, rtol=1e-4)


@pytest.mark.thorough
def test_chooses_among_those_available_only():
    samples = probabilities()
    first = greedy(samples, 1, range(8))[0][0]
    available = np.arange(8) != first
    choose = jax.jit(lambda available: jaxdrop.batch_bald(KEY, jnp.float32(samples), 3, available=available))
    for chosen in (choose(available), jaxdrop.batch_bald(KEY, jnp.float32(samples), 3, available=available)):
        assert chosen.indices.tolist() == greedy(samples, 3, np.flatnonzero(available))[0]
    assert sorted(jaxdrop.batch_bald(KEY, jnp.float32(samples), 7, available=available).indices.tolist()) == sorted(
        np.flatnonzero(available)
    )


@pytest.mark.thorough
def test_one_input_is_that_of_the_largest_mutual_information():
    samples = jnp.float32(probabilities(pool=50))
    information = metrics.mutual_information(samples)
    chosen = jaxdrop.batch_bald(KEY, samples, 1)
    assert chosen.indices.tolist() == [int(information.argmax())]
    np.testing.assert_allclose(chosen.information, [information.max()], rtol=1e-5)


@pytest.mark.thorough
def test_a_duplicate_adds_less_than_an_input_of_less_information():
    sure = np.eye(2)[np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])]
    samples = jnp.float32((0.98 * sure + 0.01) * [[1], [1], [0.5]] + [[0], [0], [0.25]])
    alone = metrics.mutual_information(samples)
    assert alone[1] == alone[0] > alone[2] > 0  # by themselves, the duplicate is worth more
    indices, information = jaxdrop.batch_bald(KEY, samples, 3)
    assert indices.tolist() == [0, 2, 1]
    first, *added = np.diff(information, prepend=0)
    assert added[1] < min(0.1 * first, added[0])
    np.testing.assert_allclose(added[0], alone[2], rtol=1e-5)  # what is independent of the first loses nothing


@pytest.mark.thorough
def test_drawn_configurations_estimate_without_bias():
    samples = probabilities(pool=3)
    draw = jax.jit(jax.vmap(lambda key: jaxdrop.batch_bald(key, jnp.float32(samples), 3, num_configurations=6)))
    indices, information = draw(jax.random.split(KEY, 4000))
    # One configuration and three are enumerated, of nine six are drawn; and the third input is the one that is left.
    order, exact = greedy(samples, 3, range(3))
    assert (np.asarray(indices) == order).all()
    np.testing.assert_allclose(information[:, :2], np.broadcast_to(exact[:2], (4000, 2)), rtol=1e-4)
    assert information[:, 2].std() > 0.01
    assert_mean(information[:, 2], exact[2])


def test_draws_are_exact_where_samples_are_sure():
    bits = np.array(list(itertools.product([0, 1], repeat=3)))
    samples = jnp.float32(np.eye(2)[bits[:, [0, 0, 1, 1, 2]]])
    # One configuration of each of eight samples, which decides all classes.
    indices, information = jaxdrop.batch_bald(KEY, samples, 5, num_configurations=1)
    assert indices.tolist() == [0, 2, 4, 1, 3]
    np.testing.assert_allclose(information, np.log([2, 4, 8, 8, 8]), rtol=1e-5)


@pytest.mark.thorough
def test_many_draws_come_close_to_enumeration():
    samples = jnp.float32(probabilities(num_samples=20, pool=6, classes=4))
    exact = jaxdrop.batch_bald(KEY, samples, 5)
    drawn = jaxdrop.batch_bald(KEY, samples, 5, num_configurations=255)
    assert drawn.indices.tolist() == exact.indices.tolist()
    np.testing.assert_array_equal(drawn.information[:4], exact.information[:4])
    np.testing.assert_allclose(drawn.information[4], exact.information[4], rtol=0.02)
    assert drawn.information[4] != exact.information[4]


@pytest.mark.thorough
def test_takes_samples_of_a_model_in_parts_of_the_pool():
    model = nn.Sequential([nn.Dense(16), nn.relu, nn.Dropout(0.5, deterministic=True), nn.Dense(3)])
    x = jax.random.normal(KEY, (10, 4))
    variables = model.init(KEY, x)

    def draw(x):
        sample = jaxdrop.linen.sampler(model, variables, x, share_masks=True)
        return jaxdrop.monte_carlo(sample, KEY, 20, outputs="logits", return_samples=True).samples

    samples = jnp.concatenate([draw(x[:5]), draw(x[5:])], axis=1)
    np.testing.assert_allclose(samples, draw(x), rtol=1e-5)
    chosen = jaxdrop.batch_bald(jax.random.PRNGKey(0), samples, 4)
    assert len(set(chosen.indices.tolist())) == 4


def test_bfloat16_is_computed_in_float32():
    samples = jnp.asarray(probabilities(), jnp.bfloat16)
    chosen = jaxdrop.batch_bald(KEY, samples, 3)
    assert chosen.information.dtype == jnp.float32
    np.testing.assert_array_equal(chosen.information, jaxdrop.batch_bald(KEY, samples.astype(jnp.float32), 3)[1])


SAMPLES = jnp.ones((2, 3, 4)) / 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": SAMPLES[0]}, ValueError, r"samples must be \(num_samples, pool, classes\), none of them 0, got"),
        ({"samples": SAMPLES[:0]}, ValueError, r"none of them 0, got shape \(0, 3, 4\)"),
        ({"samples": SAMPLES.astype(int)}, TypeError, "samples must be floating point, got dtype int32"),
        ({"batch_size": 4}, ValueError, "batch_size must be from 1 to 3, got 4"),
        ({"batch_size": 0}, ValueError, "batch_size must be from 1 to 3, got 0"),
        ({"batch_size": 2, "available": jnp.arange(3) < 1}, ValueError, "batch_size must be from 1 to 1, got 2"),
        ({"available": jnp.ones(2, bool)}, ValueError, r"available must be \(pool,\), \(3,\) for these samples, got"),
        ({"available": jnp.ones(3)}, TypeError, "available must be booleans, got float32"),
        ({"num_configurations": 0}, ValueError, "num_configurations must be at least 1, got 0"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1, got 0"),
    ],
)
def test_refuses_what_makes_no_sense(arguments, error, message):
    with pytest.raises(error, match=message):
        jaxdrop.batch_bald(**{"key": KEY, "samples": SAMPLES, "batch_size": 1, **arguments})
