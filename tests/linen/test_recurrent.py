import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import InvalidRngError
from jax.random import clone

import jaxdrop
from jaxdrop.linen import RecurrentDropoutCell, VariationalDropoutCell, ZoneoutCell
from tests.statistical import assert_frequency, assert_independent

PER_STEP = {"params": False, "dropout": True}
CELLS = {"lstm": nn.LSTMCell, "optimized lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell, "mgu": nn.MGUCell}


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (3, 5, 4))


def lstm(params, x, *, state=lambda gate, h: h, inputs=lambda gate, x: x, candidate=lambda g: g, mix=None):
    """The LSTM of flax's docstring, one step after the other, with noise in the places of the methods."""
    p, h = params["params"]["cell"], jnp.zeros((len(x), 6))
    c, outputs = h, []
    for t in range(x.shape[1]):
        gates = {
            gate: inputs(gate, x[:, t]) @ p["i" + gate]["kernel"]
            + state(gate, h) @ p["h" + gate]["kernel"]
            + p["h" + gate]["bias"][None]
            for gate in "ifgo"
        }
        i, f, o = (jax.nn.sigmoid(gates[gate]) for gate in "ifo")
        new_c = f * c + i * candidate(jnp.tanh(gates["g"]))
        new_h = o * jnp.tanh(new_c)
        c, h = (new_c, new_h) if mix is None else (mix[0](new_c, c), mix[1](new_h, h))
        outputs.append(h)
    return jnp.stack(outputs, 1)


def gru(params, x, *, state=lambda gate, h: h, candidate=lambda n: n):
    p, h, outputs = params["params"]["cell"], jnp.zeros((len(x), 6)), []
    for t in range(x.shape[1]):
        own = {gate: x[:, t] @ p["i" + gate]["kernel"] + p["i" + gate]["bias"][None] for gate in "rzn"}
        theirs = {gate: state(gate, h) @ p["h" + gate]["kernel"] for gate in "rzn"}
        r, z = (jax.nn.sigmoid(own[gate] + theirs[gate]) for gate in "rz")
        n = candidate(jnp.tanh(own["n"] + r * (theirs["n"] + p["hn"]["bias"][None])))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return jnp.stack(outputs, 1)


def run(cell, variables, x, key, **options):
    (_, masks), y = nn.RNN(cell, return_carry=True, **options).apply(variables, x, rngs={"dropout": key})
    return y, masks


@pytest.mark.thorough
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_variational_dropout_is_the_formula_with_the_masks_in_the_carry(name, tied, x, getkey):
    plain = CELLS[name](6)
    variables = nn.RNN(plain).init(getkey(), x)
    rates = {"rate": 0.4, "input_rate": 0.3 if name == "lstm" else 0.0}
    y, masks = run(VariationalDropoutCell(plain, **rates, tied=tied, deterministic=False), variables, x, getkey())
    assert len(masks) == (len(rates) if name == "lstm" else 1) * (1 if tied else {"lstm": 4, "gru": 3}[name])

    def multiply(kind):
        return lambda gate, value: value * masks.get(kind + gate, masks.get(kind, 1))

    expected = (
        lstm(variables, x, state=multiply("h"), inputs=multiply("i"))
        if name == "lstm"
        else gru(variables, x, state=multiply("h"))
    )
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
def test_the_optimized_lstm_does_what_the_other_does(x, getkey):
    variables, key = nn.RNN(nn.LSTMCell(6)).init(getkey(), x), getkey()
    y, z = (
        run(VariationalDropoutCell(cell(6), 0.4, 0.2, deterministic=False), variables, x, clone(key))[0]
        for cell in (nn.LSTMCell, nn.OptimizedLSTMCell)
    )
    np.testing.assert_allclose(y, z, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("wrapper", [VariationalDropoutCell, RecurrentDropoutCell])
def test_masks_are_drawn_at_the_rate_for_each_example_gate_and_call(wrapper, getkey):
    x = jnp.zeros((400, 2, 3))
    options = {"tied": False} if wrapper is VariationalDropoutCell else {}
    cell = wrapper(nn.LSTMCell(10), 0.3, **options, deterministic=False)
    variables = nn.RNN(cell).init({"params": getkey(), "dropout": getkey()}, x)
    (_, first), (_, second) = (run(cell, variables, x, getkey()) for _ in range(2))
    gone = np.stack([np.asarray(mask == 0) for mask in first.values()])
    assert_frequency(gone.sum(), gone.size, 0.3)
    if wrapper is VariationalDropoutCell:
        assert_independent(gone[1:], gone[:-1])
    assert_independent(gone[:, 1:], gone[:, :-1])
    assert_independent(gone[..., 1:], gone[..., :-1])
    assert_independent(gone, np.stack([np.asarray(mask == 0) for mask in second.values()]))
    kept = np.unique(np.concatenate([np.asarray(mask)[mask > 0] for mask in first.values()]))
    np.testing.assert_allclose(kept, 1 / 0.7, rtol=2e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["lstm", "optimized lstm", "gru"])
def test_recurrent_dropout_drops_the_candidate_alone(name, x, getkey):
    plain = CELLS[name](6)
    variables = nn.RNN(plain).init(getkey(), x)
    y, masks = run(RecurrentDropoutCell(plain, 0.4, deterministic=False), variables, x, getkey())
    reference = gru if name == "gru" else lstm
    expected = reference(variables, x, candidate=lambda g: g * masks["g"])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
def test_recurrent_dropout_may_draw_at_each_step(x, getkey):
    # Candidates of one or minus one that are all added up: the memory counts the steps at which a unit survived.
    cell = nn.LSTMCell(6, activation_fn=jnp.ones_like, gate_fn=jnp.ones_like)
    cell = RecurrentDropoutCell(cell, 0.5, per_step=True, deterministic=False)
    rnn = nn.RNN(cell, return_carry=True, split_rngs=PER_STEP)
    x = jnp.zeros((500, 8, 4))
    variables = rnn.init({"params": getkey(), "dropout": getkey()}, x)
    ((c, _), masks), _ = rnn.apply(variables, x, rngs={"dropout": getkey()})
    assert masks == {}
    counts = np.asarray(c) / 2
    assert len(np.unique(counts)) == 9
    assert_frequency(counts.sum(), 8 * counts.size, 0.5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", CELLS)
def test_zoneout_predicts_by_the_mean(name, x, getkey):
    plain = CELLS[name](6)
    variables = nn.RNN(plain).init(getkey(), x)
    memory = {"memory_rate": 0.5} if "lstm" in name else {}
    y = nn.RNN(ZoneoutCell(plain, 0.1, **memory, deterministic=True)).apply(variables, x)
    if name == "lstm":
        mix = [lambda new, old, z=z: z * old + (1 - z) * new for z in (0.5, jaxdrop.zoneout_expectation(0.0, 1.0, 0.1))]
        np.testing.assert_allclose(y, lstm(variables, x, mix=mix), rtol=1e-5, atol=1e-5)
    else:
        carry = plain.initialize_carry(jax.random.key(0), x[:, 0].shape)
        _, first = plain.apply({"params": variables["params"]["cell"]}, carry, x[:, 0])
        np.testing.assert_allclose(y[:, 0], jaxdrop.zoneout_expectation(first, 0 * first, 0.1), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_zoneout_draws_at_each_step_and_hands_on_what_it_mixed(x, getkey):
    # Cells that count the steps: a unit that stays misses one.
    class Count(nn.LSTMCell):
        def __call__(self, carry, inputs):
            c, h = carry
            return (c + 1, h + 1), h + 1

    rnn = nn.RNN(
        ZoneoutCell(Count(6), 0.3, memory_rate=0.6, deterministic=False), return_carry=True, split_rngs=PER_STEP
    )
    (c, h), y = rnn.apply({}, jnp.zeros((500, 8, 4)), rngs={"dropout": getkey()})
    assert_frequency((8 - c).sum(), 8 * c.size, 0.6)
    assert_frequency((8 - h).sum(), 8 * h.size, 0.3)
    np.testing.assert_array_equal(y[:, -1], h)
    steps = np.diff(np.asarray(y), axis=1)
    assert_frequency((steps == 0).sum(), steps.size, 0.3)
    assert_independent(steps[:, 1:] == 0, steps[:, :-1] == 0)
    (c, h), _ = rnn.apply({}, jnp.zeros((2000, 1, 4)), rngs={"dropout": getkey()})
    assert_independent(c == 0, h == 0)


WRAPPED = {
    "variational": lambda cell, on: VariationalDropoutCell(cell, 0.4, 0.2, deterministic=not on),
    "recurrent": lambda cell, on: RecurrentDropoutCell(cell, 0.4, deterministic=not on),
    "per step": lambda cell, on: RecurrentDropoutCell(cell, 0.4, per_step=True, deterministic=not on),
    "zoneout": lambda cell, on: ZoneoutCell(cell, 0.4, memory_rate=0.2, deterministic=not on),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", WRAPPED)
def test_parameters_are_those_of_the_cell_and_prediction_is_its_own(name, x, getkey):
    plain = nn.RNN(nn.LSTMCell(6))
    variables = plain.init(getkey(), x)
    wrapped = nn.RNN(WRAPPED[name](nn.LSTMCell(6), False), split_rngs=PER_STEP)
    same = wrapped.init({"params": getkey(), "dropout": getkey()}, x)
    assert jax.tree.structure(same) == jax.tree.structure(variables)
    if name != "zoneout":
        np.testing.assert_array_equal(wrapped.apply(variables, x), plain.apply(variables, x))


@pytest.mark.thorough
@pytest.mark.parametrize("name", WRAPPED)
def test_noise_in_bidirectional_networks_under_jit_grad_and_the_sampler(name, x, getkey):
    class Model(nn.Module):
        on: bool

        @nn.compact
        def __call__(self, x, seq_lengths):
            rnns = (nn.RNN(WRAPPED[name](nn.LSTMCell(6), self.on), split_rngs=PER_STEP) for _ in range(2))
            return nn.Bidirectional(*rnns)(x, seq_lengths=seq_lengths)

    lengths = jnp.array([5, 2, 3])
    variables = Model(False).init(getkey(), x, lengths)

    @jax.jit
    def gradient(variables, key):
        return jax.grad(lambda v: jnp.square(Model(True).apply(v, x, lengths, rngs={"dropout": key})).sum())(variables)

    first, second = (jax.tree.leaves(gradient(variables, getkey())) for _ in range(2))
    assert all(np.isfinite(leaf).all() for leaf in first)
    assert not all(np.allclose(a, b) for a, b in zip(first, second, strict=True))
    sample = jaxdrop.linen.sampler(Model(False), variables, x, lengths)
    assert (jaxdrop.monte_carlo(sample, getkey(), 8).variance > 0).any((1, 2)).all()


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["variational", "zoneout"])
def test_padding_leaves_the_carry_of_the_last_step(name, x, getkey):
    rnn = nn.RNN(WRAPPED[name](nn.LSTMCell(6), True), return_carry=True, split_rngs=PER_STEP)
    variables = rnn.init({"params": getkey(), "dropout": getkey()}, x)
    key, lengths = getkey(), jnp.array([5, 2, 3])
    carry, y = rnn.apply(variables, x, seq_lengths=lengths, rngs={"dropout": clone(key)})
    h = jax.tree.leaves(carry[0] if name == "variational" else carry)[1]
    np.testing.assert_array_equal(h, y[jnp.arange(3), lengths - 1])
    longer = jnp.concatenate([x, x], axis=1)
    if name == "variational":  # of zoneout, each step would have another key
        carry, _ = rnn.apply(variables, longer, seq_lengths=lengths, rngs={"dropout": key})
        np.testing.assert_allclose(carry[0][1], h, rtol=1e-6)


@pytest.mark.thorough
def test_a_loop_by_hand_gives_the_same_bits(x, getkey):
    cell = VariationalDropoutCell(nn.LSTMCell(6), 0.4, deterministic=False)
    variables, key = nn.RNN(cell).init({"params": getkey(), "dropout": getkey()}, x), getkey()
    (carry, masks), y = nn.RNN(cell, return_carry=True).apply(variables, x, rngs={"dropout": key})
    inner = {"params": variables["params"]["cell"]}
    state = (nn.LSTMCell(6).initialize_carry(jax.random.key(0), x[:, 0].shape), masks)
    step = jax.jit(cell.apply)  # as compiled as the loop's body is: eagerly, sums are rounded otherwise
    for t in range(5):
        state, output = step(inner, state, x[:, t])
        np.testing.assert_array_equal(output, y[:, t])
    np.testing.assert_array_equal(state[0][0], carry[0])


def test_variational_dropout_is_keras_recurrent_dropout(x, getkey):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("keras runs on another backend here")
    cell = VariationalDropoutCell(nn.LSTMCell(6), 0.4, 0.3, tied=False, deterministic=False)
    variables = nn.RNN(cell).init({"params": getkey(), "dropout": getkey()}, x)
    (_, masks), y = nn.RNN(cell, return_carry=True).apply(variables, x, rngs={"dropout": getkey()})
    p = variables["params"]["cell"]
    weights = [jnp.concatenate([p[side + gate]["kernel"] for gate in "ifgo"], -1) for side in "ih"]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = keras.layers.LSTM(6, recurrent_dropout=0.4, dropout=0.3, return_sequences=True)
        theirs.build(x.shape)
        theirs.set_weights([*weights, jnp.concatenate([p["h" + gate]["bias"] for gate in "ifgo"])])
        # The masks are its own to draw: here they are ours.
        theirs.cell.get_dropout_mask = lambda _: [masks["i" + gate] for gate in "ifgo"]
        theirs.cell.get_recurrent_dropout_mask = lambda _: [masks["h" + gate] for gate in "ifgo"]
        np.testing.assert_allclose(theirs(x, training=True), y, rtol=1e-5, atol=1e-6)


def test_refuses(x, getkey):
    rngs = {"params": getkey(), "dropout": getkey()}
    with pytest.raises(TypeError, match="cell must be one of LSTMCell, GRUCell, MGUCell, got OptimizedLSTMCell"):
        nn.RNN(VariationalDropoutCell(nn.OptimizedLSTMCell(6), 0.3, tied=False, deterministic=False)).init(rngs, x)
    with pytest.raises(TypeError, match="got SimpleCell"):
        nn.RNN(RecurrentDropoutCell(nn.SimpleCell(6), 0.3, deterministic=False)).init(rngs, x)
    with pytest.raises(TypeError, match="got GRUCell"):
        nn.RNN(ZoneoutCell(nn.GRUCell(6), 0.3, memory_rate=0.1, deterministic=False)).init(rngs, x)
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        nn.RNN(VariationalDropoutCell(nn.LSTMCell(6), 1.5, deterministic=True)).init(rngs, x)
    with pytest.raises(ValueError, match="deterministic"):
        nn.RNN(VariationalDropoutCell(nn.LSTMCell(6), 0.5)).init(rngs, x)
    variables = nn.RNN(nn.LSTMCell(6)).init(rngs, x)
    without_split_rngs = nn.RNN(ZoneoutCell(nn.LSTMCell(6), 0.3, deterministic=False))
    with pytest.raises(InvalidRngError, match="dropout"):
        without_split_rngs.apply(variables, x, rngs={"dropout": getkey()})


def test_a_call_without_noise_ignores_the_masks_in_the_carry(x, getkey):
    cell, noisy = RecurrentDropoutCell(nn.LSTMCell(6), 0.5), {"deterministic": False}
    carry, variables = cell.init_with_output(
        {"params": getkey(), "dropout": getkey()}, getkey(), x[:, 0].shape, **noisy, method=cell.initialize_carry
    )
    variables = cell.init(getkey(), carry, x[:, 0], deterministic=True)
    plain = nn.LSTMCell(6).apply(variables, carry[0], x[:, 0])[1]
    np.testing.assert_array_equal(cell.apply(variables, carry, x[:, 0], deterministic=True)[1], plain)
    assert not np.array_equal(cell.apply(variables, carry, x[:, 0], **noisy)[1], plain)


@pytest.mark.parametrize("name", ["input_rate", "memory_rate"])
def test_names_the_rate_that_is_not_allowed(name, x, getkey):
    kind = {"input_rate": VariationalDropoutCell, "memory_rate": ZoneoutCell}[name]
    rnn = nn.RNN(kind(nn.LSTMCell(6), 0.5, **{name: 1.5}, deterministic=False))
    with pytest.raises(ValueError, match=rf"^{name} must be in \[0, 1\], got 1.5"):
        rnn.init({"params": getkey(), "dropout": getkey()}, x)


def test_masks_of_bfloat16_states_are_divided_in_float32(getkey):
    cell, state = VariationalDropoutCell(nn.LSTMCell(6), 0.1, 0.1), jnp.zeros((3, 4), jnp.bfloat16)
    rngs = {"params": getkey(), "dropout": getkey()}
    (_, masks), _ = cell.init_with_output(rngs, getkey(), state.shape, False, method=cell.initialize_carry)
    for mask in masks.values():
        assert set(np.unique(mask)) <= {0, np.float32(1 / (1 - np.round(0.1 * 2**16) / 2**16))}
