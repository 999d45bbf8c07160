"""The training loop learns, and goes on after an interruption as if there had been none."""

import struct

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tensorboardX.proto import event_pb2

from experiments.common.errors import RefusedError
from experiments.common.training import fit

EXAMPLES = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


class InterruptedRunError(Exception):
    pass


def loss(variables, batch, key, step):
    noise = 0.1 * jax.random.normal(key, batch.shape)
    return jnp.mean((batch + noise - variables["params"][None]) ** 2), {}


def train(workdir, epochs=6, batch_size=8, stop_at=None, seed=0, save_every=1):
    calls = []

    def evaluate(variables):
        calls.append(variables)
        if len(calls) == stop_at:
            raise InterruptedRunError
        return {"validation_loss": jnp.sum(variables["params"] ** 2)}

    variables = fit(
        loss,
        {"params": jnp.ones(3)},
        optax.adam(0.1),
        EXAMPLES,
        jax.random.key(seed),
        epochs=epochs,
        batch_size=batch_size,
        workdir=workdir,
        evaluate=evaluate,
        save_every=save_every,
    )
    return np.asarray(variables["params"]), len(calls)


def logged(path):
    """(step, metric, value) of each scalar in an event file, and the step from which earlier ones are purged."""
    content, scalars, purged = path.read_bytes(), [], None
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]
        if event.HasField("session_log"):
            purged = event.step
        scalars += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return scalars, purged


@pytest.mark.thorough
def test_minimises_the_loss_and_logs_each_epoch(tmp_path):
    params, _ = train(tmp_path, epochs=20)
    np.testing.assert_allclose(params, EXAMPLES.mean(0), atol=0.2)
    scalars, _ = logged(next(tmp_path.glob("events*")))
    losses = [value for _, name, value in scalars if name == "train_loss"]
    assert [step for step, name, _ in scalars if name == "validation_loss"] == list(range(1, 21))
    assert len(losses) == 20
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.thorough
@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_resumes_bit_for_bit_from_the_last_checkpoint(tmp_path, stop_at):
    expected, _ = train(tmp_path / "uninterrupted")
    with pytest.raises(InterruptedRunError):
        train(tmp_path / "interrupted", stop_at=stop_at)
    params, num_epochs = train(tmp_path / "interrupted")
    np.testing.assert_array_equal(params, expected)
    assert num_epochs == 6 - (stop_at - 1)  # the interrupted epoch is run again, the ones before are not


@pytest.mark.thorough
def test_may_save_less_often(tmp_path):
    expected, _ = train(tmp_path / "uninterrupted")
    with pytest.raises(InterruptedRunError):
        train(tmp_path / "interrupted", stop_at=6, save_every=4)
    params, num_epochs = train(tmp_path / "interrupted", save_every=4)
    np.testing.assert_array_equal(params, expected)
    assert num_epochs == 2  # the fourth epoch was saved, the last one is always
    assert train(tmp_path / "interrupted", save_every=4)[1] == 0


@pytest.mark.thorough
def test_resuming_purges_what_was_logged_after_the_checkpoint(tmp_path):
    with pytest.raises(InterruptedRunError):
        train(tmp_path, stop_at=3)
    first = set(tmp_path.glob("events*"))
    train(tmp_path)
    (second,) = set(tmp_path.glob("events*")) - first
    scalars, purged = logged(second)
    assert purged == 3
    assert sorted({step for step, _, _ in scalars}) == [3, 4, 5, 6]


@pytest.mark.thorough
def test_resuming_purges_what_was_logged_before_the_first_checkpoint(tmp_path):
    with pytest.raises(InterruptedRunError):
        train(tmp_path, stop_at=3, save_every=4)
    (first,) = tmp_path.glob("events*")
    first.rename(tmp_path / "first")
    train(tmp_path, save_every=4)
    (second,) = tmp_path.glob("events*")
    scalars, purged = logged(second)
    assert purged == 1
    assert sorted({step for step, _, _ in scalars}) == [1, 2, 3, 4, 5, 6]


@pytest.mark.thorough
def test_equal_seeds_give_equal_parameters_and_other_seeds_others(tmp_path):
    first, _ = train(tmp_path / "a")
    again, _ = train(tmp_path / "b")
    other, _ = train(tmp_path / "c", seed=1)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.thorough
def test_each_epoch_takes_every_example_once_in_another_order(tmp_path):
    batches = []

    def record(variables, batch, key, step):
        jax.debug.callback(lambda values: batches.append(np.asarray(values)), batch)
        return jnp.sum(variables["params"] * batch), {}

    numbers = np.arange(12, dtype=np.float32)
    fit(
        record,
        {"params": jnp.ones(())},
        optax.sgd(0.1),
        numbers,
        jax.random.key(0),
        epochs=2,
        batch_size=4,
        workdir=tmp_path,
    )
    jax.effects_barrier()
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    np.testing.assert_array_equal(np.sort(first), numbers)
    np.testing.assert_array_equal(np.sort(second), numbers)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, numbers)


def test_the_optimiser_keeps_its_state_from_step_to_step(tmp_path):
    three_steps = optax.sgd(lambda count: jnp.where(count < 3, 0.125, 0.0))
    variables = fit_scalar(lambda variables, batch, key, step: (variables["params"], {}), tmp_path, three_steps)
    assert variables["params"] == 1 - 3 * 0.125


def test_the_loss_is_given_the_step_and_changes_other_collections(tmp_path):
    def loss(variables, batch, key, step):
        return step * variables["params"], {"batch_stats": variables["batch_stats"] + step}

    variables = fit_scalar(loss, tmp_path, optax.sgd(0.125), batch_stats=jnp.zeros(()))
    assert variables == {"params": 1 - 0.125 * (0 + 1 + 2 + 3), "batch_stats": 0 + 1 + 2 + 3}


def fit_scalar(loss, workdir, optimizer, **other):
    options = {"epochs": 2, "batch_size": 25, "workdir": workdir, "evaluate": lambda variables: {}}
    return fit(loss, {"params": jnp.ones(()), **other}, optimizer, EXAMPLES, jax.random.key(0), **options)


@pytest.mark.thorough
def test_networks_trained_side_by_side_are_those_trained_alone(tmp_path):
    options = {"epochs": 3, "batch_size": 8, "workdir": tmp_path, "evaluate": lambda variables: {}}
    keys = jax.random.split(jax.random.key(0), 3)
    starts = jnp.arange(9.0).reshape(3, 3)
    optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1))  # whose norm is each network's own
    together = fit(loss, {"params": starts}, optimizer, EXAMPLES, keys, **options, name="together")
    for number in range(3):
        alone = fit(loss, {"params": starts[number]}, optimizer, EXAMPLES, keys[number], **options, name=f"{number}")
        np.testing.assert_allclose(together["params"][number], alone["params"], rtol=1e-5)


@pytest.mark.thorough
def test_networks_side_by_side_may_have_their_own_examples(tmp_path):
    options = {"epochs": 3, "batch_size": 8, "workdir": tmp_path, "evaluate": lambda variables: {}}
    keys, starts = jax.random.split(jax.random.key(0)), jnp.zeros((2, 3))
    examples = np.stack([EXAMPLES[:25], EXAMPLES[25:]])
    own = {"own_examples": True, "name": "together"}
    together = fit(loss, {"params": starts}, optax.adam(0.1), examples, keys, **options, **own)
    for number in range(2):
        alone = {"examples": examples[number], "key": keys[number], "name": f"{number}"}
        variables = fit(loss, {"params": starts[number]}, optax.adam(0.1), **alone, **options)
        np.testing.assert_allclose(together["params"][number], variables["params"], rtol=1e-5)
    with pytest.raises(RefusedError, match="at most the number of examples, 25, got 26"):
        fit(loss, {"params": starts}, optax.adam(0.1), examples, keys, **{**options, "batch_size": 26}, **own)


def test_refuses_a_batch_larger_than_the_data(tmp_path):
    with pytest.raises(RefusedError, match="batch_size must be at most the number of examples, 50, got 51"):
        train(tmp_path, batch_size=51)


def test_takes_the_examples_in_order_if_asked(tmp_path):
    seen = []

    def loss(variables, batch, key, step):
        jax.debug.callback(lambda batch: seen.append(np.asarray(batch)), batch, ordered=True)
        return jnp.sum(variables["params"] * batch.mean()), {}

    examples = np.arange(10, dtype=np.float32)
    fit(
        loss,
        {"params": jnp.ones(())},
        optax.sgd(0.1),
        examples,
        jax.random.key(0),
        epochs=2,
        batch_size=4,
        workdir=tmp_path,
        shuffle=False,
    )
    jax.effects_barrier()
    np.testing.assert_array_equal(np.concatenate(seen), [*range(8), *range(8)])


@pytest.mark.thorough
@pytest.mark.parametrize("stop_at", [None, 4])
def test_returns_each_network_as_it_was_when_its_metric_was_lowest(tmp_path, stop_at):
    """Networks that count epochs, of which the first is best after the second and the second after the third."""
    best, calls = jnp.array([2.0, 3.0]), []

    def train(stop_at):
        def evaluate(variables):
            calls.append(variables)
            if len(calls) == stop_at:
                raise InterruptedRunError
            return {"distance": jnp.abs(variables["params"] - best)}

        return fit(
            lambda variables, batch, key, step: (-variables["params"] + 0 * batch.sum(), {}),
            {"params": jnp.zeros(2)},
            optax.sgd(1.0),
            EXAMPLES,
            jax.random.split(jax.random.key(0)),
            epochs=5,
            batch_size=50,
            workdir=tmp_path,
            evaluate=evaluate,
            lowest="distance",
        )

    if stop_at is not None:
        with pytest.raises(InterruptedRunError):
            train(stop_at)
    np.testing.assert_array_equal(train(None)["params"], best)
    assert len(calls) == 5 + (stop_at is not None)
