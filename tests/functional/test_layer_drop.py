import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from tests.statistical import assert_frequency


def count(key, rate, layers=200):
    """How many of a stack's layers ran."""
    x = jnp.zeros(())
    keys = jax.random.split(key, layers)
    return jax.lax.scan(lambda x, key: (jaxdrop.layer_drop(key, lambda x: x + 1, x, rate), None), x, keys)[0]


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_layers_are_skipped_at_the_given_rate(traced, getkey):
    rate = jnp.asarray(0.2) if traced else 0.2
    runs = jax.jit(lambda rate: count(getkey(), rate, 50_000))(rate) if traced else count(getkey(), 0.2, 50_000)
    assert_frequency(50_000 - int(runs), 50_000, 0.2)


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_exact_at_the_ends(traced, getkey):
    for rate, expected in ((0.0, 200), (1.0, 0)):
        assert count(getkey(), jnp.asarray(rate) if traced else rate) == expected


def test_a_skipped_layer_is_not_computed(getkey):
    ran = []

    def layer(x):
        jax.debug.callback(lambda: ran.append(1))
        return x + 1

    draw = jax.jit(lambda key: jaxdrop.layer_drop(key, layer, jnp.zeros(()), 0.5))
    outputs = [float(draw(key)) for key in jax.random.split(getkey(), 40)]
    jax.effects_barrier()
    assert len(ran) == sum(outputs)
    assert 0 < len(ran) < 40


@pytest.mark.thorough
def test_gradients_in_scan_are_those_of_the_layers_that_ran(getkey):
    keys, weights = jax.random.split(getkey(), 12), jnp.linspace(0.5, 2.0, 12)

    def output(weights):
        def body(x, layer):
            key, weight = layer
            return jaxdrop.layer_drop(key, lambda x: weight * x, x, 0.5), None

        return jax.lax.scan(body, jnp.ones(()), (keys, weights))[0]

    y, gradient = jax.jit(jax.value_and_grad(output))(weights)
    ran = np.asarray(gradient) != 0
    assert 0 < ran.sum() < 12
    np.testing.assert_allclose(y, np.prod(np.asarray(weights)[ran]), rtol=1e-5)
    np.testing.assert_allclose(gradient[ran], y / weights[ran], rtol=1e-5)
    np.testing.assert_allclose(jax.grad(output)(weights), gradient, rtol=1e-6)
    assert jax.grad(lambda rate: jaxdrop.layer_drop(keys[0], jnp.sin, jnp.ones(()), rate))(0.5) == 0


@pytest.mark.thorough
def test_pytrees_and_key_reuse(getkey):
    x = {"a": jnp.ones(3), "b": jnp.zeros(())}
    y = jaxdrop.layer_drop(getkey(), lambda x: jax.tree.map(jnp.negative, x), x, 0.5)
    assert jax.tree.structure(y) == jax.tree.structure(x)
    with jax.debug_key_reuse(True):
        key = getkey()
        jaxdrop.layer_drop(key, jnp.sin, jnp.ones(3), 0.5)
        with pytest.raises(jax.errors.KeyReuseError):
            jaxdrop.layer_drop(key, jnp.sin, jnp.ones(3), 0.5)


def test_every_other_layer_is_kept():
    assert jaxdrop.kept_layers(12, 0.5) == [0, 2, 4, 6, 8, 10]
    assert jaxdrop.kept_layers(6, 0.34) == [0, 2, 4]
    assert jaxdrop.kept_layers(6, 1 / 3) == [0, 1, 3, 4]
    assert jaxdrop.kept_layers(3, 0) == [0, 1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: jaxdrop.layer_drop(jax.random.key(0), jnp.sin, jnp.ones(3), 1.5),
            r"rate must be in \[0, 1\], got 1.5",
        ),
        (lambda: jaxdrop.layer_drop(jax.random.key(0), jnp.sin, jnp.ones(3), jnp.ones(3)), "rate must broadcast"),
        (lambda: jaxdrop.kept_layers(12, 0.6), "rate must be at most 0.5, got 0.6"),
        (lambda: jaxdrop.kept_layers(0, 0.5), "num_layers must be at least 1, got 0"),
    ],
)
def test_refuses_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def linen_stack(rate, **options):
    return nn.Sequential([jaxdrop.linen.LayerDrop(nn.Dense(4), rate, **options) for _ in range(8)])


@pytest.mark.thorough
def test_linen_module(getkey):
    x = jnp.ones((3, 4))
    variables = linen_stack(0.3, deterministic=True).init(getkey(), x)
    assert len(jax.tree.leaves(variables)) == 16
    plain = linen_stack(0.3, deterministic=True).apply(variables, x)
    np.testing.assert_array_equal(linen_stack(0.0, deterministic=False).apply(variables, x), plain)
    np.testing.assert_array_equal(linen_stack(1.0, deterministic=False).apply(variables, x), x)
    noisy = jax.jit(
        lambda variables, key: linen_stack(0.3, deterministic=False).apply(variables, x, rngs={"dropout": key})
    )
    draws = jnp.stack([noisy(variables, getkey()) for _ in range(3)])
    assert len(np.unique(draws, axis=0)) == 3
    gradient = jax.jit(jax.grad(lambda variables, key: noisy(variables, key).sum()))(variables, getkey())
    skipped = [bool(jnp.all(layer["layer"]["kernel"] == 0)) for layer in gradient["params"].values()]
    assert 0 < sum(skipped) < 8
    sample = jaxdrop.linen.sampler(linen_stack(0.3, deterministic=True), variables, x)
    assert np.all(jaxdrop.monte_carlo(sample, getkey(), 10).variance > 0)


@pytest.mark.thorough
def test_nnx_module(getkey):
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(*[jaxdrop.nnx.LayerDrop(nnx.Linear(4, 4, rngs=rngs), 0.3, rngs=rngs) for _ in range(8)])
    x = jnp.ones((3, 4))
    noisy = nnx.jit(lambda model, x: model(x))
    draws = jnp.stack([noisy(model, x) for _ in range(3)])
    assert len(np.unique(draws, axis=0)) == 3
    model.eval()
    plain = x
    for layer in model.layers:
        plain = layer.layer(plain)
    np.testing.assert_allclose(model(x), plain, rtol=1e-6)
    assert np.all(jaxdrop.monte_carlo(jaxdrop.nnx.sampler(model, x), getkey(), 10).variance > 0)
    assert isinstance(jaxdrop.nnx.replace(model, lambda layer: None).layers[0], jaxdrop.nnx.LayerDrop)


def test_keeps_as_many_layers_as_the_rate_says():
    # 1 - n / N is a little more than a third or a fifth in floating point.
    for num_layers, left in ((12, 8), (12, 6), (12, 9), (10, 8), (24, 16), (6, 5), (100, 99)):
        assert len(jaxdrop.kept_layers(num_layers, 1 - left / num_layers)) == left
    assert len(jaxdrop.kept_layers(10, np.float32(0.2))) == 8
