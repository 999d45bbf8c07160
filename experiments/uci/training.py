"""Trains many small networks side by side, each on a part of one table of its own, in one compiled program.

The loop in `experiments.common.training` has one set of examples for all networks and a step of Python for each update;
here an update takes milliseconds, and the last batch of an epoch, which may be smaller, counts as in the authors' code.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
from jax import lax
from tqdm import tqdm

from experiments.common.results import sign_of_life
from experiments.uci.networks import Method, Setting

# Updates between checkpoints, in whole epochs; some 20 s for 240 networks on 2 cores.
SEGMENT_STEPS = 1000


class _State(NamedTuple):
    params: Any
    opt_state: Any


def fit_networks(
    method: Method,
    keys: jax.Array,
    settings: Setting,
    x: jax.Array,
    y: jax.Array,
    splits: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    workdir: Path,
    name: str,
) -> Any:
    """Minimises the mean squared error and the penalty of each network by Adam.

    The order of the examples and the noise in an epoch depend on the network's key and the epoch's number alone: a run
    that was killed goes on from its last checkpoint as if it had not been, and a network is what it would be alone.

    Args:
      method: The kind of network.
      keys: PRNG keys, one for each network.
      settings: Setting of each network, arrays (networks,).
      x: Standardised features of each split, (splits, examples, features).
      y: Standardised targets, (splits, examples).
      splits: Which split each network is trained on, (networks,).
      epochs: Passes over the examples.
      batch_size: Examples in a batch; the last one of an epoch may have fewer.
      learning_rate: Adam's step size.
      workdir: Absolute path of the run's folder.
      name: Sub-folder for checkpoints.

    Returns:
      Parameters, with a leading axis of networks.
    """
    num_data, features = x.shape[1:]
    steps = -(-num_data // batch_size)
    optimizer = optax.adam(learning_rate)

    def start(key: jax.Array) -> _State:
        params = method.init(jax.random.split(key)[0], features)
        return _State(params, optimizer.init(params))

    def advance(state: _State, key, setting: Setting, split, x: jax.Array, y: jax.Array, first, last) -> _State:
        def take_step(state: _State, batch: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_State, None]:
            rows, valid, key = batch
            x_batch, y_batch = x[split, rows], y[split, rows]

            def loss(params: Any) -> jax.Array:
                errors = jnp.where(valid, method.predict(params, x_batch, setting, key) - y_batch, 0)
                return jnp.square(errors).sum() / valid.sum(dtype=float) + method.penalty(params, setting, num_data)

            gradient = jax.grad(loss)(state.params)
            with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            return _State(optax.apply_updates(state.params, updates), opt_state), None

        def take_epoch(epoch: jax.Array, state: _State) -> _State:
            order_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.split(key)[1], epoch))
            surplus = steps * batch_size - num_data
            rows = jnp.pad(jax.random.permutation(order_key, num_data), (0, surplus)).reshape(steps, batch_size)
            valid = (jnp.arange(steps * batch_size) < num_data).reshape(steps, batch_size)
            return lax.scan(take_step, state, (rows, valid, jax.random.split(noise_key, steps)))[0]

        return lax.fori_loop(first, last, take_epoch, state)

    # The bounds are traced, so that all segments, the last one too, are one program.
    advance_all = jax.jit(jax.vmap(advance, (0, 0, 0, 0, None, None, None, None)), donate_argnums=0)
    state = jax.jit(jax.vmap(start))(keys)
    segment = max(1, SEGMENT_STEPS // steps)
    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    with ocp.CheckpointManager(workdir / name / "checkpoints", options=options) as checkpoints:
        done = checkpoints.latest_step() or 0
        if done:
            state = checkpoints.restore(done, args=ocp.args.StandardRestore(state))
        with tqdm(desc=name, total=epochs, initial=done, unit="epoch", disable=None) as progress:
            while done < epochs:
                last = min(done + segment, epochs)
                state = jax.block_until_ready(advance_all(state, keys, settings, splits, x, y, done, last))
                checkpoints.save(last, args=ocp.args.StandardSave(state))
                sign_of_life(workdir)
                progress.update(last - done)
                done = last
    return state.params
