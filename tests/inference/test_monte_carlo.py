import functools
import gc
import weakref

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import stats

import jaxdrop
from jaxdrop.inference.monte_carlo import _default_chunk_size
from tests.statistical import assert_mean


class MLP(nn.Module):
    width: int = 16

    @nn.compact
    def __call__(self, x):
        x = jaxdrop.linen.Dropout(0.3, deterministic=True)(nn.relu(nn.Dense(self.width)(x)))
        return nn.Dense(3)(x)


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (7, 5))


@pytest.fixture(scope="module")
def variables(x):
    return jax.tree.map(lambda leaf: 3 * leaf, MLP().init(jax.random.key(0), x))


@pytest.fixture(scope="module")
def sample(x, variables):
    return jaxdrop.linen.sampler(MLP(), variables, x)


def assert_close(first, second, rtol=1e-5, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), first, second)


def test_statistics_are_those_of_the_samples(sample, getkey):
    key = getkey()
    p = jaxdrop.monte_carlo(sample, key, 37, return_samples=True)
    assert p.samples.shape == (37, 7, 3)
    np.testing.assert_allclose(p.samples[5], sample(jax.random.fold_in(key, 5)), rtol=1e-5, atol=1e-6)
    assert len(np.unique(p.samples, axis=0)) == 37
    np.testing.assert_allclose(p.mean, np.mean(p.samples, 0), rtol=1e-5)
    np.testing.assert_allclose(p.variance, np.var(p.samples, 0), rtol=1e-4)


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_class_statistics_are_those_of_the_samples(outputs, sample, getkey):
    drawn = sample if outputs == "logits" else lambda key: jax.nn.softmax(sample(key))
    # In float32, 97 * (k / 97) is below k for a third of all k.
    p = jaxdrop.monte_carlo(drawn, getkey(), 97, outputs=outputs, return_samples=True)
    probabilities = np.asarray(p.samples, np.float64)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(p.mean, probabilities.mean(0), rtol=1e-5)
    np.testing.assert_allclose(p.variance, probabilities.var(0), rtol=1e-4, atol=1e-7)
    total, aleatoric = stats.entropy(probabilities.mean(0), axis=-1), stats.entropy(probabilities, axis=-1).mean(0)
    np.testing.assert_allclose(p.predictive_entropy, total, rtol=1e-5)
    np.testing.assert_allclose(p.expected_entropy, aleatoric, rtol=1e-5)
    np.testing.assert_allclose(p.mutual_information, total - aleatoric, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(p.votes, (probabilities.argmax(-1)[..., None] == np.arange(3)).sum(0))
    assert p.votes.sum(-1).tolist() == [97] * 7


@pytest.mark.thorough
@pytest.mark.parametrize("outputs", ["values", "logits"])
@pytest.mark.parametrize("chunk_size", [1, 4, 23, 50])
def test_results_do_not_depend_on_the_chunk(outputs, chunk_size, sample, getkey):
    key = getkey()
    run = functools.partial(jaxdrop.monte_carlo, sample, key, 23, outputs=outputs, return_samples=True)
    assert_close(run(chunk_size=chunk_size), run(chunk_size=5))


@pytest.mark.thorough
def test_results_are_the_same_under_jit_and_with_a_progress_bar(sample, getkey, capsys):
    key = getkey()
    run = functools.partial(jaxdrop.monte_carlo, num_samples=23, outputs="logits", chunk_size=5, return_samples=True)
    expected = run(sample, key)
    assert_close(jax.jit(functools.partial(run, progress=True))(sample, key), expected)
    assert_close(jax.jit(lambda sample: run(sample, key, progress=True))(sample), expected)
    assert "23/23" not in capsys.readouterr().err
    assert_close(run(sample, key, progress=True), expected)
    assert "23/23" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize("axis_type", jax.sharding.AxisType)
def test_progress_over_devices_returns_the_same_samples(axis_type, getkey):
    key = getkey()
    mesh = jax.make_mesh((8,), ("samples",), axis_types=(axis_type,))
    run = functools.partial(jaxdrop.monte_carlo, lambda key: jax.random.normal(key, (2,)), key, 60, return_samples=True)
    # On 8 devices a call of 20 becomes one of 24, and its chunks of 12 become 16.
    p = run(chunk_size=20, sharding=NamedSharding(mesh, P("samples")), progress=True)
    assert_close(p, run())


@pytest.mark.thorough
@pytest.mark.parametrize("masks", ["independent", "antithetic", "balanced"])
def test_draws_in_64_bits(masks, getkey):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        x = jnp.ones(1000, jnp.float32)
        p = jaxdrop.monte_carlo(lambda key: jaxdrop.dropout(key, x, 0.5), getkey(), 20, masks=masks)
    assert_mean(np.asarray(p.mean)[:, None], 1, standard_deviation=20**-0.5)


def test_an_average_probability_is_one_whatever_the_first_sample(getkey):
    key = getkey()
    first = jax.random.key_data(jax.random.fold_in(key, 0))

    def sample(key):
        p = jnp.where((jax.random.key_data(key) == first).all(), 0.9, 0.0)
        return jnp.stack([p, 1 - p])[None]

    p = jaxdrop.monte_carlo(sample, key, 20_000, outputs="probabilities", num_blocks=1, chunk_size=1)
    assert ((p.mean >= 0) & (p.mean <= 1)).all()
    assert (p.predictive_entropy >= 0).all()


@pytest.mark.thorough
def test_results_do_not_depend_on_how_the_batch_is_sharded(variables, getkey):
    x, key = jax.random.normal(getkey(), (16, 5)), getkey()
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, P("batch")))
    p, q = (
        jaxdrop.monte_carlo(jaxdrop.linen.sampler(MLP(), variables, x), key, 20, outputs="logits") for x in (x, sharded)
    )
    assert_close(p, q)
    assert len(q.mean.sharding.device_set) == 8


@pytest.mark.thorough
def test_a_batch_on_a_mesh_of_explicit_axes(variables, getkey):
    x, key = jax.random.normal(getkey(), (16, 5)), getkey()

    def run(x):
        return jaxdrop.monte_carlo(jaxdrop.linen.sampler(MLP(), variables, x), key, 20, outputs="logits")

    mesh = jax.make_mesh((8,), ("batch",))
    with jax.set_mesh(mesh):
        q = jax.sharding.auto_axes(run, out_sharding=P())(jax.device_put(x, NamedSharding(mesh, P("batch"))))
    assert_close(q, run(x))


def test_what_is_no_key_is_refused(sample):
    with pytest.raises(TypeError, match="key must be one PRNG key"):
        jaxdrop.monte_carlo(sample, jax.random.split(jax.random.key(0)))


@pytest.mark.thorough
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "philox4x32", "legacy"])
def test_keys_of_any_implementation(impl, sample):
    key = jax.random.PRNGKey(3) if impl == "legacy" else jax.random.key(3, impl=impl)
    p, q = (jaxdrop.monte_carlo(sample, key, 12, chunk_size=c, return_samples=True) for c in (1, 5))
    assert_close(p, q)
    assert len(np.unique(p.samples, axis=0)) == 12


@pytest.mark.thorough
def test_unsafe_keys_are_promised_for_chunks_of_one_only(sample):
    """jax.random.fold_in, by which linen derives a layer's key, does not treat them one by one under vmap."""
    key = jax.random.key(3, impl="unsafe_rbg")
    p = jaxdrop.monte_carlo(sample, key, 12, chunk_size=1, return_samples=True)
    assert len(np.unique(p.samples, axis=0)) == 12
    np.testing.assert_allclose(p.samples[5], sample(jax.random.fold_in(key, 5)), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_other_inputs_of_the_same_shape_do_not_compile_again(x, variables, getkey):
    traced = []

    class Counted(MLP):
        def __call__(self, x):
            traced.append(x)
            return super().__call__(x)

    def run(model, x):
        jaxdrop.monte_carlo(jaxdrop.linen.sampler(model, variables, x), getkey(), 11, outputs="logits")

    run(Counted(), x)
    before = len(traced)
    run(Counted(), x + 1)
    run(Counted(), 2 * x)
    assert len(traced) == before > 0


@pytest.mark.thorough
def test_any_pytree_and_dtype_of_outputs(getkey):
    def sample(key):
        y = jaxdrop.dropout(key, jnp.ones(4), 0.5)
        return {"half": y.astype(jnp.bfloat16), "count": (y > 0).sum(), "nested": (y, jnp.zeros(()))}

    p = jaxdrop.monte_carlo(sample, getkey(), 500, return_samples=True)
    assert p.mean["half"].dtype == jnp.float32
    assert p.samples["count"].shape == (500,)
    assert_mean(p.samples["count"], 2.0)
    np.testing.assert_allclose(p.mean["count"], np.mean(p.samples["count"]), rtol=1e-5)
    assert p.variance["nested"][1] == 0


def test_refuses_complex_outputs(getkey):
    with pytest.raises(TypeError, match="sample must give real outputs, got dtype complex64"):
        jaxdrop.monte_carlo(lambda key: jax.random.normal(key, (2,), jnp.complex64), getkey(), 2)


def test_one_sample(sample, getkey):
    p = jaxdrop.monte_carlo(sample, getkey(), 1, outputs="logits")
    assert np.all(p.variance == 0)
    np.testing.assert_allclose(p.mutual_information, 0, atol=1e-6)


def test_a_large_mean_does_not_drown_the_variance(getkey):
    p = jaxdrop.monte_carlo(lambda key: 1e4 + jaxdrop.dropout(key, jnp.ones(50), 0.5), getkey(), 4000, chunk_size=7)
    np.testing.assert_allclose(p.variance, 1, atol=0.02)


def test_certain_classes_have_no_entropy(getkey):
    def sample(key):
        return jnp.zeros((2, 3)).at[:, 1].set(1) + 0 * jax.random.uniform(key)

    p = jaxdrop.monte_carlo(sample, getkey(), 10, outputs="probabilities")
    for value in (p.predictive_entropy, p.expected_entropy, p.mutual_information):
        np.testing.assert_array_equal(value, 0)


@pytest.mark.thorough
def test_information_is_not_negative_where_rounding_is_all_there_is(getkey):
    means = jax.random.normal(getkey(), (500, 5))

    def sample(key):
        return means + 1e-5 * jax.random.normal(key, means.shape)

    p = jaxdrop.monte_carlo(sample, getkey(), 10, outputs="logits")
    assert (p.mutual_information >= 0).all()
    assert (p.variance >= 0).all()


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_number_of_samples(sample, getkey):
    def temporary(num_samples):
        lowered = jax.jit(lambda s, key: jaxdrop.monte_carlo(s, key, num_samples)).lower(sample, getkey())
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary(320_000) == temporary(320)


@pytest.mark.thorough
def test_default_chunk_is_larger_for_smaller_models(x):
    def chunk(width, rows):
        inputs = jnp.ones((rows, 5))
        sample = jaxdrop.linen.sampler(MLP(width), MLP(width).init(jax.random.key(0), inputs), inputs)
        return _default_chunk_size(sample, jax.random.key(0))

    assert chunk(16, 7) == 32
    assert 1 < chunk(256, 400) < 32
    assert chunk(1024, 1000) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples must be from 1 to 2147483647, got 0"),
        ({"num_samples": 2**31}, "num_samples must be from 1 to 2147483647, got 2147483648"),
        ({"chunk_size": 0}, "chunk_size must be from 1 to 2147483647, got 0"),
        ({"outputs": "logit"}, "outputs must be one of 'values', 'logits', 'probabilities', got 'logit'"),
    ],
)
def test_refuses_bad_arguments(arguments, message, sample, getkey):
    with pytest.raises(ValueError, match=message):
        jaxdrop.monte_carlo(sample, getkey(), **arguments)


def test_refuses_a_number_of_samples_that_is_none(sample, getkey):
    with pytest.raises(TypeError, match=r"num_samples must be an integer, got 2\.5"):
        jaxdrop.monte_carlo(sample, getkey(), 2.5)


def test_refuses_classes_without_an_axis(getkey):
    with pytest.raises(ValueError, match=r"sample must give class logits \(..., classes\), got a scalar"):
        jaxdrop.monte_carlo(lambda key: jax.random.normal(key), getkey(), outputs="logits")


class _Model:
    def __init__(self):
        self.kernel = np.ones((4, 3), np.float32)

    def sample(self, key):
        return jaxdrop.dropout(key, jnp.ones((8, 4)), 0.5) @ self.kernel


@pytest.mark.parametrize("predict", [jaxdrop.moments, lambda sample: jaxdrop.monte_carlo(sample, jax.random.key(0), 4)])
def test_lets_go_of_a_function_and_of_what_it_closes_over(predict):
    def use():
        model = _Model()
        function = lambda key: model.sample(key)  # noqa: E731
        assert predict(function).mean.any()
        assert predict(model.sample).mean.any()
        model.kernel = np.zeros((4, 3), np.float32)
        assert not predict(model.sample).mean.any()
        return weakref.ref(function), weakref.ref(model)

    references = use()
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_function_is_traced_once(getkey):
    calls = []

    def sample(key):
        calls.append(key)
        return jaxdrop.dropout(key, jnp.ones(3), 0.5)

    jaxdrop.monte_carlo(sample, getkey(), 4)
    number = len(calls)
    jaxdrop.monte_carlo(sample, getkey(), 4)
    assert len(calls) == number > 0


def test_takes_a_callable_without_a_hash(getkey):
    class Sample:
        __hash__ = None

        def __call__(self, key):
            return jaxdrop.dropout(key, jnp.ones(3), 0.5)

    assert jaxdrop.monte_carlo(Sample(), getkey(), 4).mean.shape == (3,)


@pytest.mark.parametrize("tolerance", [None, 0.2])
def test_runs_in_each_shard(tolerance, getkey):
    mesh = jax.make_mesh((4,), ("a",), devices=jax.devices()[:4], axis_types=(jax.sharding.AxisType.Auto,))
    x, key = jax.random.normal(getkey(), (8, 5)), getkey()

    def predict(x, key):
        return jaxdrop.monte_carlo(lambda key: jaxdrop.dropout(key, x, 0.3), key, 20, tolerance=tolerance).mean

    each = jax.shard_map(predict, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"))(x, key)
    np.testing.assert_allclose(each[2:4], predict(x[2:4], key), rtol=1e-6)


@pytest.mark.thorough
def test_gradients_are_finite_where_probabilities_are_0(getkey):
    x, kernel = jnp.ones((2, 4)), 1000 * jax.random.normal(getkey(), (4, 3))

    def information(kernel):
        sample = jax.tree_util.Partial(lambda kernel, key: jaxdrop.dropout(key, x, 0.5) @ kernel, kernel)
        p = jaxdrop.monte_carlo(sample, jax.random.key(0), 8, outputs="logits")
        return p.mutual_information.sum() + p.expected_entropy.sum()

    assert jnp.isfinite(jax.grad(information)(kernel)).all()


def test_a_value_that_is_infinite_in_all_samples_is_infinite_on_average(getkey):
    def sample(key):
        return jnp.where(jnp.arange(3) == 1, -jnp.inf, jaxdrop.dropout(key, jnp.ones(3), 0.5))

    p = jaxdrop.monte_carlo(sample, getkey(), 20, return_samples=True)
    np.testing.assert_allclose(p.mean, np.mean(p.samples, 0))
    assert np.isfinite(p.mean[::2]).all()
    assert np.isfinite(p.variance[::2]).all()
