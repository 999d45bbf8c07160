import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxdrop

LIMIT = 1.5
SHAPES = {"dense": (20, 8), "convolution": (3, 3, 4, 8)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_dtype = pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__)


def draw(seed, shape, dtype=np.float32, scale=1.0):
    """Columns with norms from far within the limit to far outside."""
    draws = np.random.default_rng(seed).normal(size=shape)
    draws = draws / np.linalg.norm(draws.reshape(-1, shape[-1]), axis=0)
    return jnp.asarray(draws * LIMIT * scale * np.linspace(0.2, 3, shape[-1]), dtype)


def apply(kernel, update, limit=LIMIT):
    optimizer = jaxdrop.max_norm(limit)
    params, updates = {"kernel": kernel}, {"kernel": update}
    updates, _ = jax.jit(optimizer.update)(updates, optimizer.init(params), params)
    return optax.apply_updates(params, updates)["kernel"]


def norms(kernel):
    kernel = np.asarray(kernel, np.float64)
    return np.sqrt(np.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))


def closed_form(kernel, update):
    moved = np.asarray(kernel, np.float64) + np.asarray(update, np.float64)
    return moved * np.minimum(1, LIMIT / np.maximum(norms(moved), 1e-300))


@each_shape
@each_dtype
def test_is_the_closed_form(shape, dtype):
    kernel, update = draw(0, shape, dtype), draw(1, shape, dtype)
    eps = float(jnp.finfo(dtype).eps)
    # Half an eps each of the sum, the correction and the result; one of the correction where it is rounded inwards.
    bound = eps * 3 * np.abs(np.asarray(kernel, np.float64)).max()
    np.testing.assert_allclose(np.asarray(apply(kernel, update), np.float64), closed_form(kernel, update), atol=bound)


@each_shape
@each_dtype
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_norms_do_not_exceed_the_limit(shape, dtype, scale):
    kernel, update = draw(0, shape, dtype, scale), draw(1, shape, dtype, 1 / 8)
    after = norms(apply(kernel, update))
    assert after.max() <= LIMIT * (1 + float(jnp.finfo(dtype).eps))
    assert after.max() > 0.9 * LIMIT or scale > 1  # far outside, a low precision has no weights near the sphere


@each_shape
@each_dtype
def test_kernels_within_the_limit_keep_their_update_bit_for_bit(shape, dtype):
    kernel, update = draw(0, shape, dtype), draw(1, shape, dtype)
    moved = kernel + update
    within = norms(moved) < 0.99 * LIMIT
    assert 0 < within.sum() < 8
    np.testing.assert_array_equal(apply(kernel, update)[..., within], moved[..., within])


def test_is_the_closest_point_within_the_limit():
    kernel = draw(0, (5, 8))
    projected = np.asarray(apply(kernel, jnp.zeros_like(kernel)), np.float64)
    kernel = np.asarray(kernel, np.float64)
    directions = np.random.default_rng(1).normal(size=(2000, 5, 8))
    for radius in (1e-3, 0.1, 1.0):
        others = projected + radius * directions
        others /= np.maximum(1, np.linalg.norm(others, axis=1, keepdims=True) / LIMIT)
        assert np.all(np.linalg.norm(others - kernel, axis=1) >= norms(projected - kernel) - 1e-5)
        # What a projection onto a convex set is: <w - P(w), v - P(w)> <= 0 for all v in the set.
        inner = np.einsum("ij,sij->sj", kernel - projected, others - projected)
        assert inner.max() <= 1e-5


@each_shape
@each_dtype
def test_is_idempotent(shape, dtype):
    kernel = draw(0, shape, dtype)
    once = apply(kernel, jnp.zeros_like(kernel))
    twice = apply(once, jnp.zeros_like(kernel))
    np.testing.assert_array_equal(twice, once)


@pytest.mark.thorough
@each_dtype
def test_zero_kernels_stay_zero(dtype):
    zeros = jnp.zeros((4, 3), dtype)
    with jax.debug_nans(True), jax.disable_jit():  # sees the NaN of a branch that is not taken, too
        np.testing.assert_array_equal(apply(zeros, zeros), zeros)


def test_zero_entries_and_updates_of_a_coarser_dtype_give_no_nan():
    kernel = jnp.array([[1000.1, 0.0], [0.0, 0.0], [1.7, 0.0]])
    update = jnp.array([[0.0, 0.0], [0.0, 0.0], [-1.7, 0.0]], jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):
        assert jnp.isfinite(apply(kernel, update)).all()


def test_leaves_everything_but_kernels_alone():
    params = {
        "Dense_0": {"kernel": draw(0, (4, 3)), "bias": jnp.full(3, 9.0)},
        "Embed_0": {"embedding": draw(0, (4, 3))},
    }
    updates = jax.tree.map(jnp.ones_like, params)
    optimizer = jaxdrop.max_norm(LIMIT)
    constrained, _ = jax.jit(optimizer.update)(updates, optimizer.init(params), params)
    equal = jax.tree.map(lambda old, new: bool(jnp.array_equal(old, new)), updates, constrained)
    assert equal == {"Dense_0": {"kernel": False, "bias": True}, "Embed_0": {"embedding": True}}


def test_takes_a_predicate_on_the_path():
    params = {"first": {"kernel": draw(0, (4, 3))}, "layers": [{"kernel": draw(0, (4, 3))}]}
    paths = []
    optimizer = jaxdrop.max_norm(LIMIT, kernels=lambda path: paths.append(path) or path[0] == "layers")
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert set(paths) == {("first", "kernel"), ("layers", "0", "kernel")}
    assert not updates["first"]["kernel"].any()
    assert updates["layers"][0]["kernel"].any()


def test_skips_updates_of_none():
    optimizer = jaxdrop.max_norm(LIMIT)
    params = {"kernel": draw(0, (4, 3)), "frozen": None}
    updates, _ = optimizer.update({"kernel": draw(0, (4, 3)), "frozen": None}, optimizer.init(params), params)
    assert updates["frozen"] is None


def test_constrains_linen_in_training(getkey):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.Conv(4, (3, 3))(x).reshape(len(x), -1))

    x, model = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5, 5, 2)), jnp.float32), Model()
    params = jax.jit(model.init)(getkey(), x)
    optimizer = optax.chain(optax.sgd(0.5), jaxdrop.max_norm(LIMIT))

    @jax.jit
    def train_step(params, state):
        grads = jax.grad(lambda params: -jnp.square(model.apply(params, x)).sum())(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(5):
        params, state = train_step(params, state)
        for layer in params["params"].values():
            # This loss pushes outwards, so that the constraint is active.
            np.testing.assert_allclose(norms(layer["kernel"]), LIMIT, rtol=1e-6)
    assert norms(params["params"]["Dense_0"]["bias"][:, None]) > LIMIT


def test_constrains_nnx_in_training():
    model = nnx.Linear(6, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.chain(optax.sgd(0.5), jaxdrop.max_norm(LIMIT)), wrt=nnx.Param)

    @nnx.jit
    def train_step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: -jnp.square(model(jnp.ones((2, 6)))).sum())(model))

    for _ in range(5):
        train_step(model, optimizer)
    np.testing.assert_allclose(norms(model.kernel[...]), LIMIT, rtol=1e-6)
    assert norms(model.bias[...][:, None]) > LIMIT


def test_takes_an_nnx_state():
    state = nnx.state(nnx.Linear(6, 3, rngs=nnx.Rngs(0)), nnx.Param)
    optimizer = jaxdrop.max_norm(0.1)
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, state), optimizer.init(state), state)
    np.testing.assert_allclose(norms(optax.apply_updates(state, updates)["kernel"][...]), 0.1, rtol=1e-6)


def test_refuses_to_work_without_params():
    params = {"kernel": jnp.ones((2, 2))}
    optimizer = jaxdrop.max_norm(1.0)
    with pytest.raises(ValueError) as theirs:  # noqa: PT011
        optax.keep_params_nonnegative().update(params, optax.EmptyState(), None)
    with pytest.raises(ValueError) as ours:  # noqa: PT011
        optimizer.update(params, optimizer.init(params))
    assert str(ours.value) == str(theirs.value)


def test_refuses_to_constrain_nothing():
    with pytest.raises(ValueError, match="the number of leaves that kernels selects must be at least 1, got 0"):
        jaxdrop.max_norm(1.0).init({"weight": jnp.ones((2, 2))})


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_limit_that_is_not_positive(limit):
    with pytest.raises(ValueError, match=f"limit must be above 0 and finite, got {limit}"):
        jaxdrop.max_norm(limit)
