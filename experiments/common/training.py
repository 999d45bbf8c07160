"""The training loop: epochs under jit, a checkpoint and a line of metrics after each, resumed where it was killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
from tensorboardX import SummaryWriter
from tqdm import tqdm

from experiments.common.errors import RefusedError
from experiments.common.results import sign_of_life


class TrainState(NamedTuple):
    """What a checkpoint holds: parameters and optimiser state, pytrees of arrays."""

    params: Any
    opt_state: Any


def fit(
    loss: Callable[[Any, Any, jax.Array], jax.Array],
    params: Any,
    optimizer: optax.GradientTransformation,
    examples: Any,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    workdir: Path,
    evaluate: Callable[[Any], dict[str, jax.Array]],
) -> Any:
    """Minimises a loss by stochastic gradient descent, epoch by epoch.

    Epoch i takes the examples in the order, and its noise from the key, that `jax.random.fold_in(key, i)` gives. So a
    run that was killed goes on from its last checkpoint as if it had not been: on the same machine, bit for bit.

    Args:
      loss: (params, batch, key) -> scalar, the mean over a batch; may use the key for noise.
      params: Initial parameters, a pytree.
      optimizer: An optax optimiser.
      examples: Pytree of arrays whose leading axis counts the examples; a batch is the same pytree.
      key: PRNG key.
      epochs: Passes over the examples.
      batch_size: Examples in a batch; the examples left over at the end of an epoch are not used in it.
      workdir: Absolute path of the folder for checkpoints and tensorboard's event files.
      evaluate: params -> metrics by name, computed and logged after each epoch.

    Returns:
      The parameters after the last epoch.

    Raises:
      RefusedError: If there are fewer examples than `batch_size`.
    """
    examples = jax.tree.map(jnp.asarray, examples)
    num_examples = len(jax.tree.leaves(examples)[0])
    steps = num_examples // batch_size
    if steps == 0:
        raise RefusedError(f"batch_size must be at most the number of examples, {num_examples}, got {batch_size}")

    @jax.jit
    def run_epoch(state: TrainState, epoch: jax.Array) -> tuple[TrainState, jax.Array]:
        order_key, noise_key = jax.random.split(jax.random.fold_in(key, epoch))
        order = jax.random.permutation(order_key, num_examples)[: steps * batch_size].reshape(steps, batch_size)

        def step(state, inputs):
            indices, step_key = inputs
            batch = jax.tree.map(lambda x: x[indices], examples)
            value, gradient = jax.value_and_grad(loss)(state.params, batch, step_key)
            with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            return TrainState(optax.apply_updates(state.params, updates), opt_state), value

        state, losses = jax.lax.scan(step, state, (order, jax.random.split(noise_key, steps)))
        return state, losses.mean()

    state = TrainState(params, optimizer.init(params))
    # A checkpoint is complete when its call returns: a run killed at any time leaves the last complete one.
    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    with ocp.CheckpointManager(workdir / "checkpoints", options=options) as checkpoints:
        done = checkpoints.latest_step() or 0
        if done:
            state = checkpoints.restore(done, args=ocp.args.StandardRestore(state))
        # What an earlier segment logged after its last checkpoint is purged: those epochs are run again.
        with (
            SummaryWriter(str(workdir), purge_step=done + 1 if done else None, filename_suffix=f".{done}") as writer,
            tqdm(range(done, epochs), initial=done, total=epochs, unit="epoch", disable=None) as progress,
        ):
            for epoch in progress:
                state, train_loss = run_epoch(state, epoch)
                metrics = {"train_loss": train_loss, **evaluate(state.params)}
                for name, value in metrics.items():
                    writer.add_scalar(name, float(value), epoch + 1)
                progress.set_postfix({name: f"{float(value):.3f}" for name, value in metrics.items()})
                checkpoints.save(epoch + 1, args=ocp.args.StandardSave(state))
                sign_of_life(workdir)
    return state.params
