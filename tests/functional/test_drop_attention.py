import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent, assert_mean


@pytest.fixture(scope="module")
def weights():
    return jax.nn.softmax(jax.random.normal(jax.random.key(3), (200, 2, 7, 12)))


@pytest.mark.parametrize("span", [1, 3])
@pytest.mark.parametrize("mode", ["element", "column"])
def test_every_key_goes_with_its_probability(mode, span, weights, getkey):
    gone = np.asarray(jaxdrop.drop_attention(getkey(), weights, 0.3, mode=mode, span=span) == 0)
    if mode == "column":
        np.testing.assert_array_equal(gone, np.broadcast_to(gone[:, :, :1], gone.shape))
        gone = gone[:, :, :1]
    rate = 1 - (1 - 0.3 / span) ** span
    by_key = gone.mean((1, 2))  # of an example; neighbouring keys depend on each other
    assert_mean(by_key, np.full(12, rate))
    assert_independent(gone[1:, ..., 0], gone[:-1, ..., 0])


def test_spans_are_of_neighbouring_keys_and_begin_at_the_stated_rate(getkey):
    gone = np.asarray(jaxdrop.drop_attention(getkey(), jnp.ones((20_000, 1, 30)), 0.1, span=4)[:, 0] == 0)
    inside = gone[:, 3:-3]
    for row in gone[gone[:, 8:22].any(1)][:200]:  # runs that do not touch the ends are no shorter than a span
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], row, [0]]))))[::2]
        starts = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])) == 1)
        within = (starts > 0) & (starts + runs < 30)
        assert (runs[within] >= 4).all()
    alone = ~inside[:, :-1] & inside[:, 1:]  # a run begins where a span does, and none did within four keys before
    begins = np.asarray(alone[:, 10])
    assert_frequency(begins.sum(), begins.size, 0.025 * (1 - 0.025) ** 4)


@pytest.mark.parametrize("options", [{}, {"mode": "column"}, {"span": 2}], ids=str)
def test_the_sum_of_each_query_stays_or_is_zero(options, weights, getkey):
    y = jaxdrop.drop_attention(getkey(), weights, 0.5, **options)
    sums = np.asarray(y.sum(-1))
    np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-5)
    assert (sums[(y == 0).all(-1)] == 0).all()
    kept = np.asarray(y > 0)
    ratio = np.where(kept, y / weights, np.nan)
    spread = np.nanmax(ratio, -1, initial=0, where=kept) - np.nanmin(ratio, -1, initial=np.inf, where=kept)
    assert (spread[kept.any(-1)] < 1e-3).all()  # all the others are scaled alike


@pytest.mark.parametrize("span", [1, 3])
def test_without_normalisation_the_mean_is_the_input(span, weights, getkey):
    f = functools.partial(jaxdrop.drop_attention, rate=0.4, span=span, normalize=False)
    draws = jax.vmap(f, (0, None))(jax.random.split(getkey(), 4000), weights[0])
    assert_mean(draws, weights[0])


@pytest.mark.thorough
def test_no_gradient_flows_into_the_normalisation(weights, getkey):
    key, x = getkey(), weights[0]
    y, pullback = jax.vjp(lambda x: jaxdrop.drop_attention(clone(key), x, 0.4), x)
    np.testing.assert_allclose(pullback(jnp.ones_like(y))[0], jnp.where(y > 0, y / x, 0), rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_rates_zero_and_one_are_finite(traced, weights, getkey):
    x = weights[:2]
    for rate, expected in ((0.0, x), (1.0, jnp.zeros_like(x))):
        rate = jnp.asarray(rate) if traced else rate
        y, pullback = jax.vjp(lambda x, rate=rate: jaxdrop.drop_attention(getkey(), x, rate), x)
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        assert np.isfinite(pullback(y)[0]).all()
    assert np.isnan(jaxdrop.drop_attention(getkey(), x, jnp.asarray(jnp.nan))).all()


@pytest.mark.thorough
def test_in_attention_it_is_the_noise_on_the_weights(getkey):
    q, k, v = jax.random.normal(getkey(), (3, 2, 5, 4, 8))
    key = getkey()
    column = functools.partial(jaxdrop.drop_attention, mode="column")
    y = jaxdrop.dot_product_attention(q, k, v, dropout_rate=0.5, dropout_key=clone(key), noise=column)
    weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) / np.float32(np.sqrt(8)))
    expected = jnp.einsum("bhts,bshd->bthd", column(clone(key), weights, 0.5), v)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": jnp.ones((3, 2), int)}, TypeError, "x must be floating point, got dtype int32"),
        ({"x": jnp.ones(3)}, ValueError, "x.ndim must be at least 2, got 1"),
        ({"rate": -0.1}, ValueError, r"rate must be in \[0, 1\], got -0.1"),
        ({"rate": jnp.ones(2)}, ValueError, r"rate must broadcast against the shape \(\), got shape \(2,\)"),
        ({"mode": "row"}, ValueError, "mode must be one of 'element', 'column', got 'row'"),
        ({"span": 0}, ValueError, "span must be from 1 to 2, got 0"),
        ({"span": 3}, ValueError, "span must be from 1 to 2, got 3"),
        ({"broadcast_dims": (-1,)}, ValueError, r"broadcast_dims must not contain the axis of the keys, got \(-1,\)"),
        ({"bits": 8, "rate": 0.001}, ValueError, "bits=8 rounds the rate 0.001 to 0"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
    ],
)
def test_refuses(change, error, message, getkey):
    arguments = {"key": getkey(), "x": jnp.ones((3, 2)), "rate": 0.5, **change}
    with pytest.raises(error, match=message):
        jaxdrop.drop_attention(**arguments)


def test_a_traced_rate_above_1_counts_as_1(getkey):
    key, x = getkey(), jnp.ones((2, 3, 40))
    y, clipped = (jaxdrop.drop_attention(clone(key), x, jnp.asarray(rate), span=4) for rate in (2.0, 1.0))
    np.testing.assert_array_equal(y, clipped)
