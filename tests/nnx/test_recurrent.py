import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from jaxdrop.nnx import RecurrentDropoutCell, VariationalDropoutCell, ZoneoutCell
from tests.statistical import assert_frequency, assert_independent

CELLS = {"lstm": nnx.LSTMCell, "optimized lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "simple": nnx.SimpleCell}


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (3, 5, 4))


def make(name="lstm"):
    return CELLS[name](4, 6, rngs=nnx.Rngs(0))


def lstm(cell, x, *, state=lambda gate, h: h, inputs=lambda gate, x: x, candidate=lambda g: g, mix=None):
    """The LSTM of flax's docstring, one step after the other, with noise in the places of the methods."""
    h = jnp.zeros((len(x), 6))
    c, outputs = h, []
    for t in range(x.shape[1]):
        i, f, g, o = (
            getattr(cell, of_x)(inputs(of_x, x[:, t])) + getattr(cell, of_h)(state(of_h, h))
            for of_x, of_h in (("ii", "hi"), ("if_", "hf"), ("ig", "hg"), ("io", "ho"))
        )
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * candidate(jnp.tanh(g))
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        c, h = (new_c, new_h) if mix is None else (mix[0](new_c, c), mix[1](new_h, h))
        outputs.append(h)
    return jnp.stack(outputs, 1)


def gru(cell, x, *, state=lambda gate, h: h, candidate=lambda n: n):
    h, outputs = jnp.zeros((len(x), 6)), []
    for t in range(x.shape[1]):
        own = jnp.split(cell.dense_i(x[:, t]), 3, axis=-1)
        theirs = jnp.split(cell.dense_h(state("dense_h", h)), 3, axis=-1)
        r, z = (jax.nn.sigmoid(a + b) for a, b in zip(own[:2], theirs[:2], strict=True))
        h = (1 - z) * candidate(jnp.tanh(own[2] + r * theirs[2])) + z * h
        outputs.append(h)
    return jnp.stack(outputs, 1)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "tied"), [("lstm", True), ("lstm", False), ("gru", True)])
def test_variational_dropout_is_the_formula_with_the_masks_in_the_carry(name, tied, x):
    cell, rates = make(name), {"input_rate": 0.3 if name == "lstm" else 0.0}
    wrapped = VariationalDropoutCell(cell, 0.4, **rates, tied=tied, rngs=nnx.Rngs(2))
    (_, masks), y = nnx.RNN(wrapped, return_carry=True)(x)
    assert len({np.asarray(mask).tobytes() for mask in masks.values()}) == (
        1 if name == "gru" else 2 if tied else len(masks)
    )

    def multiply(layer, value):
        return value * masks.get(layer, 1)

    reference = lstm(cell, x, state=multiply, inputs=multiply) if name == "lstm" else gru(cell, x, state=multiply)
    np.testing.assert_allclose(y, reference, rtol=1e-5, atol=1e-5)
    assert type(cell.hi if name == "lstm" else cell.dense_h) is nnx.Linear  # as it was


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_recurrent_dropout_drops_the_candidate_alone(name, x):
    cell = make(name)
    activation = cell.activation_fn
    (_, masks), y = nnx.RNN(RecurrentDropoutCell(cell, 0.4, rngs=nnx.Rngs(2)), return_carry=True)(x)
    reference = gru if name == "gru" else lstm
    np.testing.assert_allclose(y, reference(cell, x, candidate=lambda g: g * masks["g"]), rtol=1e-5, atol=1e-5)
    assert cell.activation_fn is activation


@pytest.mark.thorough
@pytest.mark.parametrize("wrapper", [VariationalDropoutCell, RecurrentDropoutCell])
def test_masks_are_drawn_at_the_rate_for_each_example_and_call(wrapper):
    cell = wrapper(nnx.LSTMCell(3, 40, rngs=nnx.Rngs(0)), 0.3, rngs=nnx.Rngs(1))
    rnn = nnx.RNN(cell, return_carry=True)
    first, second = (np.asarray(next(iter(rnn(jnp.zeros((400, 2, 3)))[0][1].values())) == 0) for _ in range(2))
    assert_frequency(first.sum(), first.size, 0.3)
    assert_independent(first[1:], first[:-1])
    assert_independent(first, second)


def test_recurrent_dropout_may_draw_at_each_step():
    # Candidates of one that are all added up: the memory counts the steps at which a unit survived.
    cell = nnx.LSTMCell(4, 6, activation_fn=jnp.ones_like, gate_fn=jnp.ones_like, rngs=nnx.Rngs(0))
    rnn = nnx.RNN(RecurrentDropoutCell(cell, 0.5, per_step=True, rngs=nnx.Rngs(1)), return_carry=True)
    ((c, _), masks), _ = rnn(jnp.zeros((500, 8, 4)))
    assert masks == {}
    counts = np.asarray(c) / 2
    assert len(np.unique(counts)) == 9
    assert_frequency(counts.sum(), 8 * counts.size, 0.5)


def test_zoneout_draws_at_each_step_and_predicts_by_the_mean(x):
    class Count(nnx.LSTMCell):
        def __call__(self, carry, inputs):
            c, h = carry
            return (c + 1, h + 1), h + 1

    cell = ZoneoutCell(Count(4, 6, rngs=nnx.Rngs(0)), 0.3, memory_rate=0.6, rngs=nnx.Rngs(1))
    (c, h), y = nnx.RNN(cell, return_carry=True)(jnp.zeros((500, 8, 4)))
    assert_frequency((8 - c).sum(), 8 * c.size, 0.6)
    steps = np.diff(np.asarray(y), axis=1)
    np.testing.assert_array_equal(y[:, -1], h)
    assert_frequency((steps == 0).sum(), steps.size, 0.3)
    assert_independent(steps[:, 1:] == 0, steps[:, :-1] == 0)

    plain = make()
    cell = ZoneoutCell(plain, 0.1, memory_rate=0.5, rngs=nnx.Rngs(1))
    cell.eval()
    mix = [lambda new, old, z=z: z * old + (1 - z) * new for z in (0.5, jaxdrop.zoneout_expectation(0.0, 1.0, 0.1))]
    np.testing.assert_allclose(nnx.RNN(cell)(x), lstm(plain, x, mix=mix), rtol=1e-5, atol=1e-5)


WRAPPED = {
    "variational": lambda cell, rngs: VariationalDropoutCell(cell, 0.4, input_rate=0.2, rngs=rngs),
    "recurrent": lambda cell, rngs: RecurrentDropoutCell(cell, 0.4, rngs=rngs),
    "per step": lambda cell, rngs: RecurrentDropoutCell(cell, 0.4, per_step=True, rngs=rngs),
    "zoneout": lambda cell, rngs: ZoneoutCell(cell, 0.4, memory_rate=0.2, rngs=rngs),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", WRAPPED)
def test_noise_in_bidirectional_networks_under_jit_grad_and_the_sampler(name, x):
    rngs, lengths = nnx.Rngs(0), jnp.array([5, 2, 3])
    model = nnx.Bidirectional(*(nnx.RNN(WRAPPED[name](make(), rngs)) for _ in range(2)), rngs=rngs)

    @nnx.jit
    def gradient(model, x):
        return nnx.grad(lambda model: jnp.square(model(x, seq_lengths=lengths)).sum())(model)

    first, second = (jax.tree.leaves(gradient(model, x)) for _ in range(2))
    assert all(np.isfinite(leaf).all() for leaf in first)
    assert not all(np.allclose(a, b) for a, b in zip(first, second, strict=True))
    model.eval()
    np.testing.assert_array_equal(model(x), model(x))
    sample = jaxdrop.nnx.sampler(model, x, seq_lengths=lengths)
    assert (jaxdrop.monte_carlo(sample, jax.random.key(3), 8).variance > 0).any((1, 2)).all()


@pytest.mark.parametrize("name", ["variational", "recurrent", "per step"])
def test_prediction_is_that_of_the_cell(name, x):
    cell = make()
    wrapped = WRAPPED[name](cell, nnx.Rngs(1))
    wrapped.eval()
    np.testing.assert_array_equal(nnx.RNN(wrapped)(x), nnx.RNN(cell)(x))


def test_a_loop_by_hand_gives_the_same_bits(x):
    cell = VariationalDropoutCell(make(), 0.4, rngs=nnx.Rngs(1))
    (carry, masks), y = nnx.RNN(cell, return_carry=True)(x)
    state = (cell.cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0)), masks)
    step = nnx.jit(lambda cell, state, x: cell(state, x))  # as compiled as the loop's body is
    for t in range(5):
        state, output = step(cell, state, x[:, t])
        np.testing.assert_array_equal(output, y[:, t])
    np.testing.assert_array_equal(state[0][0], carry[0])


def test_padding_leaves_the_carry_of_the_last_step(x):
    rnn = nnx.RNN(VariationalDropoutCell(make(), 0.4, rngs=nnx.Rngs(1)), return_carry=True)
    lengths = jnp.array([5, 2, 3])
    (carry, _), y = rnn(x, seq_lengths=lengths)
    np.testing.assert_array_equal(carry[1], y[jnp.arange(3), lengths - 1])


def test_the_key_of_a_step_may_be_given(
    x,
):
    cell = ZoneoutCell(make(), 0.5)
    carry, key = cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0)), jax.random.key(5)
    first, second = (cell(carry, x[:, 0], rngs=clone(key))[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="no `rngs` argument was provided to ZoneoutCell"):
        cell(carry, x[:, 0])


def test_refuses():
    with pytest.raises(TypeError, match="cell must be one of LSTMCell, got OptimizedLSTMCell"):
        VariationalDropoutCell(make("optimized lstm"), 0.3, tied=False)
    with pytest.raises(TypeError, match="got SimpleCell"):
        RecurrentDropoutCell(make("simple"), 0.3)
    with pytest.raises(TypeError, match="got GRUCell"):
        ZoneoutCell(make("gru"), 0.3, memory_rate=0.1)
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        nnx.RNN(VariationalDropoutCell(make(), 1.5, rngs=nnx.Rngs(0)))(jnp.ones((1, 2, 4)))


def test_a_call_without_noise_ignores_the_masks_in_the_carry(x):
    cell = RecurrentDropoutCell(make(), 0.5, rngs=nnx.Rngs(1))
    carry = cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0))
    plain = cell.cell(carry[0], x[:, 0])[1]
    np.testing.assert_array_equal(cell(carry, x[:, 0], deterministic=True)[1], plain)
    assert not np.array_equal(cell(carry, x[:, 0])[1], plain)


def test_masks_of_a_sequence_take_no_flag_of_a_step(x):
    cell = VariationalDropoutCell(make(), 0.5, rngs=nnx.Rngs(1))
    with pytest.raises(TypeError, match="deterministic"):
        cell(cell.initialize_carry(x[:, 0].shape, nnx.Rngs(0)), x[:, 0], deterministic=True)


@pytest.mark.parametrize("name", ["input_rate", "memory_rate"])
def test_names_the_rate_that_is_not_allowed(name, x):
    cell = {"input_rate": VariationalDropoutCell, "memory_rate": ZoneoutCell}[name](
        make(), 0.5, **{name: 1.5}, rngs=nnx.Rngs(1)
    )
    with pytest.raises(ValueError, match=rf"^{name} must be in \[0, 1\], got 1.5"):
        nnx.RNN(cell)(x)
