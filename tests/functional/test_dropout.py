import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from tests.statistical import assert_frequency, assert_mean, detectable_frequency


def test_survivors_are_scaled_so_that_the_mean_is_exact(getkey):
    """By the keep probability after rounding to 8 bits, not by the one that was asked for."""
    y = jaxdrop.dropout(getkey(), jnp.ones((1000, 1000)), 0.1, bits=8)
    effective = round(0.1 * 256) / 256
    assert_frequency((y == 0).sum(), y.size, effective)
    np.testing.assert_allclose(y[y > 0], 1 / (1 - effective), rtol=1e-6)
    assert abs(effective - 0.1) > detectable_frequency(y.size, 0.1), "too few draws to tell the two apart"


@pytest.mark.parametrize(
    ("rate", "levels"),
    [(0.5, 2**8), (0.25, 2**8), (0.1, 2**16), (0.001, 2**16), (1e-5, 2**32), (0.9999, 2**32), (1 / 256, 2**8)],
)
def test_default_bits_are_as_few_as_represent_the_rate(rate, levels, getkey):
    y = jaxdrop.dropout(getkey(), jnp.ones(100_000, jnp.float32), rate)
    kept = np.unique(np.asarray(y))[-1]
    np.testing.assert_allclose(kept, levels / (levels - round(float(np.float32(rate)) * levels)), rtol=1e-6)
    assert_frequency((y == 0).sum(), y.size, rate)


def test_traced_rates_use_16_bits_or_those_asked_for(getkey):
    key = getkey()
    f = jax.jit(jaxdrop.dropout, static_argnames="bits")
    x = jnp.ones(1000)
    np.testing.assert_array_equal(f(key, x, 0.25), jaxdrop.dropout(key, x, 0.25, bits=16))
    np.testing.assert_array_equal(f(key, x, 0.25, bits=8), jaxdrop.dropout(key, x, 0.25, bits=8))


def test_scales_in_float32_whatever_the_dtype(getkey):
    """1 / 0.9 rounds to 1.1094 in bfloat16, 0.16 % low; over inputs that round both ways the mean must not be."""
    x = jax.random.uniform(getkey(), (1000, 1000), minval=1, maxval=2).astype(jnp.bfloat16)
    y = jaxdrop.dropout(getkey(), x, 0.1).astype(jnp.float32)
    x = x.astype(jnp.float32)
    ratio = float(y.sum() / jnp.where(y == 0, 0, x).sum())
    assert abs(ratio * (1 - 6554 / 65536) - 1) < 1e-4


def test_rate_per_channel(getkey):
    rates = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    y = jaxdrop.dropout(getkey(), jnp.ones((50_000, 5)), rates)
    for channel, rate in enumerate(rates):
        assert_frequency((y[:, channel] == 0).sum(), len(y), rate)
    assert_mean(y[:, :4], np.ones(4))


def test_a_rate_may_vary_over_leading_axes_but_not_over_shared_ones(getkey):
    rates = jnp.asarray([[0.0], [1.0]])
    y = jaxdrop.dropout(getkey(), jnp.ones((2, 9)), rates, broadcast_dims=(1,))
    np.testing.assert_array_equal(y, [[1] * 9, [0] * 9])
    with pytest.raises(ValueError, match=r"rate must be constant along shared axes \(0,\), got shape \(2, 1\)"):
        jaxdrop.dropout(getkey(), jnp.ones((2, 9)), rates, broadcast_dims=(0,))


def test_broadcast_dims_share_one_decision(getkey):
    y = jaxdrop.dropout(getkey(), jnp.ones((40, 5, 6, 50)), 0.5, broadcast_dims=(1, -2))
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1], y.shape))
    assert_frequency((y[:, 0, 0] == 0).sum(), 40 * 50, 0.5)


def test_a_dropped_infinity_is_zero(getkey):
    y = jaxdrop.dropout(getkey(), jnp.full(1000, jnp.inf), 0.5)
    assert set(np.unique(np.asarray(y))) == {0.0, np.inf}


def test_traced_rates_outside_the_interval_are_clipped_and_nan_shows(getkey):
    f = jax.jit(jaxdrop.dropout)
    np.testing.assert_array_equal(f(getkey(), jnp.ones(9), -0.5), 1)
    np.testing.assert_array_equal(f(getkey(), jnp.ones(9), 1.5), 0)
    assert np.isnan(f(getkey(), jnp.ones(9), jnp.nan)).all()


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_traced_rate_of_1_drops_all_at_any_number_of_bits(bits, getkey):
    y = jax.jit(lambda key, rate: jaxdrop.dropout(key, jnp.ones(1000), rate, bits=bits))(getkey(), 1.0)
    np.testing.assert_array_equal(y, 0)


def test_complex_inputs(getkey):
    x = jnp.full(1000, 1 + 2j)
    y = jaxdrop.dropout(getkey(), x, 0.5)
    assert y.dtype == jnp.complex64
    np.testing.assert_array_equal(jnp.where(y == 0, 2 * x, y), 2 * x)


def test_no_key_is_needed_at_static_rates_0_and_1():
    np.testing.assert_array_equal(jaxdrop.dropout(None, jnp.ones(3), 0.0), 1)
    np.testing.assert_array_equal(jaxdrop.dropout(None, jnp.ones(3), 1), 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"broadcast_dims": (2,)}, ValueError, r"broadcast_dims must be axes in \[-2, 2\), got 2"),
        ({"bits": 12}, ValueError, "bits must be None, 8, 16 or 32, got 12"),
        ({"rate": 0.001, "bits": 8}, ValueError, "bits=8 rounds the rate 0.001 to 0"),
        ({"rate": 0.999, "bits": 8}, ValueError, "bits=8 rounds the rate 0.999 to 1"),
        ({"rate": True}, TypeError, r"rate must be a number in \[0, 1\] or an array, got True"),
        ({"rate": "0.5"}, TypeError, "rate must be a number .* got str: '0.5'"),
        ({"x": [1, 2]}, TypeError, "x must be floating point, got dtype int32"),
    ],
    ids=str,
)
def test_refuses_bad_input(arguments, error, message, getkey):
    with pytest.raises(error, match=message):
        jaxdrop.dropout(**{"key": getkey(), "x": jnp.ones((3, 4)), "rate": 0.5, **arguments})
