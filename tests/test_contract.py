"""All methods against one list of promises; a new method joins by a row in tests/methods.py."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone  # for tests that use a key twice on purpose, under jax_debug_key_reuse
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from tests.methods import METHODS, SHAPE
from tests.statistical import assert_frequency, assert_moments

pytestmark = [pytest.mark.thorough, pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)]


@pytest.fixture
def whole(method):
    """For what a variant has from the row that it varies: tested there."""
    if method.variant:
        pytest.skip("the same code as another row")


@pytest.fixture(scope="module")
def x() -> jax.Array:
    return 1 + jax.random.uniform(jax.random.key(17), SHAPE)


# 1. Same key, same noise.


def test_same_noise_eager_and_jit(method, x, getkey):
    key = getkey()
    y = method.function(clone(key), x, 0.3)
    np.testing.assert_array_equal(y, jax.jit(method.function)(clone(key), x, 0.3))
    np.testing.assert_array_equal(y, jax.jit(functools.partial(method.function, rate=0.3))(clone(key), x))
    assert not np.array_equal(y, method.function(getkey(), x, 0.3))


def test_same_noise_in_any_vmap_chunk(method, x, getkey):
    keys = jax.random.split(getkey(), 6)
    f = functools.partial(method.function, rate=0.3)
    one_by_one = jnp.stack([f(key, x) for key in clone(keys)])
    np.testing.assert_array_equal(one_by_one, jax.vmap(f, (0, None))(clone(keys), x))
    np.testing.assert_array_equal(one_by_one[2:5], jax.vmap(f, (0, None))(clone(keys)[2:5], x))
    assert len(np.unique(one_by_one, axis=0)) == 6


@pytest.mark.parametrize("spec", [P("a", None, "b"), P(None, None, ("a", "b"))], ids=str)
def test_same_noise_on_any_sharding(method, x, spec, getkey):
    key = getkey()
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    f = jax.jit(functools.partial(method.function, rate=0.3))
    sharded = jax.device_put(x, NamedSharding(mesh, spec))
    y = f(clone(key), sharded)
    np.testing.assert_array_equal(f(clone(key), x), y)
    if method.dense and len(spec) == x.ndim:
        return
    assert y.sharding.is_equivalent_to(sharded.sharding, x.ndim)
    assert "all-gather" not in f.lower(key, sharded).compile().as_text()


@pytest.mark.usefixtures("whole")
def test_noise_differs_per_shard_when_the_key_is_folded(method, getkey):
    mesh = jax.make_mesh((4,), ("a",), devices=jax.devices()[:4], axis_types=(jax.sharding.AxisType.Auto,))

    def shard(key, x):
        return method.function(jax.random.fold_in(key, jax.lax.axis_index("a")), x, 0.3)

    y = jax.shard_map(shard, mesh=mesh, in_specs=(P(), P("a")), out_specs=P("a"))(getkey(), jnp.ones((200, *SHAPE[1:])))
    assert len(np.unique(y.reshape(4, -1), axis=0)) == 4


# 2. Finite at rates 0 and 1; the identity at 0.


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_finite_value_and_gradient_at_the_ends(method, x, rate, traced, getkey):
    rate_given = jnp.asarray(rate) if traced else rate
    y, pullback = jax.vjp(lambda x: method.function(getkey(), x, rate_given), x)
    (gradient,) = pullback(jnp.ones_like(y))
    assert np.isfinite(y).all()
    assert np.isfinite(gradient).all()
    if rate == 0:
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(gradient, 1)


def test_no_gradient_flows_into_the_rate(method, x, getkey):
    gradient = jax.grad(lambda rate: method.function(getkey(), x, rate).sum())(jnp.asarray(0.3))
    assert gradient == 0


# 3. One compilation serves every traced rate.


@pytest.mark.usefixtures("whole")
def test_compiles_once_for_all_traced_rates(method, x, getkey):
    f = jax.jit(lambda *args: method.function(*args))
    for rate in (0.0, 0.25, 0.5, 1.0):
        f(getkey(), x, rate)
    assert f._cache_size() == 1


# 4. dtype in is dtype out, at the right drop frequency.


@pytest.mark.parametrize(("dtype", "rate"), [("float32", 0.1), ("bfloat16", 0.5), ("float16", 0.1), ("float64", 0.5)])
def test_dtype_and_drop_frequency(method, dtype, rate, getkey):
    with jax.enable_x64(dtype == "float64"):
        ones = jnp.ones((200, *SHAPE), dtype)
        y = jax.vmap(functools.partial(method.function, rate=rate))(jax.random.split(getkey(), len(ones)), ones)
        assert y.dtype == dtype
        if method.drops is not None:
            drops = np.asarray(jax.vmap(method.drops)(y))
            assert_frequency(drops.sum(), drops.size, rate)


# 5. Mean and variance are the paper's.


@pytest.mark.parametrize("rate", [0.1, 0.8])
def test_mean_and_variance(method, x, rate, getkey):
    if method.variance is None:
        pytest.skip("no closed form")
    y = jax.vmap(lambda key: method.function(key, x, rate))(jax.random.split(getkey(), 4000))
    exact = np.asarray(x, np.float64)
    assert_moments(y, method.mean(exact, rate), method.variance(exact, rate))


# 6. Derivatives.


@pytest.mark.usefixtures("whole")
def test_gradient_under_checkpoint_scan_and_vmap(method, x, getkey):
    keys = jax.random.split(getkey(), 2)
    one_by_one = list(keys)

    def loss(x, draw=method.function):
        for key in one_by_one:
            x = jnp.sin(draw(clone(key), x, 0.3))
        return x.sum()

    def scanned(x):
        return jax.lax.scan(lambda x, key: (jnp.sin(method.function(key, x, 0.3)), None), x, clone(keys))[0].sum()

    gradient = jax.grad(loss)(x)
    tolerance = {"rtol": 1e-5, "atol": 1e-6}
    checkpointed = functools.partial(loss, draw=jax.checkpoint(method.function, static_argnums=2))
    np.testing.assert_allclose(jax.jit(jax.grad(checkpointed))(x), gradient, **tolerance)
    np.testing.assert_allclose(jax.jit(jax.grad(scanned))(x), gradient, **tolerance)
    several = jax.jit(jax.vmap(jax.grad(loss)))(jnp.stack([x, x + 1]))
    np.testing.assert_allclose(several[0], gradient, **tolerance)


@pytest.mark.usefixtures("whole")
def test_forward_mode_and_second_derivatives(method, getkey):
    if method.own_derivative:
        pytest.skip("not the derivative of the value, by design")
    key, x = getkey(), 1 + jax.random.uniform(getkey(), (2, 3, 4))
    offset = method.function(clone(key), jnp.zeros_like(x), 0.4)  # of methods that are affine in x

    def loss(x):
        return ((method.function(clone(key), x, 0.4) - offset) ** 3).sum()

    @jax.jit
    def derivatives(x):
        return jax.jvp(loss, (x,), (x,)), jax.jvp(jax.grad(loss), (x,), (x,))

    (y, tangent), (gradient, product) = derivatives(x)
    np.testing.assert_allclose(tangent, 3 * y, rtol=1e-5)  # a cubic form
    np.testing.assert_allclose(product, 2 * gradient, rtol=1e-5)


def test_the_backward_pass_holds_no_mask(method, x, getkey):
    _, pullback = jax.vjp(lambda x: method.function(getkey(), x, 0.3), x)
    held = sum(leaf.size for leaf in jax.tree.leaves(pullback))
    assert held < 10 + method.holds, f"{held} numbers are held for the backward pass of {x.size}"


# 7. No key is used twice.


@pytest.mark.usefixtures("whole")
def test_uses_its_key_once(method, x, getkey):
    with jax.debug_key_reuse(True):
        jax.grad(lambda x: method.function(getkey(), x, 0.3).sum())(x)
        jax.jit(jax.grad(lambda x, key: method.function(key, x, 0.3).sum()))(x, getkey())
        jax.jit(jax.hessian(lambda x, key: (method.function(key, x, 0.3) ** 2).sum()))(x[:2, :1, :2], getkey())
        key = getkey()
        method.function(key, x, 0.3)
        with pytest.raises(jax.errors.KeyReuseError):
            method.function(key, x, 0.3)


# 8. The modules agree with the function, under every transformation.


class _ReturnsItsKey(nn.Module):
    layer: nn.Module

    @nn.compact
    def __call__(self, x):
        key = self.make_rng("dropout")
        return self.layer(x, deterministic=False, rng=clone(key)), key


def test_linen_agrees_with_the_function(method, x, getkey):
    y, key = _ReturnsItsKey(method.linen(0.3)).apply({}, x, rngs={"dropout": getkey()})
    np.testing.assert_array_equal(y, method.function(key, x, 0.3))
    without = method.linen(0.3).apply({}, x, deterministic=True)
    np.testing.assert_allclose(without, method.expectation(x, 0.3), rtol=1e-6)


@pytest.mark.usefixtures("whole")
def test_linen_under_jit_grad_vmap_scan_and_remat(method, x, getkey):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return method.linen(0.3)(x, deterministic=False), None

    def stack(block):
        return nn.scan(block, length=3, split_rngs={"dropout": True})()

    def loss(x, key, model):
        return (model.apply({}, x, None, rngs={"dropout": key})[0] ** 2).sum()

    keys = jax.random.split(getkey(), 2)
    plain = jax.grad(loss)(x, clone(keys)[0], stack(Block))
    gradient = jax.jit(jax.grad(loss), static_argnums=2)
    np.testing.assert_allclose(gradient(x, clone(keys)[0], stack(Block)), plain, rtol=1e-5)
    np.testing.assert_allclose(gradient(x, clone(keys)[0], stack(nn.remat(Block))), plain, rtol=1e-5)
    both = jax.vmap(lambda key: gradient(x, key, stack(Block)))(keys)
    np.testing.assert_allclose(both[0], plain, rtol=1e-5)
    assert len(np.unique(both, axis=0)) == 2


def test_nnx_agrees_with_the_function(method, x, getkey):
    key = getkey()
    layer = method.nnx(0.3, nnx.Rngs(0))
    np.testing.assert_array_equal(layer(x, rngs=clone(key)), method.function(clone(key), x, 0.3))
    layer.eval()
    without = method.expectation(x, 0.3)
    np.testing.assert_allclose(layer(x), without, rtol=1e-6)
    layer.train()
    assert not np.allclose(layer(x), without)
    np.testing.assert_allclose(nnx.view(layer, deterministic=True)(x), without, rtol=1e-6)


@pytest.mark.usefixtures("whole")
def test_nnx_under_jit_grad_vmap_scan_and_remat(method, x):
    def layer():
        return method.nnx(0.3, nnx.Rngs(dropout=5))

    def loss(layer, x):
        return (layer(x) ** 2).sum()

    plain = nnx.grad(loss, argnums=1)(layer(), x)
    np.testing.assert_allclose(nnx.jit(nnx.grad(loss, argnums=1))(layer(), x), plain, rtol=1e-5)
    np.testing.assert_allclose(nnx.grad(nnx.remat(loss), argnums=1)(layer(), x), plain, rtol=1e-5)

    streams = nnx.StateAxes({nnx.RngState: 0, ...: None})  # parameters, if any, have no axis

    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=(streams, None))
    def draws(layer, x):
        return layer(x)

    assert len(np.unique(draws(layer(), x), axis=0)) == 3

    @nnx.split_rngs(splits=3)
    @nnx.scan(in_axes=(streams, nnx.Carry), out_axes=nnx.Carry)
    def repeated(layer, x):
        return layer(x)

    assert not np.allclose(repeated(layer(), x), layer()(x))


@pytest.mark.usefixtures("whole")
def test_samplers_switch_it_on(method, x, getkey):
    class Off(nn.Module):
        @nn.compact
        def __call__(self, x):
            return method.linen(0.3)(x, deterministic=True)

    class OffNnx(nnx.Module):
        def __init__(self):
            self.layer = method.nnx(0.3, nnx.Rngs(0))

        def __call__(self, x):
            return self.layer(x, deterministic=True)

    without = method.expectation(x, 0.3)
    for sample in (jaxdrop.linen.sampler(Off(), {}, x), jaxdrop.nnx.sampler(OffNnx(), x)):
        assert not np.allclose(sample(getkey()), without)


@pytest.mark.usefixtures("whole")
def test_modules_take_traced_rates(method, x, getkey):
    key, rate = getkey(), jnp.asarray(0.3)
    expected = method.function(clone(key), x, 0.3)
    linen = jax.jit(lambda rate: method.linen(rate).apply({}, x, deterministic=False, rng=clone(key)))
    np.testing.assert_array_equal(linen(rate), expected)

    @nnx.jit
    def scheduled(layer, rate, key):
        setattr(layer, method.parameter, rate)
        return layer(x, rngs=key)

    np.testing.assert_array_equal(scheduled(method.nnx(0.5, nnx.Rngs(0)), rate, key), expected)


# 9. Bad input gets an error that names the argument, the condition and the value.


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), np.float32(2), np.array([0.5, 1.5])], ids=str)
def test_refuses_a_rate_outside_0_to_1(method, x, rate, getkey):
    message = rf"{method.parameter} must be in \[0, 1\], got .*(-0.1|1.5|nan|2)"
    with pytest.raises(ValueError, match=message):
        method.function(getkey(), x, rate)
    with pytest.raises(ValueError, match=message):
        method.linen(rate).apply({}, x, deterministic=True)
    if not isinstance(rate, np.ndarray):
        with pytest.raises(ValueError, match=message):
            method.nnx(rate, nnx.Rngs(0))(x)


def test_refuses_integers(method, x, getkey):
    with pytest.raises(TypeError, match=f"{method.argument} must be floating point, got dtype int32"):
        method.function(getkey(), jnp.ones(SHAPE, jnp.int32), 0.3)


def test_refuses_a_rate_that_does_not_broadcast(method, x, getkey):
    shape = "()" if method.scalar_rate else "(16, 6, 8)"
    message = re.escape(f"{method.parameter} must broadcast against the shape {shape}, got shape (3,)")
    with pytest.raises(ValueError, match=message):
        method.function(getkey(), x, jnp.full(3, 0.3))


@pytest.mark.parametrize("key", [None, 0, jnp.ones(2)], ids=str)
def test_refuses_what_is_not_a_key(method, x, key):
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        method.function(key, x, 0.3)


def test_refuses_several_keys(method, x, getkey):
    with pytest.raises(TypeError, match=r"key must be one PRNG key, as jax.random.key makes it, got .*shape \(3,\)"):
        method.function(jax.random.split(getkey(), 3), x, 0.3)


def test_linen_refuses_to_guess(method, x, getkey):
    with pytest.raises(ValueError, match="deterministic"):
        method.linen(0.3).apply({}, x, rngs={"dropout": getkey()})
