import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency


def test_rows_are_dropped_as_a_whole(getkey):
    y = jaxdrop.stochastic_depth(getkey(), jnp.ones((50_000, 2, 3)), 0.2)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1], y.shape))
    assert_frequency((y[:, 0, 0] == 0).sum(), len(y), 0.2)


def test_the_batch_is_dropped_as_a_whole(getkey):
    draw = jax.jit(lambda key: jaxdrop.stochastic_depth(key, jnp.ones((4, 3)), 0.2, mode="batch"))
    y = jax.vmap(draw)(jax.random.split(getkey(), 20_000))
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1], y.shape))
    assert_frequency((y[:, 0, 0] == 0).sum(), len(y), 0.2)


def test_the_expected_residual_block_is_the_papers(getkey):
    """Huang's shortcut + b f in training and shortcut + keep f at prediction, with f rescaled by 1 / keep."""
    shortcut, branch, keep = jnp.full((100_000, 1), 3.0), jnp.full((100_000, 1), 2.0), 0.75
    ours = shortcut + jaxdrop.stochastic_depth(getkey(), branch, 1 - keep)
    survived = ours[:, 0] > 3
    np.testing.assert_allclose(ours[survived], 3 + 2 / keep, rtol=1e-6)
    assert_frequency(survived.sum(), len(ours), keep)


def test_a_rate_per_example(getkey):
    y = jaxdrop.stochastic_depth(getkey(), jnp.ones((2, 5)), jnp.asarray([[0.0], [1.0]]))
    np.testing.assert_array_equal(y, [[1] * 5, [0] * 5])


@pytest.mark.parametrize(
    ("x", "mode", "message"),
    [
        (jnp.ones((2, 3)), "rows", "mode must be one of 'row', 'batch', got 'rows'"),
        (jnp.ones(()), "row", "x.ndim must be"),
    ],
)
def test_refuses_bad_input(x, mode, message, getkey):
    with pytest.raises(ValueError, match=message):
        jaxdrop.stochastic_depth(getkey(), x, 0.5, mode=mode)


@pytest.mark.parametrize("bits", [8, 32])
def test_modules_take_bits(bits, getkey):
    key, x = getkey(), jnp.ones((500, 2))
    expected = jaxdrop.stochastic_depth(clone(key), x, 0.3, bits=bits)
    linen = jaxdrop.linen.StochasticDepth(0.3, bits=bits, deterministic=False).apply({}, x, rng=clone(key))
    np.testing.assert_array_equal(linen, expected)
    np.testing.assert_array_equal(jaxdrop.nnx.StochasticDepth(0.3, bits=bits)(x, rngs=key), expected)
