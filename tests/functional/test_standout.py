import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from tests.statistical import assert_frequency, assert_independent, assert_mean


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, np.float64)))


@pytest.fixture(scope="module")
def x():
    return 1 + jax.random.uniform(jax.random.key(17), (16, 6, 8))


@pytest.fixture(scope="module")
def logits():
    return 2 * jax.random.normal(jax.random.key(18), (16, 6, 8))


# The paper's formula.


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.5, -1.0), (-2, 1), (0.0, 2.0)])
def test_each_unit_is_kept_with_its_own_probability(alpha, beta, getkey):
    logits = jnp.asarray([-7.0, -2.0, -0.3, 0.0, 1.0, 3.0])
    y = jaxdrop.standout(getkey(), jnp.ones((100_000, 6)), logits, alpha=alpha, beta=beta)
    assert set(np.unique(y)) == {0.0, 1.0}
    for unit, keep in enumerate(sigmoid(alpha * np.asarray(logits) + beta)):
        assert_frequency(y[:, unit].sum(), len(y), keep)


def test_units_and_examples_are_independent(getkey):
    y = np.asarray(jaxdrop.standout(getkey(), jnp.ones((500, 500)), jnp.asarray(0.4)) != 0)
    assert_independent(y[1:], y[:-1])
    assert_independent(y[:, 1:], y[:, :-1])


def test_survivors_are_left_as_they_are_and_the_expectation_is_the_mean(x, logits, getkey):
    y = jax.vmap(lambda key: jaxdrop.standout(key, x, logits, alpha=0.7, beta=0.2))(jax.random.split(getkey(), 4000))
    np.testing.assert_array_equal(y, np.where(y == 0, 0, x))
    keep = sigmoid(0.7 * np.asarray(logits) + 0.2)
    expectation = jaxdrop.standout_expectation(x, logits, alpha=0.7, beta=0.2)
    np.testing.assert_allclose(expectation, keep * np.asarray(x), rtol=1e-6)
    assert_mean(y, expectation, standard_deviation=np.asarray(x) * np.sqrt(keep * (1 - keep)))


@pytest.mark.parametrize("beta", [-1.5, 0.0, 0.3, 20.0, 200.0, -200.0])
def test_is_standard_dropout_where_the_belief_is_constant(beta, x, getkey):
    key = getkey()
    y = jaxdrop.standout(key, x, jnp.zeros(8), beta=beta)
    np.testing.assert_array_equal(y, jaxdrop.standard_dropout(key, x, jax.nn.sigmoid(jnp.asarray(-beta)), bits=16))
    np.testing.assert_array_equal(y, jaxdrop.standout(key, x, jnp.full(8, 7.0), alpha=0.0, beta=beta))


def test_rare_events_keep_their_probability_in_32_bits(getkey):
    """16 bits would round sigmoid(-12) = 6.1e-6 to 0 on either side."""
    y = jaxdrop.standout(getkey(), jnp.ones((2, 4_000_000)), jnp.asarray([[-12.0], [12.0]]), bits=32)
    assert_frequency(y[0].sum(), 4_000_000, sigmoid(-12))
    assert_frequency((y[1] == 0).sum(), 4_000_000, sigmoid(-12))
    assert not jaxdrop.standout(getkey(), jnp.ones(4_000_000), jnp.asarray(-12.0)).any()


@pytest.mark.parametrize("straight_through", [False, True])
def test_infinite_and_nan_logits(straight_through, getkey):
    def output(x, logits):
        return jaxdrop.standout(getkey(), x, logits, straight_through=straight_through)

    logits = jnp.asarray([-jnp.inf, jnp.inf, jnp.nan, -1e30, 1e30])
    y, pullback = jax.vjp(output, jnp.full((50, 5), 3.0), logits)
    np.testing.assert_array_equal(y, np.broadcast_to([0, 3, np.nan, 0, 3], (50, 5)))
    finite = np.asarray([0, 1, 3, 4])
    for gradient in pullback(jnp.ones_like(y)):
        assert np.isfinite(gradient[..., finite]).all()
    y = jaxdrop.standout_expectation(jnp.full(5, 3.0), logits)
    np.testing.assert_array_equal(y, [0, 3, np.nan, 0, 3])
    y = jaxdrop.standout(getkey(), jnp.full(100, jnp.inf), jnp.zeros(100), straight_through=straight_through)
    assert set(np.unique(y)) == {0.0, np.inf}


# Gradients.


def test_without_straight_through_only_the_activations_have_a_gradient(x, logits, getkey):
    key = getkey()

    def loss(x, logits, alpha, beta):
        return jaxdrop.standout(key, x, logits, alpha=alpha, beta=beta).sum()

    gradients = jax.grad(loss, (0, 1, 2, 3))(x, logits, 0.7, 0.2)
    np.testing.assert_array_equal(gradients[0], jaxdrop.standout(key, x, logits, alpha=0.7, beta=0.2) != 0)
    for gradient in gradients[1:]:
        np.testing.assert_array_equal(gradient, 0)


def linear(f, x, logits, weights, dtype):
    """Gradients in logits, alpha and beta of an output that is linear in the method's."""

    def loss(logits, alpha, beta):
        return (weights.astype(dtype) * f(x.astype(dtype), logits.astype(dtype), alpha=alpha, beta=beta)).sum()

    return jax.jit(jax.grad(loss, (0, 1, 2)))(logits, jnp.asarray(0.7), jnp.asarray(0.2))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_straight_through_gives_the_belief_exactly_the_gradient_of_the_expectation(dtype, x, logits, getkey):
    weights = jax.random.normal(getkey(), x.shape)
    noisy = functools.partial(jaxdrop.standout, getkey(), straight_through=True)
    noisy_gradients = linear(noisy, x, logits, weights, dtype)
    expected = linear(jaxdrop.standout_expectation, x, logits, weights, dtype)
    np.testing.assert_array_equal(noisy_gradients[0], expected[0])
    assert np.abs(expected[0]).min() > 0
    for noisy_gradient, gradient in zip(noisy_gradients[1:], expected[1:], strict=True):
        np.testing.assert_allclose(noisy_gradient, gradient, rtol=1e-5)  # sums, in another order


def test_straight_through_changes_neither_the_output_nor_the_gradient_of_the_activations(x, logits, getkey):
    key = getkey()
    both = [
        jax.value_and_grad(lambda x, on=on: jaxdrop.standout(key, x, logits, straight_through=on).sum())(x)
        for on in (False, True)
    ]
    np.testing.assert_array_equal(*(value for value, _ in both))
    np.testing.assert_array_equal(*(gradient for _, gradient in both))
    (y, tangent) = jax.jvp(lambda x: jaxdrop.standout(key, x, logits, straight_through=True), (x,), (2 * x,))
    np.testing.assert_array_equal(tangent, 2 * y)


@pytest.mark.thorough
def test_derivatives_under_checkpoint_vmap_and_twice(getkey):
    key, x, logits = getkey(), jnp.asarray([1.5, 2.0, 3.0]), jnp.asarray([-0.5, 0.1, 0.9])
    f = functools.partial(jaxdrop.standout, straight_through=True)
    gradient = jax.grad(lambda x, logits: (f(key, x, logits) ** 2).sum(), (0, 1))
    plain = gradient(x, logits)
    mask = np.asarray(f(key, x, logits) != 0)
    keep = sigmoid(logits)
    np.testing.assert_allclose(plain[0], 2 * np.where(mask, x, 0), rtol=1e-6)
    np.testing.assert_allclose(plain[1], 2 * np.where(mask, x, 0) * x * keep * (1 - keep), rtol=1e-5)
    again = jax.grad(lambda x, logits: (jax.checkpoint(f)(key, x, logits) ** 2).sum(), (0, 1))(x, logits)
    batched = jax.vmap(gradient)(jnp.stack([x + 1, x]), jnp.stack([logits, logits]))
    for other in (again, jax.tree.map(lambda g: g[1], batched)):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), other, plain)
    second = jax.jacfwd(jax.grad(lambda logits: f(key, x, logits).sum()))(logits)
    np.testing.assert_allclose(second, np.diag(x * keep * (1 - keep) * (1 - 2 * keep)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("straight_through", [False, True])
def test_the_backward_pass_holds_no_mask(straight_through, x, logits, getkey):
    """It holds inputs: the logits, to draw the mask again, and the activations where they scale a gradient."""
    options = {"straight_through": straight_through}
    _, pullback = jax.vjp(lambda x, logits: jaxdrop.standout(getkey(), x, logits, **options), x, logits)
    held = [leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= x.size]
    inputs = [np.asarray(x), np.asarray(logits)]
    assert len(held) == 1 + straight_through
    for leaf in held:
        assert any(np.array_equal(leaf, array) for array in inputs)


# The promises of the design.


def test_same_noise_eager_jit_and_in_any_vmap_chunk(x, logits, getkey):
    keys = jax.random.split(getkey(), 3)
    f = functools.partial(jaxdrop.standout, alpha=0.7)
    one_by_one = jnp.stack([f(key, x, logits) for key in keys])
    np.testing.assert_array_equal(one_by_one, jnp.stack([jax.jit(f)(key, x, logits) for key in keys]))
    np.testing.assert_array_equal(one_by_one[1:], jax.vmap(f, (0, None, None))(keys[1:], x, logits))
    assert len(np.unique(one_by_one, axis=0)) == 3


@pytest.mark.parametrize("spec", [P("a"), P(None, None, "a")], ids=str)
def test_same_noise_on_any_sharding(spec, x, logits, getkey):
    key = getkey()
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put((x, logits), NamedSharding(mesh, spec))
    f = jax.jit(jaxdrop.standout)
    y = f(key, *sharded)
    np.testing.assert_array_equal(y, jaxdrop.standout(key, x, logits))
    assert y.sharding.is_equivalent_to(sharded[0].sharding, x.ndim)
    assert "all-gather" not in f.lower(key, *sharded).compile().as_text()


def test_compiles_once_for_all_traced_parameters(x, logits, getkey):
    key = getkey()
    f = jax.jit(lambda alpha, beta: jaxdrop.standout(key, x, logits, alpha=alpha, beta=beta))
    for alpha, beta in ((1.0, 0.0), (0.0, -3.0), (2.0, 5.0)):
        np.testing.assert_array_equal(f(alpha, beta), jaxdrop.standout(key, x, logits, alpha=alpha, beta=beta))
    assert f._cache_size() == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64"])
def test_dtype_is_kept_and_the_belief_is_computed_in_float32_or_more(dtype, logits, getkey):
    """In bfloat16, alpha * logits + beta with alpha = 0.7 would be off by 0.1 %, and the probability with it."""
    with jax.enable_x64(dtype == "float64"):
        low = logits.astype("float32" if dtype == "complex64" else dtype)
        x = jnp.ones(logits.shape, dtype)
        keep = sigmoid(0.7 * np.asarray(low, np.float64) + 0.3)
        key = getkey()
        y = jaxdrop.standout(clone(key), x, low, alpha=0.7, beta=0.3)
        assert y.dtype == dtype
        rates = jnp.asarray(1 - keep, jnp.float32)
        other = jaxdrop.standard_dropout(clone(key), jnp.ones(logits.shape), rates, bits=16)
        # The one draw that a last bit of the probability decides is one in 10 million.
        np.testing.assert_array_equal(np.asarray(y) != 0, np.asarray(other) != 0)
        expectation = jaxdrop.standout_expectation(x, low, alpha=0.7, beta=0.3)
        assert expectation.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(expectation).astype(np.complex128),
            keep,
            rtol=1e-12 if dtype == "float64" else max(1e-6, jnp.finfo(dtype).eps / 2),
        )


def test_uses_its_key_once(x, logits, getkey):
    with jax.debug_key_reuse(True):
        f = functools.partial(jaxdrop.standout, straight_through=True)
        jax.jit(jax.grad(lambda x, key: f(key, x, logits).sum()))(x, getkey())
        key = getkey()
        f(key, x, logits)
        with pytest.raises(jax.errors.KeyReuseError):
            f(key, x, logits)


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (TypeError, "x must be floating point, got dtype int32", (jnp.ones(3, int), jnp.ones(3)), {}),
        (TypeError, "logits must be floating point, got dtype int32", (jnp.ones(3), jnp.ones(3, int)), {}),
        (TypeError, "logits must be real, got dtype complex64", (jnp.ones(3), jnp.ones(3, "complex64")), {}),
        (ValueError, r"logits must broadcast against the shape \(3,\)", (jnp.ones(3), jnp.ones(2)), {}),
        (ValueError, r"logits must broadcast against the shape \(1, 3\)", (jnp.ones((1, 3)), jnp.ones((2, 3))), {}),
        (ValueError, r"alpha must broadcast .* got shape \(2,\)", (jnp.ones(3), jnp.ones(3)), {"alpha": jnp.ones(2)}),
        (ValueError, r"beta must broadcast .* got shape \(2,\)", (jnp.ones(3), jnp.ones(3)), {"beta": jnp.ones(2)}),
        (ValueError, "alpha must be finite, got nan", (jnp.ones(3), jnp.ones(3)), {"alpha": float("nan")}),
        (ValueError, "beta must be finite, got inf", (jnp.ones(3), jnp.ones(3)), {"beta": float("inf")}),
        (TypeError, "beta must be a number or an array, got 'a'", (jnp.ones(3), jnp.ones(3)), {"beta": "a"}),
    ],
)
def test_refuses_bad_input(error, message, arguments, options, getkey):
    with pytest.raises(error, match=message):
        jaxdrop.standout(getkey(), *arguments, **options)
    with pytest.raises(error, match=message):
        jaxdrop.standout_expectation(*arguments, **options)


def test_refuses_bad_bits_and_what_is_not_a_key(getkey):
    with pytest.raises(ValueError, match="bits must be None, 8, 16 or 32, got 5"):
        jaxdrop.standout(getkey(), jnp.ones(3), jnp.ones(3), bits=5)
    for key in (None, 0, jax.random.split(getkey(), 2)):
        with pytest.raises(TypeError, match="key must be one PRNG key"):
            jaxdrop.standout(key, jnp.ones(3), jnp.ones(3))


# The modules.


class LinenNet(nn.Module):
    free: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, x):
        h = nn.Dense(20)(x)
        belief = nn.Dense(20, name="belief")(x) if self.free else h
        return jaxdrop.linen.Standout(alpha=0.5, beta=0.2, straight_through=self.free)(
            nn.sigmoid(h), belief, not self.train
        )


class NnxNet(nnx.Module):
    def __init__(self, free, rngs):
        self.dense = nnx.Linear(4, 20, rngs=rngs)
        self.belief = nnx.Linear(4, 20, rngs=rngs) if free else self.dense
        self.standout = jaxdrop.nnx.Standout(alpha=0.5, beta=0.2, straight_through=free, rngs=rngs)

    def __call__(self, x, **options):
        return self.standout(nnx.sigmoid(self.dense(x)), self.belief(x), **options)


@pytest.mark.thorough
@pytest.mark.parametrize("free", [False, True], ids=["tied", "free"])
def test_linen_module(free, getkey):
    inputs, key = jax.random.normal(getkey(), (3, 4)), getkey()
    variables = LinenNet(free).init(getkey(), inputs)
    params = variables["params"]
    assert len(jax.tree.leaves(variables)) == (4 if free else 2)
    h = nn.Dense(20).apply({"params": params["Dense_0"]}, inputs)
    belief = nn.Dense(20).apply({"params": params["belief"]}, inputs) if free else h
    without = LinenNet(free).apply(variables, inputs)
    np.testing.assert_allclose(without, sigmoid(0.5 * belief + 0.2) * sigmoid(h), rtol=1e-5)

    options = {"alpha": 0.5, "beta": 0.2, "straight_through": free, "bits": 8}
    layer = jaxdrop.linen.Standout(**options, deterministic=False)
    np.testing.assert_array_equal(
        layer.apply({}, nn.sigmoid(h), belief, rng=key), jaxdrop.standout(key, nn.sigmoid(h), belief, **options)
    )
    with pytest.raises(ValueError, match="deterministic"):
        jaxdrop.linen.Standout().apply({}, h, h, rng=key)

    def loss(variables):
        return (LinenNet(free, train=True).apply(variables, inputs, rngs={"dropout": key}) ** 2).sum()

    gradients = jax.tree.leaves(jax.jit(jax.grad(loss))(variables))
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    sample = jaxdrop.linen.sampler(LinenNet(free), variables, inputs)
    assert np.all(jaxdrop.monte_carlo(sample, getkey(), 300).variance > 0)


@pytest.mark.thorough
@pytest.mark.parametrize("free", [False, True], ids=["tied", "free"])
def test_nnx_module(free, getkey):
    inputs, key = jax.random.normal(getkey(), (3, 4)), getkey()
    model = NnxNet(free, nnx.Rngs(0))
    h, belief = model.dense(inputs), model.belief(inputs)
    options = {"alpha": 0.5, "beta": 0.2, "straight_through": free}
    np.testing.assert_array_equal(model(inputs, rngs=key), jaxdrop.standout(key, nnx.sigmoid(h), belief, **options))
    gradients = nnx.jit(nnx.grad(lambda model: (model(inputs) ** 2).sum()))(model)
    assert all(np.abs(gradient).max() > 0 for gradient in jax.tree.leaves(nnx.state(gradients, nnx.Param)))
    model.eval()
    without = sigmoid(0.5 * belief + 0.2) * sigmoid(h)
    np.testing.assert_allclose(model(inputs), without, rtol=1e-5)
    sample = jaxdrop.nnx.sampler(model, inputs, deterministic=True)
    assert np.all(jaxdrop.monte_carlo(sample, getkey(), 300).variance > 0)
    eight_bits = jaxdrop.nnx.Standout(bits=8)(jnp.ones(300), jnp.linspace(-3.0, 3.0, 300), rngs=key)
    np.testing.assert_array_equal(
        eight_bits, jaxdrop.standout(key, jnp.ones(300), jnp.linspace(-3.0, 3.0, 300), bits=8)
    )


def test_free_parameters_learn_through_straight_through_only(getkey):
    """Half of the units are noise to the target, so a belief network learns to drop them."""
    inputs = jax.random.normal(getkey(), (256, 2))
    signal = jnp.stack([inputs[:, 0], inputs[:, 0], inputs[:, 1], inputs[:, 1]], axis=1)

    def trained(straight_through):
        def loss(logits, key):
            y = jaxdrop.standout(key, signal, logits, straight_through=straight_through)
            return jnp.mean((y.sum(1) - 2 * inputs[:, 0]) ** 2)

        def step(logits, key):
            return logits - jax.grad(loss)(logits, key), None

        return jax.lax.scan(step, jnp.zeros(4), jax.random.split(getkey(), 200))[0]

    np.testing.assert_array_equal(trained(False), 0)
    logits = np.asarray(trained(True))
    assert logits[:2].min() > 1
    assert logits[2:].max() < -1
