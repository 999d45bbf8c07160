"""Trains many small networks side by side, each on a part of one table of its own, in one compiled program.

The loop in `experiments.common.training` has one set of examples for all networks and a step of Python for each update;
here an update takes milliseconds, and the last batch of an epoch, which may be smaller, counts as in the authors' code.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
from jax import lax
from tqdm import tqdm

from experiments.common.results import sign_of_life
from experiments.uci.networks import Method, Networks, purposes

# Updates between checkpoints, in whole epochs; some 20 s for 240 networks on 2 cores.
SEGMENT_STEPS = 1000


class _State(NamedTuple):
    params: Any
    opt_state: Any


class _Plan(NamedTuple):
    method: Method
    batch_size: int
    learning_rate: float

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


def fit_networks(
    method: Method,
    networks: Networks,
    x: jax.Array,
    y: jax.Array,
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
      networks: What differs between them.
      x: Standardised features of each split, (splits, examples, features).
      y: Standardised targets, (splits, examples).
      epochs: Passes over the examples.
      batch_size: Examples in a batch; the last one of an epoch may have fewer.
      learning_rate: Adam's step size.
      workdir: Absolute path of the run's folder.
      name: Sub-folder for checkpoints.

    Returns:
      Parameters, with a leading axis of networks.
    """
    plan = _Plan(method, batch_size, learning_rate)
    state = _start(plan, networks, x)
    segment = max(1, SEGMENT_STEPS // -(-x.shape[1] // batch_size))
    # A checkpoint is complete when its call returns: a run killed at any time leaves the last complete one.
    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    with ocp.CheckpointManager(workdir / name / "checkpoints", options=options) as checkpoints:
        done = checkpoints.latest_step() or 0
        if done:
            state = checkpoints.restore(done, args=ocp.args.StandardRestore(state))
        with tqdm(desc=name, total=epochs, initial=done, unit="epoch", disable=None) as progress:
            while done < epochs:
                last = min(done + segment, epochs)
                state = jax.block_until_ready(_advance(plan, state, networks, x, y, done, last))
                checkpoints.save(last, args=ocp.args.StandardSave(state))
                sign_of_life(workdir)
                progress.update(last - done)
                done = last
    return state.params


@functools.partial(jax.jit, static_argnums=0)
def _start(plan: _Plan, networks: Networks, x: jax.Array) -> _State:
    def start(key: jax.Array) -> _State:
        params = plan.method.init(purposes(key).init, x.shape[-1])
        return _State(params, plan.optimizer.init(params))

    return jax.vmap(start)(networks.keys)


# The numbers of the epochs are traced, so that all segments, the last one too, are one program.
@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _advance(
    plan: _Plan, state: _State, networks: Networks, x: jax.Array, y: jax.Array, first: int, last: int
) -> _State:
    """Trains from the beginning of epoch `first` to that of epoch `last`."""
    num_data, size = x.shape[1], plan.batch_size
    steps = -(-num_data // size)
    valid = (jnp.arange(steps * size) < num_data).reshape(steps, size)

    def advance(state: _State, network: Networks) -> _State:
        def take_step(state: _State, batch: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_State, None]:
            rows, valid, key = batch
            x_batch, y_batch = x[network.splits, rows], y[network.splits, rows]

            def loss(params: Any) -> jax.Array:
                errors = jnp.where(valid, plan.method.predict(params, x_batch, network.settings, key) - y_batch, 0)
                penalty = plan.method.penalty(params, network.settings, num_data)
                return jnp.square(errors).sum() / valid.sum(dtype=float) + penalty

            gradient = jax.grad(loss)(state.params)
            with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                updates, opt_state = plan.optimizer.update(gradient, state.opt_state, state.params)
            return _State(optax.apply_updates(state.params, updates), opt_state), None

        def take_epoch(epoch: jax.Array, state: _State) -> _State:
            order_key, noise_key = jax.random.split(jax.random.fold_in(purposes(network.keys).training, epoch))
            rows = jnp.pad(jax.random.permutation(order_key, num_data), (0, steps * size - num_data))
            batches = (rows.reshape(steps, size), valid, jax.random.split(noise_key, steps))
            return lax.scan(take_step, state, batches)[0]

        return lax.fori_loop(first, last, take_epoch, state)

    return jax.vmap(advance)(state, networks)
