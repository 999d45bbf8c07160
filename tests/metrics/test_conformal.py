"""Conformal prediction holds the truth as often as it promises, exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.metrics import (
    conformal_interval,
    conformal_interval_scores,
    conformal_quantile,
    conformal_set,
    conformal_set_scores,
    interval_coverage,
)
from tests.statistical import assert_frequency


@pytest.mark.parametrize(
    ("number", "level", "rank"), [(9, 0.8, 8), (19, 0.9, 18), (99, 0.07, 7), (1, 0.5, 1), (2, 0.5, 2)]
)
def test_quantile_is_one_of_the_scores(number, level, rank):
    scores = np.random.default_rng(0).random(number).astype(np.float32)
    assert jax.jit(conformal_quantile, static_argnums=1)(scores, level) == np.sort(scores)[rank - 1]


def test_quantile_is_infinite_for_too_few_scores():
    assert conformal_quantile(jnp.zeros(8), 0.9) == jnp.inf
    assert conformal_quantile(jnp.zeros(9), 0.9) == 0
    lower, upper = conformal_interval(jnp.zeros(1), jnp.ones(1), conformal_quantile(jnp.zeros(1)))
    assert (lower[0], upper[0]) == (-jnp.inf, jnp.inf)
    assert conformal_set(jnp.array([[1.0, 0.0]]), jnp.inf).all()


@pytest.mark.parametrize("level", [0.3, 0.75, 0.85])
def test_intervals_hold_the_target_in_exactly_the_promised_fraction(getkey, level):
    # Of 19 calibration examples and a new one, all alike, the new one's score is among the k smallest with probability
    # k / 20, k = 20 * level rounded up: 6, 15 and 17. The model is wrong: off by 1, and its deviations say nothing.
    def trial(key):
        noise_key, deviation_key = jax.random.split(key)
        targets = jax.random.gumbel(noise_key, (20,))
        deviation = jax.random.uniform(deviation_key, (20,), minval=0.5)
        mean = jnp.ones(20)
        quantile = conformal_quantile(conformal_interval_scores(mean[:19], deviation[:19], targets[:19]), level)
        return interval_coverage(conformal_interval(mean[19:], deviation[19:], quantile), targets[19:])

    held = jax.jit(jax.vmap(trial))(jax.random.split(getkey(), 20000))
    assert_frequency(held.sum(), 20000, level)


def test_sets_hold_the_class_in_exactly_the_promised_fraction(getkey):
    def trial(key):
        logits_key, label_key = jax.random.split(key)
        logits = 2 * jax.random.normal(logits_key, (20, 4))
        labels = jax.random.categorical(label_key, logits)
        probabilities = jax.nn.softmax(3 * logits)  # overconfident
        quantile = conformal_quantile(conformal_set_scores(probabilities[:19], labels[:19]), 0.8)
        return conformal_set(probabilities[19:], quantile)[0, labels[19]]

    held = jax.jit(jax.vmap(trial))(jax.random.split(getkey(), 20000))
    assert_frequency(held.sum(), 20000, 0.8)


def test_sets_at_the_edges():
    probabilities = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.4, 0.6]])
    assert conformal_set(probabilities, 0.5).tolist() == [[True, False], [True, True], [False, True]]
    assert conformal_set(probabilities, 0.0).tolist() == [[True, False], [False, False], [False, False]]
    assert conformal_set(probabilities, 1.0).all()
    np.testing.assert_allclose(conformal_set_scores(probabilities, jnp.array([1, 0, 1])), [1, 0.5, 0.4], rtol=1e-6)
    one = jnp.ones((1, 1))  # an example of the only class
    assert conformal_set(one, conformal_quantile(conformal_set_scores(one, jnp.array([0])), 0.5)).all()


def test_refuses_other_arguments():
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level must be above 0 and below 1"):
            conformal_quantile(jnp.zeros(3), level)
    with pytest.raises(TypeError, match="level must be a Python number"):
        conformal_quantile(jnp.zeros(3), jnp.array(0.5))  # pyright: ignore[reportArgumentType]
    for shape in [(), (0,), (3, 1)]:
        with pytest.raises(ValueError, match="scores must have one axis and not be empty"):
            conformal_quantile(jnp.zeros(shape))
    with pytest.raises(ValueError, match="mean and deviation and targets must have the same shape"):
        conformal_interval_scores(jnp.zeros(3), jnp.ones(3), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="mean and deviation must have the same shape"):
        conformal_interval(jnp.zeros(3), jnp.ones(1), jnp.array(1.0))
