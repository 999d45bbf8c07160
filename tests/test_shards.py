"""What a loop carries under jax.shard_map has the type in the beginning that it has in the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone
from jax.sharding import PartitionSpec as P

import jaxdrop
from jaxdrop._shards import varying_with
from jaxdrop.metrics import fit_temperature

mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)


def test_differs_along_the_axes_of_all_others(getkey):
    def shard(key, x, y):
        def axes(*values):
            return set(jax.typeof(varying_with(*values)).manual_axis_type.varying)

        assert axes(jnp.zeros(2), key) == set()
        assert axes(jnp.zeros(2), key, x) == {"a"}
        assert axes(x, x, y, jax.eval_shape(jnp.sin, y)) == {"a", "b"}
        return varying_with(x, y)

    specs = (P(), P("a"), P("b"))
    y = jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=P("a", "b"))(getkey(), jnp.ones((8, 1)), jnp.ones(4))
    np.testing.assert_array_equal(y, np.ones((8, 2)))


def test_nothing_changes_elsewhere(getkey):
    program = jax.make_jaxpr(lambda key, x: varying_with(jnp.zeros(3), key, x))(getkey(), jnp.ones(2))
    assert [str(equation.primitive) for equation in program.eqns] == ["broadcast_in_dim"]


LABELS, KERNELS = jnp.array([0, 2]), jnp.ones((3, 3, 3, 2))
LOOPS = {
    "fit_temperature": lambda key, x: fit_temperature(x[:, 0, 0], LABELS)[None],
    "drop_connect_dense": lambda key, x: jaxdrop.drop_connect_dense(key, x, KERNELS[0, 0], 0.3),
    "drop_connect_conv": lambda key, x: jaxdrop.drop_connect_conv(key, x, KERNELS, 0.3),
    "monte_carlo": lambda key, x: jaxdrop.monte_carlo(lambda key: jaxdrop.dropout(key, x, 0.3), key, 5).mean,
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_run_in_each_shard_as_they_do_alone(name, getkey):
    key, x = getkey(), jax.random.normal(getkey(), (8, 4, 4, 3))
    loop = LOOPS[name]
    shard = jax.shard_map(loop, mesh=mesh, in_specs=(P(), P("a")), out_specs=P("a"))
    whole = jnp.concatenate([jax.jit(loop)(clone(key), part) for part in jnp.split(x, 4)])
    np.testing.assert_allclose(jax.jit(shard)(clone(key), x), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["drop_connect_dense", "drop_connect_conv", "monte_carlo"])
def test_loops_take_keys_that_differ_between_shards(name, getkey):
    def shard(key):
        return LOOPS[name](jax.random.fold_in(key, jax.lax.axis_index("a")), jnp.ones((1, 4, 4, 3)))

    y = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=P(), out_specs=P("a")))(getkey())
    assert len(np.unique(y, axis=0)) == 4
