import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone
from scipy import stats

import jaxdrop
from tests.statistical import FALSE_FAILURE, assert_frequency, assert_independent, assert_mean, assert_moments

LEVELS = {"batch": (), "image": (0,), "channel": (0, 3), "pixel": (0, 1, 2, 3)}  # the axes along which factors differ


def factors(key, rate, shape, **options):
    """The forward and backward factors, as a user sees them: by the value and the gradient at ones."""
    y, pullback = jax.vjp(lambda x: jaxdrop.shake_drop(key, x, rate, **options), jnp.ones(shape))
    return np.asarray(y), np.asarray(pullback(jnp.ones(shape))[0])


def assert_uniform_on(draws, low, high):
    """Kolmogorov-Smirnov test at the suite's false-failure rate."""
    p_value = stats.kstest(np.ravel(draws), stats.uniform(low, high - low).cdf).pvalue
    assert p_value >= FALSE_FAILURE, f"not uniform on [{low}, {high}]: p-value {p_value:.1e}"


# The formula.


@pytest.mark.thorough
@pytest.mark.parametrize(("alpha", "beta"), [((-1.0, 1.0), (0.0, 1.0)), ((0.0, 0.5), (-2.0, 3.0))])
def test_shaken_factors_are_uniform_on_their_ranges_and_independent(alpha, beta, getkey):
    forward, backward = factors(getkey(), 1.0, (200, 8, 8, 4), alpha_range=alpha, beta_range=beta)
    assert_uniform_on(forward, *alpha)
    assert_uniform_on(backward, *beta)
    assert_independent(forward > np.mean(alpha), backward > np.mean(beta))
    assert_independent(forward.ravel()[1:] > np.mean(alpha), forward.ravel()[:-1] > np.mean(alpha))


@pytest.mark.thorough
def test_both_factors_are_1_together_with_the_chance_to_keep(getkey):
    forward, backward = factors(getkey(), 0.3, (20_000, 2, 2, 1), mode="row")
    kept = (forward == 1).all((1, 2, 3))
    np.testing.assert_array_equal(kept, (backward == 1).all((1, 2, 3)))
    np.testing.assert_array_equal(kept, (forward == 1).any((1, 2, 3)))
    assert_frequency(kept.sum(), len(kept), 0.7)
    assert_uniform_on(forward[~kept], -1, 1)
    assert_uniform_on(backward[~kept], 0, 1)


@pytest.mark.thorough
def test_factors_do_not_follow_the_decision(getkey):
    forward, backward = factors(getkey(), 0.3, (20_000,), mode="row")  # one decision and one factor each
    assert_uniform_on(forward[forward != 1], -1, 1)
    assert_uniform_on(backward[forward != 1], 0, 1)


@pytest.mark.thorough
def test_the_batch_is_shaken_as_one_by_default(getkey):
    keys = jax.random.split(getkey(), 5000)
    y = np.asarray(jax.vmap(lambda key: jaxdrop.shake_drop(key, jnp.ones((3, 2)), 0.4))(keys))
    kept = y == 1
    np.testing.assert_array_equal(kept.any((1, 2)), kept.all((1, 2)))
    assert_frequency(kept.all((1, 2)).sum(), len(keys), 0.6)


@pytest.mark.thorough
@pytest.mark.parametrize(("level", "mode"), [(level, "batch") for level in LEVELS] + [("batch", "row")])
def test_factors_are_shared_at_their_level(level, mode, getkey):
    shape = (4, 3, 3, 5)
    distinct = np.prod([shape[axis] for axis in LEVELS[level]], dtype=int)
    for each in factors(getkey(), 1.0, shape, level=level, mode=mode):
        assert len(np.unique(each)) == distinct
        shared = tuple(axis for axis in range(4) if axis not in LEVELS[level])
        np.testing.assert_array_equal(each.max(shared), each.min(shared))


@pytest.mark.thorough
@pytest.mark.parametrize("alpha", [(-1.0, 1.0), (-0.5, 2.0)])
def test_moments_and_expectation(alpha, getkey):
    rate, x = 0.3, np.asarray([1.0, -2.0, 0.5])
    y = jax.vmap(lambda key: jaxdrop.shake_drop(key, jnp.asarray(x, jnp.float32), rate, alpha_range=alpha))(
        jax.random.split(getkey(), 20_000)
    )
    first, second = sum(alpha) / 2, (alpha[0] ** 2 + alpha[0] * alpha[1] + alpha[1] ** 2) / 3
    mean = 1 - rate + rate * first
    assert_moments(y, mean * x, x**2 * (1 - rate + rate * second - mean**2))
    expectation = jaxdrop.shake_drop_expectation(jnp.asarray(x, jnp.float32), rate, alpha_range=alpha)
    np.testing.assert_allclose(expectation, mean * x, rtol=1e-6)


@pytest.mark.thorough
def test_the_mean_of_the_gradient(getkey):
    keys = jax.random.split(getkey(), 20_000)
    backward = jax.vmap(jax.grad(lambda x, key: jaxdrop.shake_drop(key, x, 0.3)[0]), (None, 0))(jnp.ones(1), keys)
    assert_mean(backward, 0.7 + 0.3 / 2)


@pytest.mark.thorough
def test_without_shaking_forward_it_is_stochastic_depth(getkey):
    forward, backward = factors(getkey(), 0.5, (100, 3), mode="row", alpha_range=(0, 0), beta_range=(0, 0))
    np.testing.assert_array_equal(forward, backward)
    assert set(np.unique(forward)) == {0.0, 1.0}


# Derivatives, which are not those of the value.


@pytest.mark.thorough
def test_value_and_derivatives_are_exact(getkey):
    key, shape = getkey(), (6, 4, 3)
    forward, backward = factors(clone(key), 0.5, shape, mode="row")
    x, v = jax.random.normal(getkey(), shape), jax.random.normal(getkey(), shape)

    def f(x):
        return jaxdrop.shake_drop(clone(key), x, 0.5, mode="row")

    y, tangent = jax.jvp(f, (x,), (v,))
    np.testing.assert_array_equal(y, x * forward)
    np.testing.assert_array_equal(tangent, v * backward)

    def loss(x):
        return (f(x) ** 3).sum()

    gradient, product = jax.jvp(jax.grad(loss), (x,), (v,))
    np.testing.assert_allclose(gradient, 3 * (x * forward) ** 2 * backward, rtol=1e-5)
    np.testing.assert_allclose(product, 6 * x * forward * backward**2 * v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jvp(loss, (x,), (v,))[1], (gradient * v).sum(), rtol=1e-4)


@pytest.mark.thorough
def test_infinities_large_numbers_and_low_precision_come_through(getkey):
    key = getkey()
    forward, _ = factors(clone(key), 1.0, (3,))
    y = jaxdrop.shake_drop(clone(key), jnp.asarray([jnp.inf, 3e38, -jnp.inf]), 1.0)
    np.testing.assert_array_equal(y, np.asarray([np.inf, 3e38, -np.inf], np.float32) * forward)
    key, x = getkey(), jax.random.normal(getkey(), (500,), jnp.bfloat16)
    y, pullback = jax.vjp(lambda x: jaxdrop.shake_drop(clone(key), x, 1.0), x)
    forward, backward = factors(clone(key), 1.0, (500,))
    np.testing.assert_array_equal(y, (x.astype(jnp.float32) * forward).astype(jnp.bfloat16))
    np.testing.assert_array_equal(pullback(x)[0], (x.astype(jnp.float32) * backward).astype(jnp.bfloat16))


@pytest.mark.thorough
def test_a_residual_block_learns_from_the_shaken_branch_and_the_shortcut(getkey):
    key, x, w = getkey(), jax.random.normal(getkey(), (5, 4)), jax.random.normal(getkey(), (4, 4))

    def block(x):
        return x + jaxdrop.shake_drop(clone(key), x @ w, 1.0)

    _, backward = factors(clone(key), 1.0, (5, 4))
    gradient = jax.jit(jax.grad(lambda x: block(x).sum()))(x)
    np.testing.assert_allclose(gradient, 1 + backward @ np.asarray(w).T, rtol=1e-5, atol=1e-6)


# Rates and arguments.


@pytest.mark.thorough
def test_a_rate_per_example_and_nan(getkey):
    rates = jnp.asarray([0.0, 1.0, jnp.nan])[:, None]
    forward, backward = factors(getkey(), rates, (3, 50), mode="row")
    for each in (forward, backward):
        assert (each[0] == 1).all()
        assert (each[1] != 1).all()
        assert np.isnan(each[2]).all()
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(0, 1\), got shape \(3, 1\)"):
        jaxdrop.shake_drop(getkey(), jnp.ones((3, 50)), rates)
    assert np.isnan(jaxdrop.shake_drop_expectation(jnp.ones((3, 50)), rates)[2]).all()


@pytest.mark.thorough
def test_modules_pass_their_options_on(getkey):
    options = {"alpha_range": (2.0, 4.0), "beta_range": (5.0, 5.0), "level": "image", "mode": "row"}
    x = jnp.ones((400, 3))
    linen = jaxdrop.linen.ShakeDrop(0.5, **options)
    layer = jaxdrop.nnx.ShakeDrop(0.5, **options, rngs=nnx.Rngs(0))
    for apply in (
        lambda x: linen.apply({}, x, deterministic=False, rngs={"dropout": getkey()}),
        lambda x: layer(x, rngs=getkey()),
    ):
        y, pullback = jax.vjp(apply, x)
        np.testing.assert_array_equal(y[:, 0], y[:, 2])
        assert len(np.unique(y)) > 100
        assert set(np.unique(pullback(x)[0])) == {1.0, 5.0}
    np.testing.assert_array_equal(linen.apply({}, x, deterministic=True), 2.0)
    layer.eval()
    np.testing.assert_array_equal(layer(x), 2.0)


def test_modules_need_a_key_at_rate_1_and_none_at_0(getkey):
    x = jnp.ones((4, 3))
    with pytest.raises(ValueError, match="no `rngs` argument was provided to ShakeDrop"):
        jaxdrop.nnx.ShakeDrop(1.0)(x)
    assert jaxdrop.nnx.ShakeDrop(0.0)(x) is x
    np.testing.assert_array_equal(jaxdrop.linen.ShakeDrop(0.0, deterministic=False).apply({}, x), x)


@pytest.mark.parametrize("name", ["alpha_range", "beta_range"])
@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0, float("nan")), (-float("inf"), 0.0), (1.0,), ("a", "b")], ids=str)
def test_refuses_what_is_not_a_range(name, ends, getkey):
    with pytest.raises(ValueError, match=rf"{name} must be (two numbers|ascending and finite), got "):
        jaxdrop.shake_drop(getkey(), jnp.ones((2, 3)), 0.5, **{name: ends})


def test_refuses_bad_arguments(getkey):
    with pytest.raises(ValueError, match="level must be one of 'batch', 'image', 'channel', 'pixel', got 'row'"):
        jaxdrop.shake_drop(getkey(), jnp.ones((2, 3)), 0.5, level="row")
    with pytest.raises(ValueError, match="mode must be one of 'row', 'batch', got 'pixel'"):
        jaxdrop.shake_drop(getkey(), jnp.ones((2, 3)), 0.5, mode="pixel")
    with pytest.raises(ValueError, match=r"x\.ndim must be at least 1, got 0"):
        jaxdrop.shake_drop(getkey(), jnp.ones(()), 0.5)
    with pytest.raises(ValueError, match=r"alpha_range must be ascending and finite, got \(1, 0\)"):
        jaxdrop.shake_drop_expectation(jnp.ones(2), 0.5, alpha_range=(1, 0))
