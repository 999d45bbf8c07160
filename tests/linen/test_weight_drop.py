import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone

import jaxdrop
from jaxdrop.linen import WeightDrop


def hidden_to_hidden(path):
    return path[-1] == "kernel" and path[-2] in ("hi", "hf", "hg", "ho")


class Net(nn.Module):
    """Modules made in a compact call, so that the parts of a Sequential are not inside it but beside it."""

    wrap: bool

    @nn.compact
    def __call__(self, x, train=False):
        wrapped = lambda module: WeightDrop(module, 0.5, deterministic=not train) if self.wrap else module  # noqa: E731
        x = wrapped(nn.Dense(6, name="first"))(x)
        dense = [nn.Dense(6), nn.BatchNorm(use_running_average=not train), nn.Dense(6)]
        return wrapped(nn.Sequential(dense))(x)


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(0), (4, 6))


@pytest.fixture(scope="module")
def variables(x):
    return Net(wrap=False).init(jax.random.key(1), x)


def assert_trees_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_parameters_are_those_of_the_plain_model_and_evaluation_its_own(x, variables):
    wrapped = Net(wrap=True)
    assert_trees_equal(wrapped.init(jax.random.key(1), x), variables)
    train = wrapped.init({"params": jax.random.key(1)}, x, train=True)  # takes no key from the stream
    assert_trees_equal(train["params"], variables["params"])
    np.testing.assert_array_equal(wrapped.apply(variables, x), Net(wrap=False).apply(variables, x))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("module", "where"),
    [
        (nn.Dense(5), None),
        (nn.Conv(5, (2,)), None),
        (nn.Sequential([nn.Dense(6), nn.relu, nn.Dense(3)]), None),
        (nn.RNN(nn.LSTMCell(6)), hidden_to_hidden),
        (nn.RNN(nn.OptimizedLSTMCell(6), return_carry=True), hidden_to_hidden),
    ],
    ids=["dense", "conv", "sequential", "lstm", "optimized lstm"],
)
def test_runs_the_module_on_dropped_parameters(module, where, x, getkey):
    """The same for a whole sequence: the cell's parameters do not change in the scan."""
    options = {} if where is None else {"where": where}
    variables, key, inputs = module.init(getkey(), x[None]), getkey(), x[None]
    expected = module.apply({"params": jaxdrop.weight_drop(clone(key), variables["params"], 0.5, **options)}, inputs)
    before = jax.tree.map(np.array, variables)
    given = WeightDrop(module, 0.5, **options).apply(variables, inputs, deterministic=False, rng=clone(key))
    assert_trees_equal(given, expected)
    assert_trees_equal(variables, before)
    plain = module.apply(variables, inputs)
    assert not np.allclose(jax.tree.leaves(given)[-1], jax.tree.leaves(plain)[-1])


class ReturnsItsKey(nn.Module):
    module: nn.Module

    @nn.compact
    def __call__(self, x):
        key = self.make_rng("dropout")
        return self.module(x, deterministic=False, rng=clone(key)), key


def test_kernels_beside_the_module_are_dropped_by_their_own_paths(x, getkey):
    class Inner(nn.Module):
        wrap: bool

        @nn.compact
        def __call__(self, x, **options):
            layers = nn.Sequential([nn.Dense(6), nn.Dense(6)])
            return WeightDrop(layers, 0.5)(x, **options) if self.wrap else layers(x)

    model = ReturnsItsKey(Inner(wrap=True))
    params = Inner(wrap=False).init(getkey(), x)["params"]
    params["Dense_1"] = params["Dense_0"]  # the same values, which must not lead to the same mask
    y, key = model.apply({"params": {"module": params}}, x, rngs={"dropout": getkey()})
    dropped = jaxdrop.weight_drop(key, {"module": params}, 0.5)["module"]
    np.testing.assert_array_equal(y, Inner(wrap=False).apply({"params": dropped}, x))


@pytest.mark.thorough
def test_gradients_are_those_of_the_stored_parameters(x, getkey):
    module, key = nn.Sequential([nn.Dense(6), nn.tanh, nn.Dense(3)]), getkey()
    params = module.init(getkey(), x)["params"]

    def loss(params):
        return jnp.square(module.apply({"params": params}, x)).sum()

    def wrapped(params):
        model = WeightDrop(module, 0.5, deterministic=False)
        return jnp.square(model.apply({"params": params}, x, rng=clone(key))).sum()

    dropped = jaxdrop.weight_drop(clone(key), params, 0.5)
    there = jax.grad(loss)(dropped)
    expected = jax.tree.map(lambda g, d: 2 * jnp.where(d == 0, 0, g) if d.ndim == 2 else g, there, dropped)
    gradient = jax.grad(wrapped)(params)
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6), gradient, expected)


def test_batch_statistics_are_updated(x, variables, getkey):
    y, updates = Net(wrap=True).apply(variables, x, train=True, rngs={"dropout": getkey()}, mutable=["batch_stats"])
    _, plain = Net(wrap=False).apply(variables, x, train=True, mutable=["batch_stats"])
    assert set(updates) == {"batch_stats"}
    old, new = variables["batch_stats"]["BatchNorm_0"]["mean"], updates["batch_stats"]["BatchNorm_0"]["mean"]
    assert not np.allclose(old, new)
    assert not np.allclose(new, plain["batch_stats"]["BatchNorm_0"]["mean"]), "its inputs come from dropped kernels"
    assert np.isfinite(y).all()


@pytest.mark.thorough
def test_under_jit_grad_and_vmap_over_keys(x, variables, getkey):
    model, keys = Net(wrap=True), jax.random.split(getkey(), 3)

    def loss(params, key):
        variables_ = {**variables, "params": params}
        y, _ = model.apply(variables_, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
        return jnp.sum(y**2 + y)

    gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(variables["params"], keys)["first"]["kernel"]
    assert len(np.unique(gradients, axis=0)) == 3
    alone = jax.grad(loss)(variables["params"], keys[1])["first"]["kernel"]
    np.testing.assert_allclose(gradients[1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("remat", ["none", "inside", "outside"])
def test_under_scan_over_layers_and_remat(remat, x, getkey):
    wrapper = nn.remat(WeightDrop) if remat == "outside" else WeightDrop
    dense = nn.remat(nn.Dense) if remat == "inside" else nn.Dense

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, rate):
            layer = dense(6, name="dense", kernel_init=lambda *_: jnp.eye(6))
            return x, wrapper(layer, rate, deterministic=False)(x)

    split = {"params": True, "dropout": True}
    stack = nn.scan(Block, length=3, in_axes=nn.broadcast, variable_axes={"params": 0}, split_rngs=split)()
    variables = stack.init(getkey(), jnp.ones((1, 6)), 0.5)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"dense": {"kernel": (3, 6, 6), "bias": (3, 6)}}}

    def run(params, key):
        return stack.apply({"params": params}, jnp.ones((1, 6)), 0.5, rngs={"dropout": key})[1]

    key = getkey()
    y = run(variables["params"], key)
    assert set(np.unique(y)) == {0, 2}
    assert len(np.unique(y, axis=0)) == 3
    gradient = jax.jit(jax.grad(lambda params: run(params, key).sum()))(variables["params"])
    np.testing.assert_array_equal(jnp.diagonal(gradient["dense"]["kernel"], axis1=1, axis2=2), y[:, 0])


def test_a_wrapped_cell_draws_a_mask_at_each_step_of_a_scan_of_ones_own(x, getkey):
    """Which is why the docstring wraps the `nn.RNN` for AWD-LSTM."""

    class Steps(nn.Module):
        @nn.compact
        def __call__(self, x):
            cell = WeightDrop(nn.Dense(200, use_bias=False, kernel_init=nn.initializers.ones), 0.5, deterministic=False)
            step = nn.scan(
                lambda cell, carry, x: (carry, cell(x)),
                variable_broadcast="params",
                split_rngs={"params": False, "dropout": True},
            )
            return step(cell, (), x)[1]

    variables = Steps().init(getkey(), jnp.ones((3, 1)))
    y = Steps().apply(variables, jnp.ones((3, 1)), rngs={"dropout": getkey()})
    assert len(np.unique(y, axis=0)) == 3
    with pytest.raises(AttributeError, match="num_feature_axes"):
        nn.RNN(WeightDrop(nn.LSTMCell(3), 0.5)).init(getkey(), x[None])


@pytest.mark.thorough
def test_several_rates_by_wrapping_twice_and_children_of_any_name(x, getkey):
    class Module(nn.Module):
        def setup(self):
            self.module = nn.Dense(40, use_bias=False)
            self.other = nn.Dense(40, use_bias=False)

        def __call__(self, x):
            return self.other(self.module(x))

    inner = WeightDrop(Module(), 1.0, lambda path: "other" in path, deterministic=False)
    model = WeightDrop(inner, 0.5, lambda path: "module" in path)
    variables = Module().init(getkey(), x)
    assert_trees_equal(
        jax.tree.map(jnp.shape, model.init(getkey(), x, deterministic=True)), jax.tree.map(jnp.shape, variables)
    )
    np.testing.assert_array_equal(model.apply(variables, x, deterministic=False, rngs={"dropout": getkey()}), 0)


def test_another_method_and_arguments_of_the_module(x, getkey):
    class Module(nn.Module):
        def setup(self):
            self.dense = nn.Dense(3)

        def encode(self, x, scale, *, shift):
            return scale * self.dense(x) + shift

    model = WeightDrop(Module(), 0.5, method="encode")
    variables = model.init(getkey(), x, 2.0, shift=1.0, deterministic=True)
    plain = Module().apply(variables, x, 2.0, shift=1.0, method="encode")
    np.testing.assert_array_equal(model.apply(variables, x, 2.0, shift=1.0, deterministic=True), plain)
    y = model.apply(variables, x, 2.0, shift=1.0, deterministic=False, rngs={"dropout": getkey()})
    assert not np.allclose(y, plain)


@pytest.mark.thorough
def test_the_sampler_switches_it_on_and_leaves_variables_as_they_are(x, variables, getkey):
    before = jax.tree.map(np.array, variables)
    sample = jaxdrop.linen.sampler(Net(wrap=True), variables, x)
    p = jaxdrop.monte_carlo(sample, getkey(), 30)
    assert np.all(p.variance > 0)
    assert_trees_equal(variables, before)


def test_a_traced_rate(x, variables, getkey):
    module, key = nn.Dense(5), getkey()
    variables = module.init(getkey(), x)

    @jax.jit
    def apply(rate):
        return WeightDrop(module, rate).apply(variables, x, deterministic=False, rng=clone(key))

    expected = WeightDrop(module, 0.3).apply(variables, x, deterministic=False, rng=clone(key))
    np.testing.assert_allclose(apply(0.3), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(apply(1.0), 0)


def test_refuses_bad_input(x, getkey):
    module = nn.Dense(5)
    variables, rngs = module.init(getkey(), x), {"dropout": getkey()}
    with pytest.raises(ValueError, match="where must choose at least one leaf, got none of bias, kernel"):
        WeightDrop(module, 0.5, lambda path: False).apply(variables, x, deterministic=False, rngs=rngs)
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        WeightDrop(module, 1.5).apply(variables, x, deterministic=True)
    with pytest.raises(ValueError, match="deterministic"):
        WeightDrop(module, 0.5).apply(variables, x, rngs=rngs)
    with pytest.raises(Exception, match='needs PRNG for "dropout"'):
        WeightDrop(module, 0.5).apply(variables, x, deterministic=False)
