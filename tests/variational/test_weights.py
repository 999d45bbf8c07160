import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.variational import (
    AdditiveWeights,
    MultiplicativeWeights,
    additive_weights,
    kl_ard,
    kl_divergence,
    kl_kingma,
    kl_log_uniform,
    kl_log_uniform_exact,
    multiplicative_weights,
    pruned,
)

DTYPES = ["float32", "bfloat16", "float16"]


def test_additive_weights_know_mean_variance_and_alpha(getkey):
    theta = jax.random.normal(getkey(), (3, 4))
    weights = additive_weights(theta, -2.0)
    np.testing.assert_array_equal(weights.mean, theta)
    np.testing.assert_allclose(weights.variance, np.full((3, 4), np.exp(-2)), rtol=1e-6)
    np.testing.assert_allclose(weights.log_alpha, np.clip(-2 - np.log(np.square(theta)), -8, 8), rtol=1e-5)


@pytest.mark.parametrize(("shared", "shape"), [("layer", ()), ("neuron", (4,)), ("weight", (3, 4))])
def test_multiplicative_weights_have_a_variance_in_proportion_and_count_each_weight(shared, shape, getkey):
    theta = jax.random.normal(getkey(), (3, 4))
    weights = multiplicative_weights(theta, -1.0, shared=shared)
    assert weights.log_rate.shape == shape
    np.testing.assert_allclose(weights.variance, np.square(theta) * np.exp(-1), rtol=1e-6)
    np.testing.assert_allclose(kl_divergence(weights, kl_ard), 12 * np.log1p(np.exp(1)) / 2, rtol=1e-6)
    above = weights._replace(log_rate=weights.log_rate + 5)
    np.testing.assert_array_equal(above.log_alpha, np.zeros((3, 4)))


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mean_of_zero_has_the_largest_alpha_and_finite_gradients(dtype):
    weights = additive_weights(jnp.array([0.0, 1e-30, -1.0, 1e3]).astype(dtype))
    assert weights.log_alpha.dtype == jnp.float32
    np.testing.assert_array_equal(weights.log_alpha[:2], [8, 8])
    assert weights.log_alpha[3] == -8
    for kl in (kl_log_uniform, kl_log_uniform_exact, kl_ard):
        value, gradient = jax.value_and_grad(lambda weights, kl=kl: kl_divergence(weights, kl))(weights)
        assert jnp.isfinite(value)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_divergence_is_the_sum_over_all_noisy_weights_of_a_tree(getkey):
    first, second = additive_weights(jnp.ones((2, 3)), 0.0), multiplicative_weights(jnp.ones((4, 5)), 0.0)
    tree = {"a": {"kernel": first, "bias": jnp.ones(3)}, "b": [second]}
    np.testing.assert_allclose(kl_divergence(tree, kl_ard), 26 * np.log(2) / 2, rtol=1e-6)
    with pytest.raises(ValueError, match="weights must hold AdditiveWeights or MultiplicativeWeights, got none"):
        kl_divergence({"bias": jnp.ones(3)})


def test_pruning_zeroes_what_is_at_or_above_the_threshold():
    weights = AdditiveWeights(jnp.ones(4), jnp.array([2.9, 3.0, 3.1, 20.0]))
    np.testing.assert_array_equal(pruned(weights), [1, 0, 0, 0])
    np.testing.assert_array_equal(pruned(weights, 3.05), [1, 1, 0, 0])
    np.testing.assert_array_equal(pruned(weights, None), np.ones(4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: additive_weights(jnp.ones(3, int)), TypeError, "theta must be"),
        (lambda: additive_weights(jnp.ones(3), float("nan")), ValueError, "log_sigma2 must be finite"),
        (lambda: multiplicative_weights(jnp.ones(3), 0.5), ValueError, "log_alpha must be at most 0, got 0.5"),
        (lambda: multiplicative_weights(jnp.ones(3), shared="unit"), ValueError, "shared must be one of 'layer', "),
    ],
)
def test_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.thorough
@pytest.mark.parametrize("kl", [kl_log_uniform, kl_log_uniform_exact, kl_ard, kl_kingma])
def test_gradients_are_finite_exactly_at_the_bounds_and_beyond(kl):
    log_alpha = jnp.array([-9.0, -8.0, 0.0, 8.0, 9.0, 200.0])
    for weights in (
        AdditiveWeights(jnp.ones(6), log_alpha),
        AdditiveWeights(jnp.zeros(6), log_alpha),
        MultiplicativeWeights(jnp.ones(6), log_alpha),
    ):
        gradients = jax.grad(lambda weights: kl_divergence(weights, kl) + pruned(weights).sum())(weights)
        assert all(jnp.isfinite(leaf).all() for leaf in gradients)
        slope = gradients[1]
        np.testing.assert_array_equal(slope[4:], 0)  # beyond the bounds nothing pulls
        assert slope[0] == 0


def test_divergence_in_float64_under_strict_promotion():
    with jax.enable_x64(True):
        kl = kl_divergence(additive_weights(jnp.ones((4, 3), jnp.float64)))
        assert kl.dtype == jnp.float64
