import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxdrop
from jaxdrop import schedules

STEPS = np.arange(-1, 130)

# Each schedule beside the published formula, in float64; the papers' keep probabilities are left as they are.
PUBLISHED = {
    "linear": (schedules.linear(0.1, 0.3, 100, begin=10), lambda t: 0.1 + 0.2 * np.clip((t - 10) / 100, 0, 1)),
    "annealed": (schedules.annealed(0.5, 100), lambda t: np.maximum(0, 1 - np.maximum(t, 0) / 100) * 0.5),
    "curriculum": (schedules.curriculum(0.3, 0.05), lambda t: 1 - (0.3 * np.exp(-0.05 * np.maximum(t, 0)) + 0.7)),
    "early": (schedules.early(0.1, 50), lambda t: 0.1 * np.clip(1 - t / 50, 0, 1)),
    "early constant": (schedules.early(0.1, 50, schedule="constant"), lambda t: np.where(t < 50, 0.1, 0.0)),
    "late": (schedules.late(0.4, 50), lambda t: np.where(t >= 50, 0.4, 0.0)),
    "late from 0": (schedules.late(0.4, 0), lambda t: np.where(t >= 0, 0.4, 0.0)),
    "drop_block": (schedules.drop_block(0.1, 100), lambda t: 1 - (1 - np.clip(t / 100, 0, 1) * (1 - 0.9))),
}
EXAMPLES = [schedule for schedule, _ in PUBLISHED.values()]
each_schedule = pytest.mark.parametrize("schedule", EXAMPLES, ids=PUBLISHED)


@pytest.mark.parametrize(("schedule", "formula"), PUBLISHED.values(), ids=PUBLISHED)
def test_schedules_are_the_published_ones(schedule, formula):
    rates = jax.vmap(schedule)(jnp.asarray(STEPS, jnp.int32))
    np.testing.assert_allclose(rates, formula(STEPS.astype(np.float64)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("steps", [3, 7, 30, 41, 1000])
def test_compiled_schedules_end_exactly(steps):
    after = jnp.array([steps, steps + 1, 10 * steps])
    for schedule in (schedules.annealed(0.3, steps), schedules.early(0.5, steps)):
        np.testing.assert_array_equal(jax.jit(jax.vmap(schedule))(after), 0)
    np.testing.assert_array_equal(jax.jit(jax.vmap(schedules.linear(0.0, 0.7, steps)))(after), np.float32(0.7))


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.uint32, jnp.int8])
def test_steps_before_the_beginning_may_be_unsigned(dtype):
    # As those of flax.nnx.Optimizer are: less the beginning, they would be huge.
    schedule = schedules.linear(0.1, 0.5, 100, begin=1000)
    for rate in (schedule, jax.jit(schedule)):
        assert rate(jnp.asarray(5, dtype)) == np.float32(0.1)
    assert schedules.late(0.5, 1000)(jnp.asarray(5, dtype)) == 0


def test_linear_ends_are_exact():
    schedule = jax.jit(schedules.linear(1.0, 0.3, 70))
    assert schedule(0) == 1
    assert schedule(70) == np.float32(0.3)
    assert schedules.linear(0.0, 1.0, 3)(3) == 1


@pytest.mark.parametrize("seed", range(3))
def test_rates_stay_in_0_to_1(seed):
    ends = np.random.default_rng(seed).uniform(size=(2, 1000)).astype(np.float32)
    for schedule in (schedules.linear(ends[0], np.ones(1000), 7), schedules.curriculum(ends[1], 0.3)):
        rates = jax.vmap(schedule)(jnp.arange(9))
        assert rates.min() >= 0
        assert rates.max() <= 1


def test_curriculum_is_right_at_its_first_steps():
    # 1 - exp(-gamma t) in float32 would be off by 60 %.
    np.testing.assert_allclose(schedules.curriculum(0.5, 1e-7)(1), 0.5e-7, rtol=1e-5)


@each_schedule
def test_one_compilation_serves_all_steps(schedule):
    traces = []

    @jax.jit
    def rate(step):
        traces.append(step)
        return schedule(step)

    values = [rate(jnp.asarray(step, jnp.int32)) for step in (0, 1, 60, 1000)]
    assert len(traces) == 1
    np.testing.assert_allclose(values, [schedule(step) for step in (0, 1, 60, 1000)], rtol=1e-6, atol=1e-7)


@each_schedule
@pytest.mark.parametrize("step", [3, np.int64(3), jnp.uint32(3), jnp.float32(3)])
def test_rates_are_float32(schedule, step):
    rate = schedule(step)
    assert isinstance(rate, jax.Array)
    assert (rate.dtype, rate.weak_type, rate.shape) == (jnp.float32, False, ())


@each_schedule
def test_rates_are_float32_under_x64(schedule):
    with jax.enable_x64(True):
        assert schedule(3).dtype == jax.jit(schedule)(3).dtype == jnp.float32


def test_rates_may_differ_between_layers():
    rates = np.array([0.0, 0.2, 0.4])
    for schedule in (schedules.linear(0.0, rates, 10), schedules.late(rates, 5), schedules.curriculum(rates, 10.0)):
        np.testing.assert_allclose(schedule(10), rates, rtol=1e-6)


def test_schedules_take_traced_rates():
    rates = jax.jit(lambda rate: jnp.stack([schedules.drop_block(rate, 10)(5), *schedules.linear_depth(2, rate)]))
    np.testing.assert_allclose(rates(0.4), [0.2, 0.2, 0.4], rtol=1e-6)


def test_depth_conventions():
    huang = [0.5 * layer / 54 for layer in range(1, 55)]
    np.testing.assert_allclose(schedules.linear_depth(54, 0.5), huang)
    np.testing.assert_allclose(schedules.linear_depth(12, 0.1, first="zero"), np.linspace(0, 0.1, 12))
    assert schedules.linear_depth(1, 0.5) == (0.5,)
    assert schedules.linear_depth(1, 0.5, first="zero") == tuple(np.linspace(0, 0.5, 1))
    for num_layers in range(2, 50):
        assert schedules.linear_depth(num_layers, 0.3)[-1] == 0.3
        assert schedules.linear_depth(num_layers, 0.3, first="zero")[-1] == 0.3


def test_depth_rates_are_as_static_as_the_rate():
    assert all(type(rate) is float for rate in schedules.linear_depth(3, 0.5, first="zero"))
    assert all(rate.dtype == jnp.float32 for rate in schedules.linear_depth(3, jnp.float32(0.5)))


# In training


SCHEDULE = schedules.late(0.5, 2)


@pytest.mark.thorough
def test_drives_linen_without_recompilation(getkey):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, rate):
            x = jaxdrop.linen.Dropout(rate, deterministic=False)(nn.Dense(64)(x))
            return nn.Dense(1)(x), (x == 0).mean()

    model, x, optimizer = Model(), jnp.ones((16, 4)), optax.sgd(0.01)
    params = jax.jit(model.init)({"params": getkey(), "dropout": getkey()}, x, jnp.float32(0))
    state = optimizer.init(params)

    @jax.jit
    def train_step(params, state, step, key):
        def loss(params):
            y, dropped = model.apply(params, x, SCHEDULE(step), rngs={"dropout": key})
            return jnp.square(y - 1).mean(), dropped

        grads, dropped = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, dropped

    dropped = []
    for step in range(4):
        params, state, fraction = train_step(params, state, jnp.asarray(step), getkey())
        dropped.append(float(fraction))
    assert train_step._cache_size() == 1
    check_dropped(dropped)


@pytest.mark.thorough
def test_drives_nnx_without_recompilation():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.first, self.last = nnx.Linear(4, 64, rngs=rngs), nnx.Linear(64, 1, rngs=rngs)
            self.dropout = jaxdrop.nnx.Dropout(jnp.float32(0), rngs=rngs)

        def __call__(self, x):
            x = self.dropout(self.first(x))
            return self.last(x), (x == 0).mean()

    model, x, traces = Model(nnx.Rngs(0)), jnp.ones((16, 4)), []
    optimizer = nnx.Optimizer(model, optax.sgd(0.01), wrt=nnx.Param)

    @nnx.jit
    def train_step(model, optimizer, step):
        traces.append(step)
        model.dropout.rate = SCHEDULE(step)

        def loss(model):
            y, dropped = model(x)
            return jnp.square(y - 1).mean(), dropped

        grads, dropped = nnx.grad(loss, has_aux=True)(model)
        optimizer.update(model, grads)
        return dropped

    dropped = [float(train_step(model, optimizer, jnp.asarray(step))) for step in range(4)]
    assert len(traces) == 1
    check_dropped(dropped)


def test_rate_set_outside_the_step_does_not_recompile_nnx():
    model, traces = jaxdrop.nnx.Dropout(SCHEDULE(0), rngs=nnx.Rngs(0)), []

    @nnx.jit
    def dropped(model):
        traces.append(model)
        return (model(jnp.ones((16, 64))) == 0).mean()

    fractions = []
    for step in range(4):
        model.rate = SCHEDULE(step)
        fractions.append(float(dropped(model)))
    assert len(traces) == 1
    check_dropped(fractions)


def check_dropped(fractions):
    # 1024 draws at a rate of 0.5: 0.1 is 6 standard deviations.
    assert fractions[:2] == [0, 0]
    np.testing.assert_allclose(fractions[2:], 0.5, atol=0.1)


# Bad input


@pytest.mark.parametrize(
    "build",
    [
        lambda rate: schedules.linear(rate, 0.0, 1),
        lambda rate: schedules.linear(0.0, rate, 1),
        lambda rate: schedules.annealed(rate, 1),
        lambda rate: schedules.curriculum(rate, 1.0),
        lambda rate: schedules.early(rate, 1),
        lambda rate: schedules.early(rate, 1, schedule="constant"),
        lambda rate: schedules.late(rate, 1),
        lambda rate: schedules.drop_block(rate, 1),
        lambda rate: schedules.linear_depth(1, rate),
    ],
)
def test_refuses_a_rate_outside_0_to_1(build):
    for rate in (-0.1, 1.5, float("nan"), np.array([0.5, 1.5])):
        with pytest.raises(ValueError, match=r"(rate|start|end) must be in \[0, 1\]"):
            build(rate)
    with pytest.raises(TypeError, match="must be a number in"):
        build("0.5")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: schedules.linear(0.0, 0.5, 0), "steps must be at least 1, got 0"),
        (lambda: schedules.linear(0.0, 0.5, 1, begin=-1), "begin must be at least 0, got -1"),
        (lambda: schedules.annealed(0.5, 0), "steps must be at least 1, got 0"),
        (lambda: schedules.drop_block(0.5, 0), "steps must be at least 1, got 0"),
        (lambda: schedules.curriculum(0.5, 0.0), "gamma must be above 0 and finite, got 0.0"),
        (lambda: schedules.curriculum(0.5, float("nan")), "gamma must be above 0 and finite, got nan"),
        (lambda: schedules.early(0.5, 0), "cutoff must be at least 1, got 0"),
        (lambda: schedules.early(0.5, 1, schedule="cosine"), "schedule must be one of 'linear', 'constant', got 'cos"),
        (lambda: schedules.late(0.5, -1), "cutoff must be at least 0, got -1"),
        (lambda: schedules.linear_depth(0, 0.5), "num_layers must be at least 1, got 0"),
        (lambda: schedules.linear_depth(2, 0.5, first="one"), "first must be one of 'positive', 'zero', got 'one'"),
    ],
)
def test_refuses_other_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
