import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent, assert_mean


@pytest.mark.parametrize(("shape", "axis"), [((500, 8, 3, 5), -3), ((500, 3, 8, 5), -2)])
def test_heads_go_as_a_whole_and_the_others_make_up_for_them(shape, axis, getkey):
    y = np.moveaxis(np.asarray(jaxdrop.drop_head(getkey(), jnp.ones(shape), 0.3, head_axis=axis)), axis, 1)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :, :1, :1], y.shape))
    gone = y[:, :, 0, 0] == 0
    assert_frequency(gone.sum(), gone.size, 0.3)
    assert_independent(gone[1:], gone[:-1])
    assert_independent(gone[:, 1:], gone[:, :-1])
    sums = y[:, :, 0, 0].sum(1)
    np.testing.assert_allclose(sums[~gone.all(1)], 8, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_mean_is_the_stated_one(normalize, getkey):
    x = 1 + jax.random.uniform(getkey(), (2, 3, 1, 2))
    f = functools.partial(jaxdrop.drop_head, rate=0.5, normalize=normalize)
    draws = jax.vmap(f, (0, None))(jax.random.split(getkey(), 8000), x)
    assert_mean(draws, (1 - 0.5**3) * x if normalize else x)


@pytest.mark.thorough
def test_on_weights_or_on_outputs_it_is_the_same(getkey):
    q, k, v = jax.random.normal(getkey(), (3, 2, 5, 4, 8))
    key = getkey()
    on_weights = jaxdrop.dot_product_attention(
        q, k, v, dropout_rate=0.5, dropout_key=clone(key), noise=jaxdrop.drop_head
    )
    plain = jaxdrop.dot_product_attention(q, k, v)
    on_outputs = jaxdrop.drop_head(clone(key), plain, 0.5, head_axis=-2)
    np.testing.assert_allclose(on_weights, on_outputs, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_the_factor_and_holds_no_mask(getkey):
    key, x = getkey(), jnp.ones((4, 6, 2, 2))
    y, pullback = jax.vjp(lambda x: jaxdrop.drop_head(clone(key), x, 0.4), x)
    np.testing.assert_array_equal(pullback(jnp.ones_like(y))[0], y)
    assert sum(leaf.size for leaf in jax.tree.leaves(pullback)) < 10


@pytest.mark.parametrize("normalize", [True, False])
def test_rates_zero_and_one_are_finite(normalize, getkey):
    x = jnp.ones((2, 3, 2, 2))
    for given in (float, jnp.asarray):
        for rate, expected in ((0.0, 1), (1.0, 0)):
            f = functools.partial(jaxdrop.drop_head, getkey(), rate=given(rate), normalize=normalize)
            y, pullback = jax.vjp(f, x)
            np.testing.assert_array_equal(y, jnp.full_like(x, expected))
            assert np.isfinite(pullback(y)[0]).all()
    assert np.isnan(jaxdrop.drop_head(getkey(), x, jnp.asarray(jnp.nan))).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": jnp.ones((2, 3, 2, 2), int)}, TypeError, "x must be floating point, got dtype int32"),
        ({"x": jnp.ones(2)}, ValueError, r"head_axis .*got .*-3"),
        ({"head_axis": 0}, ValueError, "num_batch_dims must be from 0 to 0, got 1"),
        ({"broadcast_dims": (0, 1)}, ValueError, r"broadcast_dims must not contain the axis of the heads, 1"),
        ({"rate": 1.1}, ValueError, r"rate must be in \[0, 1\], got 1.1"),
        ({"rate": jnp.ones(3)}, ValueError, r"rate must broadcast against the shape \(\), got shape \(3,\)"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
    ],
)
def test_refuses(change, error, message, getkey):
    arguments = {"key": getkey(), "x": jnp.ones((2, 3, 2, 2)), "rate": 0.5, **change}
    with pytest.raises(error, match=message):
        jaxdrop.drop_head(**arguments)
