import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxdrop
from tests.inference.sampled_moments import KERNEL, MEAN, X, assert_agrees, linear, noisy, samples
from tests.statistical import assert_mean


def test_a_linear_layer_is_exact():
    p = jaxdrop.moments(functools.partial(linear, x=X))
    np.testing.assert_allclose(p.mean, X @ KERNEL + 1, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p.variance, X**2 * (0.4 / 0.6) @ KERNEL**2, rtol=1e-3)


def test_linear_networks_have_exact_covariances():
    """Two layers of dropout, and a branch around one of them."""

    def sample(key):
        first, second = jax.random.split(key)
        hidden = linear(first, X)
        return (hidden + linear(second, hidden)) @ KERNEL[:, :3]

    p = jaxdrop.moments(sample, covariance=True)
    drawn = np.asarray(samples(sample, 40_000), np.float64) - np.asarray(p.mean)
    assert_mean(drawn, np.zeros(p.mean.shape))
    assert_mean(np.einsum("sbi,sbj->sbij", drawn, drawn), p.covariance)
    np.testing.assert_allclose(p.variance, np.diagonal(p.covariance, axis1=1, axis2=2))


def test_products_of_random_arrays_have_exact_covariances():
    def sample(key):
        weights = 1 + jax.random.normal(key, (4, 8, 3))
        return jnp.einsum("bi,bio->bo", jaxdrop.dropout(jax.random.fold_in(key, 1), X, 0.4), weights)

    p = jaxdrop.moments(sample, covariance=True)
    drawn = np.asarray(samples(sample), np.float64) - np.asarray(p.mean)
    assert_mean(np.einsum("sbi,sbj->sbij", drawn, drawn), p.covariance)


PROGRAMS = {
    "product": lambda key: noisy(key) * noisy(jax.random.fold_in(key, 1)),
    "quotient": lambda key: noisy(key) / jax.random.uniform(jax.random.fold_in(key, 1), MEAN.shape, minval=1, maxval=3),
    "maximum": lambda key: jnp.maximum(noisy(key), noisy(jax.random.fold_in(key, 1), 0.5)),
    "minimum": lambda key: jnp.minimum(noisy(key), noisy(jax.random.fold_in(key, 1), 0.5)),
    "greater": lambda key: noisy(key) > noisy(jax.random.fold_in(key, 1)),
    "attention": lambda key: linear(key, X) @ jax.random.normal(jax.random.fold_in(key, 1), (8, 3)),
    "rectified dropout": lambda key: jax.nn.relu(jaxdrop.dropout(jax.random.fold_in(key, 1), noisy(key), 0.5) - 0.3),
    "choice": lambda key: jnp.where(
        jax.random.bernoulli(key, 0.3, MEAN.shape), noisy(jax.random.fold_in(key, 1)), MEAN
    ),
    "residual": lambda key: (lambda x: x + jnp.tanh(x) * x)(noisy(key)),
    "layer drop": lambda key: jaxdrop.layer_drop(key, lambda x: 2 * x, jnp.asarray(X), 0.3),
    "zoneout": lambda key: jaxdrop.zoneout(key, noisy(jax.random.fold_in(key, 1)), jnp.asarray(MEAN), 0.3),
    "convolution": lambda key: nn.Conv(3, (3,)).apply(
        {"params": {"kernel": jnp.ones((3, 8, 3)), "bias": jnp.ones(3)}},
        jaxdrop.dropout(key, jnp.asarray(X), 0.4)[None],
    ),
    "average pooling": lambda key: (
        lax.reduce_window(jaxdrop.dropout(key, X.reshape(4, 8, 1), 0.4), 0.0, lax.add, (2, 2, 1), (2, 2, 1), "SAME") / 4
    ),
    "max pooling": lambda key: nn.max_pool(noisy(key)[None, :12, None], (2,), (2,)),
    "places": lambda key: jnp.pad(jnp.concatenate([noisy(key)[::-1], MEAN]).reshape(2, 13).T[2:5], 1)[:, :2],
    "float64-free constants": lambda key: jnp.sum(noisy(key)) * 2 - 1,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_exact_agrees_with_samples(name):
    assert_agrees(PROGRAMS[name])


class Network(nn.Module):
    """Wide enough for sums to be normal, and with units that are correlated by its first dropout."""

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Dense(256)(x)))
            x = jaxdrop.linen.Dropout(0.5, deterministic=True)(x)
        return nn.Dense(4)(x)


@pytest.mark.thorough
def test_a_network_agrees_with_samples():
    variables = Network().init(jax.random.key(0), X)
    # As in a trained network, units agree on what they tell the next layer.
    variables = jax.tree.map(lambda leaf: leaf + 0.03 * (leaf.ndim == 2), variables)
    sample = jaxdrop.linen.sampler(Network(), variables, X)
    q = jaxdrop.monte_carlo(sample, jax.random.key(1), 4000)
    independent, p = jaxdrop.moments(sample), jaxdrop.moments(sample, covariance=True)
    np.testing.assert_allclose(p.mean, q.mean, atol=0.1 * np.sqrt(q.variance.min()))
    assert np.median(np.abs(np.sqrt(p.variance / q.variance) - 1)) < 0.03
    assert np.median(np.sqrt(independent.variance / q.variance)) < 0.9


@pytest.mark.thorough
def test_shared_masks_and_other_inputs_of_one_shape(getkey):
    variables = Network().init(jax.random.key(0), X)
    shared = jaxdrop.linen.sampler(Network(), variables, X, share_masks=True)
    p = jaxdrop.moments(jaxdrop.linen.sampler(Network(), variables, X))
    np.testing.assert_allclose(jaxdrop.moments(shared).variance, p.variance, rtol=1e-4)
    assert np.abs(jaxdrop.moments(jaxdrop.linen.sampler(Network(), variables, 2 * X)).mean - p.mean).max() > 0.01
    with pytest.raises(ValueError, match="covariance must be False where the first axis"):
        jaxdrop.moments(shared, covariance=True)


@pytest.mark.thorough
@pytest.mark.parametrize("covariance", [False, True])
def test_a_loop_is_the_program_written_out(covariance):
    def step(hidden, key):
        hidden = jnp.tanh(jaxdrop.dropout(key, hidden, 0.2) @ KERNEL)
        return hidden, hidden.sum(-1)

    def looped(key):
        return lax.scan(step, jnp.asarray(X), jax.random.split(key, 3))[0]

    def written_out(key):
        hidden = jnp.asarray(X)
        for each in jax.random.split(key, 3):
            hidden, _ = step(hidden, each)
        return hidden

    p, q = (jaxdrop.moments(sample, covariance=covariance) for sample in (looped, written_out))
    np.testing.assert_allclose(p.mean, q.mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(p.variance, q.variance, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("outside", [False, True])
def test_decisions_that_a_loop_makes_stay_decisions(outside):
    def sample(key):
        def turn(ever, now):
            now = now if outside else jax.random.bernoulli(now, 0.3, (2,))
            return ever | now, (ever | now, now)

        turns = jax.random.bernoulli(key, 0.3, (3, 2)) if outside else jax.random.split(key, 3)
        ever, (so_far, now) = lax.scan(turn, jnp.zeros(2, bool), turns)
        return tuple(jnp.where(decision, 2.0, 0.0) for decision in (ever, so_far, now))

    ever, so_far, now = jaxdrop.moments(sample).mean
    chances = np.array([0.3, 0.51, 0.657])  # that something of chance 0.3 has happened
    np.testing.assert_allclose(ever, 2 * chances[[2, 2]], rtol=1e-5)
    np.testing.assert_allclose(so_far, 2 * np.stack([chances] * 2, 1), rtol=1e-5)
    np.testing.assert_allclose(now, 0.6, rtol=1e-5)
    np.testing.assert_allclose(jaxdrop.moments(sample).variance[2], 4 * 0.3 * 0.7, rtol=1e-5)


def test_arrays_are_stacked_and_taken_apart():
    x = jnp.asarray(X)
    p = jaxdrop.moments(lambda key: jnp.stack([jaxdrop.dropout(key, x, 0.5), x]))
    np.testing.assert_allclose(p.mean, [X, X], rtol=1e-5)
    np.testing.assert_allclose(p.variance, [X**2, 0 * X], rtol=1e-5)
    p = jaxdrop.moments(lambda key: jnp.unstack(jaxdrop.dropout(key, x, 0.5))[1])
    np.testing.assert_allclose(p.variance, X[1] ** 2, rtol=1e-5)


@pytest.mark.thorough
def test_gradients_flow_into_the_model():
    def loss(kernel):
        p = jaxdrop.moments(lambda key: jax.nn.relu(jaxdrop.dropout(key, X, 0.4) @ kernel))
        return jnp.sum(p.mean) + jnp.sum(p.variance)

    direction = np.random.default_rng(5).normal(size=KERNEL.shape).astype(np.float32)
    slope = (loss(KERNEL + 1e-2 * direction) - loss(KERNEL - 1e-2 * direction)) / 2e-2
    np.testing.assert_allclose(jnp.sum(jax.grad(loss)(jnp.asarray(KERNEL)) * direction), slope, rtol=1e-2)


def test_names_what_it_cannot_treat_and_where():
    def sample(key):
        return jnp.sort(jaxdrop.dropout(key, jnp.ones(4), 0.5))

    with pytest.raises(NotImplementedError, match=r"primitive 'sort' .*test_moments.py:\d+: return jnp.sort"):
        jaxdrop.moments(sample)


def test_what_is_not_needed_need_not_be_known():
    def sample(key):
        y = jaxdrop.dropout(key, jnp.ones(4), 0.5)
        jnp.sort(y)
        return {"y": y, "known": jnp.arange(2)}

    p = jaxdrop.moments(sample)
    np.testing.assert_allclose(p.variance["y"], 1)
    np.testing.assert_array_equal(p.mean["known"], [0, 1])
    np.testing.assert_array_equal(p.variance["known"], 0)


def test_refuses_a_model_without_noise():
    with pytest.raises(ValueError, match="model must have a stochastic layer"):
        jaxdrop.moments(jaxdrop.linen.sampler(nn.Dense(2), nn.Dense(2).init(jax.random.key(0), X), X))


def test_loops_and_branches_read_random_arrays_from_outside():
    def weights_of_a_loop(key):
        w = jaxdrop.dropout(key, KERNEL, 0.5)
        return lax.scan(lambda c, _: (c @ w, None), X, length=1)[0]

    def columns(key):
        z = linear(key, X)
        return lax.fori_loop(0, 1, lambda i, c: c + z[:, i], jnp.zeros(4))

    def branch(key):
        z = linear(key, X)
        return lax.cond(X[0, 0] > -9, lambda: z @ KERNEL, lambda: z)

    written_out = {
        weights_of_a_loop: lambda key: X @ jaxdrop.dropout(key, KERNEL, 0.5),
        columns: lambda key: linear(key, X)[:, 0],
        branch: lambda key: linear(key, X) @ KERNEL,
    }
    for sample, plain in written_out.items():
        for ours, expected in zip(
            jax.tree.leaves(jaxdrop.moments(sample)), jax.tree.leaves(jaxdrop.moments(plain)), strict=True
        ):
            np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_places_outside_an_array_are_known():
    p = jaxdrop.moments(lambda key: linear(key, X).at[:, jnp.array([0, 9])].get(mode="fill", fill_value=7.0))
    np.testing.assert_array_equal(p.mean[:, 1], 7)
    np.testing.assert_array_equal(p.variance[:, 1], 0)


def test_windows_start_from_nothing():
    def windows(start):
        return lambda key: lax.reduce_window(linear(key, X), start, lax.max, (1, 2), (1, 2), "VALID")

    assert jaxdrop.moments(windows(-jnp.inf)).mean.shape == (4, 4)
    with pytest.raises(NotImplementedError, match="reduce_window"):
        jaxdrop.moments(windows(0.0))
