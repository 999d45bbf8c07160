import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent


@pytest.mark.parametrize(("shape", "axis"), [((40, 5, 50), -2), ((5, 40, 50), 0), ((2, 20, 5, 50), -2)])
def test_a_feature_goes_at_all_steps_or_at_none(shape, axis, getkey):
    y = np.moveaxis(np.asarray(jaxdrop.locked_dropout(getkey(), jnp.ones(shape), 0.3, time_axis=axis)), axis, 0)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:1], y.shape))
    assert_frequency((y[0] == 0).sum(), y[0].size, 0.3)
    rows = y[0].reshape(-1, shape[-1]) == 0
    assert_independent(rows[1:], rows[:-1])  # of other sequences


def test_is_dropout_with_a_shared_axis(getkey):
    key, x = getkey(), jax.random.normal(getkey(), (3, 5, 7))
    expected = jaxdrop.dropout(clone(key), x, 0.3, broadcast_dims=(1,))
    np.testing.assert_array_equal(jaxdrop.locked_dropout(clone(key), x, 0.3), expected)
    time_major = jaxdrop.linen.LockedDropout(0.3, time_axis=0)
    y = time_major.apply({}, x, deterministic=False, rng=clone(key))
    np.testing.assert_array_equal(y, jaxdrop.dropout(clone(key), x, 0.3, broadcast_dims=(0,)))
    time_major = jaxdrop.nnx.LockedDropout(0.3, time_axis=0)
    np.testing.assert_array_equal(time_major(x, rngs=key), y)


def test_refuses_an_axis_that_is_not_there(getkey):
    with pytest.raises(ValueError, match=r"time_axis .*got .*-2"):
        jaxdrop.locked_dropout(getkey(), jnp.ones(3), 0.3)
    with pytest.raises(ValueError, match="rate must be constant along shared axes"):
        jaxdrop.locked_dropout(getkey(), jnp.ones((2, 3, 4)), jnp.full((3, 1), 0.3))  # another rate at each step
