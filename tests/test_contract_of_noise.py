"""Noise that no rate alone describes, learned noise above all, against the promises that need none.

What has a rate stands in tests/methods.py and is held against all of them.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from jaxdrop import variational
from jaxdrop.linen import RecurrentDropoutCell, VariationalDropoutCell, ZoneoutCell

SHAPE = (8, 6, 4)  # batch, length, channels
KERNEL = 0.3 * jnp.arange(-8, 8, dtype=float).reshape(4, 4)
WEIGHTS = {
    "additive": variational.additive_weights(KERNEL, -2.0),
    "multiplicative": variational.multiplicative_weights(KERNEL, -1.0, shared="weight"),
}


@dataclasses.dataclass(frozen=True)
class Noise:
    """A row.

    Attributes:
      name: Of the row.
      draw: `(key, x) -> y` for `x` of shape SHAPE.
      module: Whether it is a module, which leaves its key and dtypes to flax.
    """

    name: str
    draw: Callable[[jax.Array, jax.Array], jax.Array]
    module: bool = False


def in_dtype_of(x, parameters):
    return jax.tree.map(lambda leaf: leaf.astype(x.dtype), parameters)


def recurrent(cell) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The outputs of an RNN of 3 units with fixed parameters; masks of a step are drawn at each."""

    def draw(key, x):
        rnn = nn.RNN(cell(nn.LSTMCell(3)), split_rngs={"params": False, "dropout": True})
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.3), jax.eval_shape(rnn.init, rngs, x))
        return rnn.apply(params, x, rngs={"dropout": key})

    return draw


NOISES = [
    Noise(
        "concrete_dropout",
        lambda key, x: variational.concrete_dropout(key, x, variational.logit_rate(0.3, x.dtype)),
    ),
    Noise(
        "log_normal_noise",
        lambda key, x: variational.log_normal_noise(key, x, variational.log_normal_factors(4, -1.0, -1.0, x.dtype)),
    ),
    Noise("gaussian_noise", lambda key, x: variational.gaussian_noise(key, x, jnp.full(4, -1.0, x.dtype))),
    *(
        Noise(
            f"noisy_dense, {name}",
            lambda key, x, weights=weights: variational.noisy_dense(key, x, in_dtype_of(x, weights)),
        )
        for name, weights in WEIGHTS.items()
    ),
    Noise(
        "noisy_conv",
        lambda key, x: variational.noisy_conv(
            key, x, in_dtype_of(x, variational.additive_weights(jnp.stack([KERNEL] * 3), -2.0))
        ),
    ),
    Noise(
        "drop_connect_conv",
        lambda key, x: jaxdrop.drop_connect_conv(key, x, jnp.stack([KERNEL] * 3).astype(x.dtype), 0.3),
    ),
    Noise(
        "weight_drop",
        lambda key, x: x @ jaxdrop.weight_drop(key, {"kernel": KERNEL.astype(x.dtype)}, 0.3)["kernel"],
    ),
    Noise("standout", lambda key, x: jaxdrop.standout(key, x, x, alpha=2.0)),
    Noise("patch_dropout", lambda key, x: jaxdrop.patch_dropout(key, x, 0.5)),
    Noise(
        "fractal_drop_path",
        lambda key, x: jaxdrop.fractal_drop_path(key, [x, jnp.sin(x), 2 * x], 0.3, mode="row"),
    ),
    Noise("layer_drop", lambda key, x: jaxdrop.layer_drop(key, jnp.sin, x, 0.5)),
    Noise(
        "dot_product_attention",
        lambda key, x: jaxdrop.dot_product_attention(
            x[:, :, None], x[:, :, None], x[:, :, None], dropout_rate=0.3, dropout_key=key
        ),
    ),
    *(
        Noise(cell.__name__, recurrent(functools.partial(cell, rate=0.3, deterministic=False)), module=True)
        for cell in (VariationalDropoutCell, RecurrentDropoutCell, ZoneoutCell)
    ),
]

pytestmark = [pytest.mark.thorough, pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}  # of sums in another order; of masks, none


@pytest.fixture(scope="module")
def x() -> jax.Array:
    return 1 + jax.random.uniform(jax.random.key(17), SHAPE)


def test_same_noise_eager_jit_and_in_any_vmap_chunk(noise, x, getkey):
    keys = jax.random.split(getkey(), 20)  # of layer_drop, each is one decision
    eager = noise.draw(clone(keys)[0], x)
    chunks = [jax.jit(jax.vmap(noise.draw, (0, None)))(chunk, x) for chunk in (clone(keys), clone(keys)[:2])]
    np.testing.assert_allclose(chunks[0][0], eager, **TOLERANCE)
    np.testing.assert_allclose(chunks[1], chunks[0][:2], **TOLERANCE)
    assert len(np.unique(chunks[0], axis=0)) > 1


def test_same_noise_on_any_sharding(noise, x, getkey):
    key = getkey()
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    f = jax.jit(noise.draw)
    sharded = jax.device_put(x, NamedSharding(mesh, P("a")))
    y = f(clone(key), sharded)
    np.testing.assert_allclose(y, f(clone(key), x), **TOLERANCE)
    assert y.sharding.is_equivalent_to(sharded.sharding, y.ndim)
    assert "all-gather" not in f.lower(key, sharded).compile().as_text()


def test_uses_its_key_once(noise, x, getkey):
    with jax.debug_key_reuse(True):
        jax.jit(jax.grad(lambda x, key: noise.draw(key, x).sum()))(x, getkey())
        key = getkey()
        noise.draw(key, x)
        if not noise.module:  # flax reads the words of its keys, which uses none up
            with pytest.raises(jax.errors.KeyReuseError):
                noise.draw(key, x)


def test_legacy_keys_draw_what_typed_keys_draw(noise, x):
    np.testing.assert_array_equal(noise.draw(jax.random.key(5), x), noise.draw(jax.random.PRNGKey(5), x))


def test_gradient_under_checkpoint_and_scan(noise, x, getkey):
    key = getkey()

    def loss(draw, x):
        return jnp.sum(jnp.sin(draw(clone(key), x)))

    def scanned(x):
        return jax.lax.scan(lambda total, key: (total + loss(lambda _, x: noise.draw(key, x), x), None), 0.0, key[None])

    gradient = jax.jit(jax.grad(functools.partial(loss, noise.draw)))(x)
    checkpointed = jax.grad(functools.partial(loss, jax.checkpoint(noise.draw)))
    np.testing.assert_allclose(jax.jit(checkpointed)(x), gradient, **TOLERANCE)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda x: scanned(x)[0]))(x), gradient, **TOLERANCE)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtype_in_is_dtype_out(noise, x, dtype, getkey):
    if noise.module:
        pytest.skip("flax decides")
    with jax.enable_x64(dtype == "float64"):
        y = noise.draw(getkey(), x.astype(dtype))
        assert y.dtype == dtype
        assert jnp.isfinite(y).all()


@pytest.mark.parametrize("key", [None, 0, jnp.ones(2)], ids=str)
def test_refuses_what_is_not_a_key(noise, x, key):
    if noise.module:
        pytest.skip("flax does")
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        noise.draw(key, x)
