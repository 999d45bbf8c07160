"""Training on the images that are labelled, in one compiled program however many they are."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxdrop import metrics

# Images that are predicted at once, so that what the network computes of them fits a cache.
PART = 100

# (key, places of labelled images, their number, places of validation images) -> variables, epochs
Train = Callable[[jax.Array, jax.Array, int, jax.Array], tuple[Any, int]]


class Plan(NamedTuple):
    """How long to train.

    Attributes:
      epochs: The most epochs.
      epoch_images: Images in an epoch.
      batch_size: Images in a batch; those that are left over in an epoch are not used.
      patience: Epochs without a higher validation accuracy than any before, after which training ends.
      learning_rate: Adam's step size.
    """

    epochs: int
    epoch_images: int
    batch_size: int
    patience: int
    learning_rate: float


def trainer(network: Callable[[bool], nn.Module], images: jax.Array, labels: jax.Array, plan: Plan) -> Train:
    """Makes a function that trains a new network.

    An epoch takes the labelled images in random order, as often as it takes to have `epoch_images`: each equally often
    but for one time. So its shape does not depend on how many there are.

    Args:
      network: train -> the network.
      images: All images, (images, ...).
      labels: Classes of all of them, of which those not chosen are not read, (images,).
      plan: How long to train.

    Returns:
      (key, labelled, number, validation) -> the variables after the epoch of the highest accuracy on the images at the
      places `validation`, without dropout, the first of equal ones; and the number of epochs trained. `labelled` holds
      the places of the labelled images in its first `number` entries; its length should stay the same, so that nothing
      is compiled again.
    """
    noisy, still = network(True), network(False)
    optimizer = optax.adam(plan.learning_rate)
    steps = plan.epoch_images // plan.batch_size

    @jax.jit
    def start(key, image):
        params = still.init(key, image)["params"]
        return params, optimizer.init(params)

    @jax.jit
    def plan_epoch(key, labelled, number):
        order_key, noise_key = jax.random.split(key)
        order = jax.random.permutation(order_key, plan.epoch_images)[: steps * plan.batch_size]
        return labelled[order % number].reshape(steps, plan.batch_size), jax.random.split(noise_key, steps)

    # The images are arguments: a program would copy what it closes over.
    @jax.jit
    def step(params, state, images, labels, rows, keys, number):
        def loss(params):
            batch, rngs = images[rows[number]], {"dropout": keys[number]}
            logits = cast(jax.Array, noisy.apply({"params": params}, batch, rngs=rngs))
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows[number]]).mean()

        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    predict = jax.jit(lambda params, images: cast(jax.Array, still.apply({"params": params}, images)))

    def train(key: jax.Array, labelled: jax.Array, number: int, validation: jax.Array) -> tuple[Any, int]:
        init_key, key = jax.random.split(key)
        params, state = start(init_key, images[:1])
        held_out, truth = parts(images[validation]), labels[validation]
        best, best_params, best_epoch, epoch = -1.0, params, 0, 0
        while epoch < plan.epochs and epoch - best_epoch < plan.patience:
            rows, keys = plan_epoch(jax.random.fold_in(key, epoch), labelled, number)
            # Not a loop inside the program: see `experiments.common.training.fit`.
            for place in range(steps):
                params, state = step(params, state, images, labels, rows, keys, place)
            epoch += 1
            logits = jnp.concatenate([predict(params, part) for part in held_out])
            score = float(metrics.accuracy(logits, truth))
            if score > best:
                best, best_params, best_epoch = score, params, epoch
        return {"params": best_params}, epoch

    return train


def parts(images: jax.Array) -> list[jax.Array]:
    """The images in parts of `PART`, of which the last may be smaller."""
    return [images[start : start + PART] for start in range(0, len(images), PART)]
