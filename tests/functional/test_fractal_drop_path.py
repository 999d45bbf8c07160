import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent, assert_mean, assert_uniform

DIGITS = np.asarray([1.0, 10.0, 100.0], np.float32)  # a mean of some of them tells of which


def subsets(number):
    return [np.asarray(kept, bool) for kept in itertools.product([False, True], repeat=number) if any(kept)]


def chance(kept, rates):
    """Of the survivors `kept`, by the rule written out: one of all, uniformly, where none would survive."""
    probability = np.prod(np.where(kept, 1 - rates, rates))
    return probability + np.prod(rates) / len(kept) * (kept.sum() == 1)


def branches(rows=1):
    return [jnp.full((rows, 2), digit) for digit in DIGITS]


def assert_subsets(y, rates):
    """Each mean over survivors comes with its exact chance, and nothing else comes."""
    values = [np.float32(DIGITS[kept].sum()) / np.float32(kept.sum()) for kept in subsets(3)]
    assert set(np.unique(y)) <= set(values)
    for kept, value in zip(subsets(3), values, strict=True):
        assert_frequency((y == value).sum(), y.size, chance(kept, rates))


# Local sampling.


@pytest.mark.parametrize("rate", [0.15, 0.6, 1.0, (0.1, 0.5, 0.9)], ids=str)
def test_every_set_of_survivors_has_its_exact_chance(rate, getkey):
    given = jnp.asarray(rate) if isinstance(rate, tuple) else rate
    y = np.asarray(jaxdrop.fractal_drop_path(getkey(), branches(50_000), given, mode="row"))
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    assert_subsets(y[:, 0], np.broadcast_to(np.asarray(rate), 3))
    assert_independent(y[1:, 0] > 20, y[:-1, 0] > 20)


@pytest.mark.thorough
def test_the_batch_is_sampled_as_one_by_default(getkey):
    keys = jax.random.split(getkey(), 20_000)
    y = np.asarray(jax.vmap(lambda key: jaxdrop.fractal_drop_path(key, branches(3), 0.5))(keys))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert_subsets(y[:, 0, 0], np.full(3, 0.5))


@pytest.mark.thorough
@pytest.mark.parametrize("rate", [0.15, 0.7])
def test_the_mean_is_the_mean_of_all_branches(rate, getkey):
    x = jax.random.normal(getkey(), (3, 1, 4))
    keys = jax.random.split(getkey(), 20_000)
    y = jax.vmap(lambda key: jaxdrop.fractal_drop_path(key, x, rate))(keys)
    assert_mean(y, x.mean(0))


@pytest.mark.thorough
def test_at_rate_0_it_is_the_mean_and_one_branch_is_the_branch(getkey):
    x = list(jax.random.normal(getkey(), (3, 4, 5)))
    np.testing.assert_allclose(jaxdrop.fractal_drop_path(None, x, 0.0), np.mean(x, 0), rtol=1e-6)
    np.testing.assert_allclose(jaxdrop.fractal_drop_path(getkey(), x, jnp.asarray(0.0)), np.mean(x, 0), rtol=1e-6)
    np.testing.assert_array_equal(jaxdrop.fractal_drop_path(None, x[:1], 0.9), x[0])
    np.testing.assert_allclose(jaxdrop.fractal_drop_path_expectation(x), np.mean(x, 0), rtol=1e-6)


@pytest.mark.thorough
def test_the_gradient_goes_to_the_survivors_in_equal_parts_and_not_into_the_rate(getkey):
    key = getkey()

    def f(x, rate):
        return jaxdrop.fractal_drop_path(clone(key), x, rate, mode="row")

    x = branches(200)
    y, pullback = jax.vjp(f, x, jnp.asarray(0.5))
    weights = jax.random.normal(getkey(), y.shape)
    gradients, rate_gradient = pullback(weights)
    parts = np.asarray(gradients)[:, :, 0] / np.asarray(weights[:, 0])
    np.testing.assert_allclose((parts * DIGITS[:, None]).sum(0), y[:, 0], rtol=1e-5)
    survivors = (parts != 0).sum(0)
    np.testing.assert_allclose(parts, np.where(parts != 0, 1 / survivors, 0), rtol=1e-5)
    assert set(survivors) == {1, 2, 3}
    assert rate_gradient == 0
    tangent = jax.jvp(lambda x: f(x, 0.5), (x,), (x,))[1]
    np.testing.assert_array_equal(tangent, y)
    held = sum(leaf.size for leaf in jax.tree.leaves(jax.vjp(lambda x: f(x, 0.5), x)[1]))
    assert held < 10, f"{held} numbers are held for the backward pass"


@pytest.mark.thorough
def test_a_dropped_nan_leaves_no_trace(getkey):
    x = [jnp.ones((100, 1)), jnp.full((100, 1), jnp.nan)]
    y = np.asarray(jaxdrop.fractal_drop_path(getkey(), x, 0.5, mode="row"))
    assert (y == 1).any()
    np.testing.assert_array_equal((y == 1) | np.isnan(y), True)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_keeps_the_dtype(dtype, getkey):
    with jax.enable_x64(dtype == "float64"):
        x = [jnp.full((50, 1), digit, dtype) for digit in DIGITS]
        y = jaxdrop.fractal_drop_path(getkey(), x, 0.5, mode="row")
        means = [np.mean(DIGITS[kept].astype(np.float64)) for kept in subsets(3)]
        assert y.dtype == dtype
        assert set(np.unique(y)) <= set(np.asarray(jnp.asarray(means, dtype)))


@pytest.mark.thorough
def test_same_noise_under_jit_vmap_checkpoint_and_scan_for_every_rate(getkey):
    key, x = getkey(), jnp.stack(branches(20))
    f = jax.jit(functools.partial(jaxdrop.fractal_drop_path, mode="row"))
    y = jaxdrop.fractal_drop_path(clone(key), x, 0.5, mode="row")
    for rate in (0.0, 0.5, 1.0):
        f(clone(key), x, jnp.asarray(rate))
    np.testing.assert_array_equal(f(clone(key), x, jnp.asarray(0.5)), y)
    assert f._cache_size() == 1
    keys = jnp.stack([getkey(), clone(key)])
    np.testing.assert_array_equal(jax.vmap(f, (0, None, None))(keys, x, jnp.asarray(0.5))[1], y)
    plain = jax.grad(lambda x: (f(clone(key), x, jnp.asarray(0.5)) ** 2).sum())(x)
    again = jax.grad(lambda x: (jax.checkpoint(f)(clone(key), x, jnp.asarray(0.5)) ** 2).sum())(x)
    np.testing.assert_array_equal(plain, again)
    _, scanned = jax.lax.scan(lambda _, key: (None, f(key, x, jnp.asarray(0.5))), None, clone(keys))
    np.testing.assert_array_equal(scanned[1], y)


@pytest.mark.thorough
def test_uses_its_keys_once(getkey):
    with jax.debug_key_reuse(True):
        for function in (
            lambda key: jaxdrop.fractal_drop_path(key, branches(), 0.5),
            lambda key: jaxdrop.fractal_column(key, 3),
        ):
            key = getkey()
            jax.jit(function)(clone(key))
            function(key)
            with pytest.raises(jax.errors.KeyReuseError):
                function(key)


def test_nan_shows(getkey):
    assert np.isnan(jaxdrop.fractal_drop_path(getkey(), branches(), jnp.asarray(jnp.nan))).all()


# Global sampling.


@pytest.mark.thorough
@pytest.mark.parametrize("column", [0, 1, 2, np.int32(1)])
def test_a_column_is_exactly_one_branch(column, getkey):
    x = list(jax.random.normal(getkey(), (3, 4, 5)))
    expected, traced = x[int(column)], jnp.asarray(column)
    np.testing.assert_array_equal(jaxdrop.fractal_drop_path(None, x, 0.5, column=column), expected)
    np.testing.assert_array_equal(jaxdrop.fractal_drop_path(getkey(), x, 0.5, column=traced), expected)
    for each in (column, traced):
        np.testing.assert_array_equal(jaxdrop.fractal_drop_path_expectation(x, column=each), expected)
    gradient = jax.grad(lambda x: jaxdrop.fractal_drop_path(getkey(), x, 0.5, column=traced).sum())(x)
    np.testing.assert_array_equal([g[0, 0] for g in gradient], np.arange(3) == int(column))


def test_a_column_beyond_the_branches_gives_their_mean(getkey):
    x = branches()
    for column in (3, 7, jnp.asarray(3)):
        y = jaxdrop.fractal_drop_path(getkey(), x, 0.9, column=column)
        np.testing.assert_array_equal(y, jaxdrop.fractal_drop_path_expectation(x))
        np.testing.assert_array_equal(y, jaxdrop.fractal_drop_path_expectation(x, column=column))


def test_columns_for_each_example_mix_with_local_sampling(getkey):
    column = jnp.tile(jnp.asarray([-1, 0, 1, 2, 3]), 10_000)
    y = np.asarray(jaxdrop.fractal_drop_path(getkey(), branches(50_000), 0.5, column=column, mode="row"))[:, 0]
    assert_subsets(y[::5], np.full(3, 0.5))
    for number in range(3):
        assert set(y[number + 1 :: 5]) == {DIGITS[number]}
    assert set(y[4::5]) == {37.0}


@pytest.mark.thorough
@pytest.mark.parametrize("local", [0.0, 0.5, 0.8, 1.0])
def test_columns_are_uniform_and_local_sampling_has_its_share(local, getkey):
    column = np.asarray(jaxdrop.fractal_column(getkey(), 5, local=local, shape=(20_000,)))
    assert column.dtype == np.int32
    assert_frequency((column == -1).sum(), column.size, local)
    if local < 1:
        assert_uniform(np.bincount(column[column >= 0], minlength=5))
    assert jaxdrop.fractal_column(getkey(), 5, local=jnp.asarray(local)).shape == ()


# A FractalNet.


def conv(x, w):
    return jnp.tanh(x @ w)


def columns(z, weights, join):
    """The columns of a block, deepest first: f_{C+1}(z) = [(f_C o f_C)(z)] + conv(z), with neighbouring joins merged.

    `weights` is conv's own for C = 0, else (those of the first f_C, of the second, and conv's own).
    """
    if not isinstance(weights, tuple):
        return [conv(z, weights)]
    first, second, own = weights
    return [*columns(join(columns(z, first, join)), second, join), conv(z, own)]


def fractal_weights(key, depth):
    if depth == 1:
        return jax.random.normal(key, (4, 4))
    keys = jax.random.split(key, 3)
    return (
        fractal_weights(keys[0], depth - 1),
        fractal_weights(keys[1], depth - 1),
        jax.random.normal(keys[2], (4, 4)),
    )


def fractal_block(key, z, weights, column, rate=0.5):
    keys = iter(jax.random.split(key, 8))

    def join(branches):
        return jaxdrop.fractal_drop_path(next(keys), branches, rate, column=column)

    return join(columns(z, weights, join))


def path(z, weights, column, depth):
    """The plain network of one column: 2**(depth - 1 - column) layers."""
    if depth == 1:
        return conv(z, weights)
    if column == depth - 1:
        return conv(z, weights[2])
    return path(path(z, weights[0], column, depth - 1), weights[1], column, depth - 1)


@pytest.mark.thorough
def test_a_column_passes_through_a_fractal_block_as_a_plain_network(getkey):
    weights, z, key = fractal_weights(getkey(), 3), jax.random.normal(getkey(), (5, 4)), getkey()

    def loss(weights, column):
        return (fractal_block(clone(key), z, weights, column) ** 2).sum()

    value_and_grad = jax.jit(jax.value_and_grad(loss))
    for column in range(3):
        value, gradient = value_and_grad(weights, jnp.asarray(column))
        expected = jax.value_and_grad(lambda weights, c=column: (path(z, weights, c, 3) ** 2).sum())(weights)
        np.testing.assert_allclose(value, expected[0], rtol=1e-5)
        for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected[1]), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    local, gradient = value_and_grad(weights, jnp.asarray(-1))
    assert value_and_grad._cache_size() == 1
    assert np.isfinite(local)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_a_static_column_is_compiled_without_the_others(getkey):
    weights, z = fractal_weights(getkey(), 3), jnp.ones((5, 4))
    compiled = jax.jit(fractal_block, static_argnums=3).lower(getkey(), z, weights, 1).compile()
    assert compiled.as_text().count(" tanh(") == 2  # the layers of column 1 of 3


# Modules.


@pytest.mark.thorough
def test_linen_joins_as_the_function_does(getkey):
    class Net(nn.Module):
        deterministic: bool | None = None

        @nn.compact
        def __call__(self, x, column=-1):
            join = jaxdrop.linen.FractalDropPath(0.6, mode="row", deterministic=self.deterministic)
            return join([x, 10 * x, 100 * x], column)

    key, x = getkey(), jnp.ones((200, 2))
    expected = jaxdrop.fractal_drop_path(clone(key), branches(200), 0.6, mode="row")
    join = jaxdrop.linen.FractalDropPath(0.6, mode="row")
    np.testing.assert_array_equal(join.apply({}, branches(200), deterministic=False, rng=clone(key)), expected)
    np.testing.assert_array_equal(Net(True).apply({}, x), 37)
    np.testing.assert_array_equal(Net(True).apply({}, x, 2), 100)
    np.testing.assert_array_equal(Net(False).apply({}, x, jnp.asarray(1), rngs={"dropout": key}), 10)
    assert len(np.unique(Net(False).apply({}, x, rngs={"dropout": clone(key)}))) == 7
    sample = jaxdrop.linen.sampler(Net(True), {}, x)
    assert len(np.unique(sample(getkey()))) == 7
    np.testing.assert_array_equal(jaxdrop.linen.FractalDropPath(0.0, deterministic=False).apply({}, branches()), 37)
    with pytest.raises(ValueError, match="deterministic"):
        join.apply({}, branches(), rngs={"dropout": getkey()})


def test_nnx_joins_as_the_function_does(getkey):
    class Net(nnx.Module):
        def __init__(self):
            self.join = jaxdrop.nnx.FractalDropPath(0.6, mode="row", rngs=nnx.Rngs(0))

        def __call__(self, x, column=-1):
            return self.join([x, 10 * x, 100 * x], column)

    key, x, net = getkey(), jnp.ones((200, 2)), Net()
    expected = jaxdrop.fractal_drop_path(clone(key), branches(200), 0.6, mode="row")
    np.testing.assert_array_equal(net.join(branches(200), rngs=clone(key)), expected)
    assert len(np.unique(nnx.jit(lambda net, x: net(x))(net, x))) == 7
    np.testing.assert_array_equal(net(x, jnp.asarray(1)), 10)
    net.eval()
    np.testing.assert_array_equal(net(x), 37)
    np.testing.assert_array_equal(net(x, 2), 100)
    sample = jaxdrop.nnx.sampler(net, x)
    assert len(np.unique(sample(getkey()))) == 7
    np.testing.assert_array_equal(jaxdrop.nnx.FractalDropPath(0.0)(branches()), 37)


# Bad input.


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), np.array([0.5, 1.5])], ids=str)
def test_refuses_a_rate_outside_0_to_1(rate, getkey):
    message = r"rate must be in \[0, 1\], got "
    with pytest.raises(ValueError, match=message):
        jaxdrop.fractal_drop_path(getkey(), branches(), rate)
    with pytest.raises(ValueError, match=message):
        jaxdrop.linen.FractalDropPath(rate).apply({}, branches(), deterministic=True)
    if not isinstance(rate, np.ndarray):
        with pytest.raises(ValueError, match=message):
            jaxdrop.nnx.FractalDropPath(rate, deterministic=True)(branches())


def test_refuses_branches_that_do_not_match(getkey):
    def join(*x):
        return jaxdrop.fractal_drop_path(getkey(), x, 0.5)

    with pytest.raises(
        ValueError, match=r"branches\[0\] and branches\[1\] must have the same shape, got .*2.* and .*3"
    ):
        join(jnp.ones(2), jnp.ones(3))
    with pytest.raises(
        TypeError, match=r"branches\[0\] and branches\[1\] must have the same dtype, got float32 and bf"
    ):
        join(jnp.ones(2), jnp.ones(2, jnp.bfloat16))
    with pytest.raises(TypeError, match=r"branches\[1\] must be floating point, got dtype int32"):
        join(jnp.ones(2), jnp.ones(2, int))
    with pytest.raises(ValueError, match="the number of branches must be at least 1, got 0"):
        join()
    with pytest.raises(ValueError, match=r"branches\[0\].ndim must be at least 1, got 0"):
        join(1.0, 2.0)


def test_refuses_other_bad_arguments(getkey):
    with pytest.raises(ValueError, match=r"rate must broadcast against the shape \(3,\), got shape \(2,\)"):
        jaxdrop.fractal_drop_path(getkey(), branches(), jnp.full(2, 0.5))
    with pytest.raises(ValueError, match="mode must be one of 'row', 'batch', got 'column'"):
        jaxdrop.fractal_drop_path(getkey(), branches(), 0.5, mode="column")
    with pytest.raises(TypeError, match="column must be integers, got dtype float32"):
        jaxdrop.fractal_drop_path(getkey(), branches(), 0.5, column=1.0)
    for shape in ((3,), (2, 1)):
        with pytest.raises(ValueError, match=r"column must broadcast against the shape \(2,\), got shape \("):
            jaxdrop.fractal_drop_path(getkey(), branches(2), 0.5, column=jnp.zeros(shape, int))
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        jaxdrop.fractal_drop_path(None, branches(), 0.5)
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        jaxdrop.fractal_column(None, 3)
    with pytest.raises(ValueError, match="num_columns must be at least 1, got 0"):
        jaxdrop.fractal_column(getkey(), 0)
    with pytest.raises(ValueError, match=r"local must be in \[0, 1\], got 1.5"):
        jaxdrop.fractal_column(getkey(), 3, local=1.5)
    with pytest.raises(ValueError, match=r"local must broadcast against the shape \(\), got shape \(2,\)"):
        jaxdrop.fractal_column(getkey(), 3, local=jnp.full(2, 0.5))
