"""The training loop: steps under jit, a checkpoint and metrics after each epoch, resumed where it was killed."""

from collections.abc import Callable, Mapping
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

Variables = Mapping[str, Any]
Loss = Callable[[Variables, Any, jax.Array, jax.Array], tuple[jax.Array, Variables]]


class TrainState(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      step: Updates so far, an integer.
      params: Parameters, a pytree.
      other: The model's other collections of variables.
      opt_state: State of the optimiser.
      best: The lowest value of a metric after any epoch and the variables that had it, or () if none is watched.
    """

    step: jax.Array
    params: Any
    other: Variables
    opt_state: Any
    best: Any = ()

    @property
    def variables(self) -> dict[str, Any]:
        """All collections, as a model takes them."""
        return {"params": self.params, **self.other}


def linear_second_half(learning_rate: float, steps: int) -> optax.Schedule:
    """A step size that stays for the first half of the steps and then falls linearly to 0."""
    half = max(steps // 2, 1)
    return optax.linear_schedule(learning_rate, 0.0, half, steps - half)


def fit(
    loss: Loss,
    variables: Variables,
    optimizer: optax.GradientTransformation,
    examples: Any,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    workdir: Path,
    evaluate: Callable[[Variables], dict[str, jax.Array]] = lambda _: {},
    name: str = "",
    shuffle: bool = True,
    lowest: str = "",
    save_every: int = 1,
    own_examples: bool = False,
) -> dict[str, Any]:
    """Minimises a loss by stochastic gradient descent, epoch by epoch.

    Epoch i takes the examples in the order, and its noise from the key, that `jax.random.fold_in(key, i)` gives. So a
    run that was killed goes on from its last checkpoint as if it had not been: on the same machine, bit for bit.

    Given several keys, it trains as many networks side by side in one compiled program, each as it would be alone.

    Args:
      loss: (variables, batch, key, step) -> the mean over a batch, a scalar, and the new values of the collections
        that it changes, or {}. May use the key for noise; the step counts the updates before.
      variables: Initial variables of the model: 'params', which are trained, and maybe other collections. With a
        leading axis of networks if there are several keys.
      optimizer: An optax optimiser.
      examples: Pytree of arrays whose leading axis counts the examples; a batch is the same pytree.
      key: PRNG key, or a vector of them.
      epochs: Passes over the examples.
      batch_size: Examples in a batch; the examples left over at the end of an epoch are not used in it.
      workdir: Absolute path of the run's folder.
      evaluate: variables -> metrics by name, computed after each epoch, of which the means are logged.
      name: Sub-folder of `workdir` for checkpoints and tensorboard's event files; for a run that trains several times.
      shuffle: Whether to take the examples in random order; else in theirs.
      lowest: Name of a metric, one value for each network.
      save_every: Epochs between checkpoints; more than 1 where an epoch takes no longer than to write one.
      own_examples: Whether each of several networks has its own examples, which then have a leading axis of networks.

    Returns:
      The variables after the last epoch, or for each network after the epoch when its metric `lowest` was lowest.

    Raises:
      RefusedError: If there are fewer examples than `batch_size`.
    """
    folder = workdir / name
    examples = jax.tree.map(jnp.asarray, examples)
    num_examples = jax.tree.leaves(examples)[0].shape[int(own_examples)]
    steps = num_examples // batch_size
    if steps == 0:
        raise RefusedError(f"batch_size must be at most the number of examples, {num_examples}, got {batch_size}")

    def start(variables: Variables) -> TrainState:
        other = {name: values for name, values in variables.items() if name != "params"}
        return TrainState(jnp.asarray(0), variables["params"], other, optimizer.init(variables["params"]))

    def plan_epoch(key: jax.Array, epoch: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array]:
        order_key, noise_key = jax.random.split(jax.random.fold_in(key, epoch))
        order = jax.random.permutation(order_key, num_examples) if shuffle else jnp.arange(num_examples)
        return order[: steps * batch_size].reshape(steps, batch_size), jax.random.split(noise_key, steps)

    def take_step(
        state: TrainState,
        total: jax.Array,
        order: jax.Array,
        keys: jax.Array,
        number: jax.typing.ArrayLike,
        examples: Any,
    ) -> tuple[TrainState, jax.Array]:
        batch = jax.tree.map(lambda x: x[order[number]], examples)

        def loss_of_params(params):
            return loss({"params": params, **state.other}, batch, keys[number], state.step)

        (value, changed), gradient = jax.value_and_grad(loss_of_params, has_aux=True)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = TrainState(state.step + 1, params, {**state.other, **changed}, opt_state, state.best)
        return state, total + value

    def remember(state: TrainState, value: jax.Array) -> TrainState:
        lower = value < state.best[0]
        best = jax.tree.map(lambda new, old: jnp.where(lower, new, old), (value, state.variables), state.best)
        return state._replace(best=best)

    if jnp.ndim(key):
        start, remember = jax.vmap(start), jax.vmap(remember)
        plan_epoch = jax.vmap(plan_epoch, (0, None))
        take_step = jax.vmap(take_step, (0, 0, 0, 0, None, 0 if own_examples else None))
    plan_epoch, take_step = jax.jit(plan_epoch), jax.jit(take_step, donate_argnums=(0, 1))
    remember = jax.jit(remember, donate_argnums=0)
    state = jax.jit(start)(variables)
    if lowest:
        state = state._replace(best=(jnp.full(jnp.shape(key), jnp.inf), state.variables))
    # A copy, for the state is donated.
    state = jax.tree.map(jnp.copy, state)
    # A checkpoint is complete when its call returns: a run killed at any time leaves the last complete one.
    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    with ocp.CheckpointManager(folder / "checkpoints", options=options) as checkpoints:
        done = checkpoints.latest_step() or 0
        if done:
            state = checkpoints.restore(done, args=ocp.args.StandardRestore(state))
        # What an earlier segment logged after its last checkpoint is purged: those epochs are run again.
        with (
            SummaryWriter(str(folder), purge_step=done + 1, filename_suffix=f".{done}") as writer,
            tqdm(range(done, epochs), name or None, epochs, initial=done, unit="epoch", disable=None) as progress,
        ):
            for epoch in progress:
                order, keys = plan_epoch(key, epoch)
                total = jnp.zeros(jnp.shape(key))
                # Not a loop inside the program: in one, XLA's CPU backend takes 5 to 20 times as long for the gradients
                # of a convolution.
                for number in range(steps):
                    state, total = take_step(state, total, order, keys, number, examples)
                metrics = {"train_loss": total.mean() / steps, **evaluate(state.variables)}
                if lowest:
                    state = remember(state, metrics[lowest])
                means = {metric: float(jnp.mean(value)) for metric, value in metrics.items()}
                for metric, mean in means.items():
                    writer.add_scalar(metric, mean, epoch + 1)
                progress.set_postfix({metric: f"{mean:.3f}" for metric, mean in means.items()})
                if (epoch + 1) % save_every == 0 or epoch + 1 == epochs:
                    checkpoints.save(epoch + 1, args=ocp.args.StandardSave(state))
                sign_of_life(workdir)
    return state.best[1] if lowest else state.variables
