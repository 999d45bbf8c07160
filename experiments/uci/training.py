"""Trains many small networks side by side, each on a part of one table of its own, in one compiled program.

The loop in `experiments.common.training` takes a step of Python for each update and drops the last, smaller batch of an
epoch; here an update takes milliseconds, and that batch counts as in the authors' code.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax import lax
from tqdm import tqdm

from experiments.common.results import sign_of_life
from experiments.uci.networks import Method, Networks, Setting, purposes

# Updates between checkpoints, in whole epochs; some 15 s for 240 networks on a core.
SEGMENT_STEPS = 1000


class _State(NamedTuple):
    params: Any
    opt_state: Any


class _Plan(NamedTuple):
    method: Method
    batch_size: int
    learning_rate: float
    num_rates: int  # different ones in a group, at most

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

    The order of the examples and the noise in an epoch depend on the group's key and the epoch's number alone: a run
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
      Parameters, with leading axes (groups, settings).
    """
    num_rates = max(len(np.unique(rates)) for rates in np.asarray(networks.settings.rate))
    plan = _Plan(method, batch_size, learning_rate, num_rates)
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
    def start(key: jax.Array, settings: Setting) -> _State:
        params = plan.method.init(purposes(key).init, x.shape[-1])
        return jax.vmap(lambda _: _State(params, plan.optimizer.init(params)))(settings)

    return jax.vmap(start)(networks.keys, networks.settings)


# The numbers of the epochs are traced, so that all segments, the last one too, are one program.
@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _advance(
    plan: _Plan, state: _State, networks: Networks, x: jax.Array, y: jax.Array, first: int, last: int
) -> _State:
    """Trains from the beginning of epoch `first` to that of epoch `last`."""
    num_data, size = x.shape[1], plan.batch_size
    steps = -(-num_data // size)
    valid = (jnp.arange(steps * size) < num_data).reshape(steps, size)

    def advance(state: _State, group: Networks) -> _State:
        rates, which = jnp.unique(group.settings.rate, size=plan.num_rates, return_inverse=True)

        def take_step(state: _State, batch: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_State, None]:
            rows, valid, key = batch
            x_batch, y_batch = x[group.splits, rows], y[group.splits, rows]
            # In a loop, which XLA does not fuse: it would draw anew for each setting, forward and backward.
            drawn = lax.map(lambda rate: plan.method.noise(key, x_batch.shape, rate), rates)

            def update(state: _State, setting: Setting, number: jax.Array) -> _State:
                # Of one rate there is one, and what is made of it is made once, if that can be seen before it runs.
                noise = jax.tree.map(lambda each: each[number if plan.num_rates > 1 else 0], drawn)

                def loss(params: Any) -> jax.Array:
                    predicted = plan.method.predict(params, x_batch, noise)
                    errors = jnp.where(valid, predicted - y_batch, 0)
                    penalty = plan.method.penalty(params, setting, num_data)
                    return jnp.square(errors).sum() / valid.sum(dtype=float) + penalty

                gradient = jax.grad(loss)(state.params)
                with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                    updates, opt_state = plan.optimizer.update(gradient, state.opt_state, state.params)
                return _State(optax.apply_updates(state.params, updates), opt_state)

            return jax.vmap(update)(state, group.settings, which), None

        def take_epoch(epoch: jax.Array, state: _State) -> _State:
            order_key, noise_key = jax.random.split(jax.random.fold_in(purposes(group.keys).training, epoch))
            rows = jnp.pad(random_order(order_key, num_data), (0, steps * size - num_data))
            batches = (rows.reshape(steps, size), valid, jax.random.split(noise_key, steps))
            return lax.scan(take_step, state, batches)[0]

        return lax.fori_loop(first, last, take_epoch, state)

    return jax.vmap(advance)(state, networks)


def random_order(key: jax.Array, number: int) -> jax.Array:
    """Numbers from 0 to `number` - 1 in a random order, int32.

    `jax.random.permutation` sorts pairs, twice if there are many, and would take longer than all else in an epoch. Here
    random bits are sorted whose last ones are replaced by the number itself, which is ten times faster on a CPU. Two
    numbers with the same other bits stay in order, of n numbers some n² / 2 · 2^-(32 - log2 n) pairs: of 6000 thirty.
    """
    last_bits = (1 << (number - 1).bit_length()) - 1
    bits = jax.random.bits(key, (number,), jnp.uint32) & jnp.uint32(~last_bits & 0xFFFFFFFF)
    return (lax.sort(bits | jnp.arange(number, dtype=jnp.uint32)) & jnp.uint32(last_bits)).astype(jnp.int32)
