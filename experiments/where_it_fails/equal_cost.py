"""MC dropout against an ensemble that costs as much to train and to predict with, on scikit-learn's digits."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common import data
from experiments.common.scores import of_classes
from experiments.common.training import fit
from experiments.digits.train import MLP
from jaxdrop import metrics

MANY = 100  # passes, to see what more of them would give
NUM_TASKS = 5  # of two classes left out
STRANGE = ("new classes", "turned", "shuffled")
DIFFERENCE = "ensemble less MC dropout"


class Settings(NamedTuple):
    """Of the networks.

    Attributes:
      width: Units of each hidden layer.
      depth: Hidden layers.
      rate: Rate of dropout.
      epochs: Passes over the examples of each member of an ensemble.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      members: Networks in an ensemble; passes of MC dropout, whose network is trained this many times as long.
    """

    width: int
    depth: int
    rate: float
    epochs: int
    batch_size: int
    learning_rate: float
    members: int


class Task(NamedTuple):
    """Digits of eight classes to know, and pictures that are none.

    Attributes:
      train: Examples to train on.
      test: Examples to test on.
      strange: By name, pictures that are not of these classes, (pictures, 8, 8).
    """

    train: data.Examples
    test: data.Examples
    strange: dict[str, np.ndarray]


def task(seed: int) -> Task:
    """Leaves out two classes, others for each of `NUM_TASKS` seeds: 0 and 1, 2 and 3, ..., 8 and 9.

    The strange pictures are test pictures: of these two classes; of the others, turned by 90 degrees; and of the
    others, with their pixels in another order for each.
    """
    left_out = 2 * (seed % NUM_TASKS) + np.arange(2)
    train, test = (data.load("digits", split) for split in ("train", "test"))

    def known(examples: data.Examples) -> data.Examples:
        chosen = ~np.isin(examples.labels, left_out)
        return data.Examples(*(part[chosen] for part in examples))

    pictures = known(test).images
    shuffled = np.random.default_rng(seed).permuted(pictures.reshape(len(pictures), -1), axis=1)
    strange = (
        test.images[np.isin(test.labels, left_out)],
        np.rot90(pictures, axes=(1, 2)).copy(),
        shuffled.reshape(pictures.shape),
    )
    return Task(known(train), known(test), dict(zip(STRANGE, strange, strict=True)))


def compare(settings: Settings, seed: int, key: jax.Array, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains an ensemble and a network with dropout on one task.

    Returns:
      For "one network", the "ensemble" it is of, "MC dropout" with as many passes, and with `MANY`: accuracy, negative
      log-likelihood in nats, expected calibration error, and by kind of strange pictures the area under the ROC curve
      of telling them from test pictures, by the predictive entropy and by the mutual information.
    """
    digits = task(seed)
    ensemble_key, dropout_key, sample_key = jax.random.split(key, 3)
    noisy, still = (MLP(settings.width, settings.depth, rate) for rate in (settings.rate, 0.0))
    # What one member costs, as many times.
    longer = settings._replace(epochs=settings.members * settings.epochs)
    member_keys = jax.random.split(ensemble_key, settings.members)
    members = _train(settings, still, member_keys, digits.train, workdir, f"seed {seed}, ensemble")
    alone = _train(longer, noisy, dropout_key[None], digits.train, workdir, f"seed {seed}, dropout")
    dropout = jax.tree.map(lambda leaf: leaf[0], alone)
    pictures = [digits.test.images, *digits.strange.values()]

    def of_members(images: np.ndarray) -> jax.Array:
        logits: Any = jax.vmap(lambda v: still.apply(v, jnp.asarray(images), deterministic=True))(members)
        return jax.nn.softmax(logits)

    def of_passes(number: int, images: np.ndarray) -> jax.Array:
        sample = jaxdrop.linen.sampler(noisy, dropout, jnp.asarray(images), deterministic=True)
        return jaxdrop.monte_carlo(
            sample, sample_key, number, outputs="logits", num_blocks=1, return_samples=True
        ).samples

    ensemble = [of_members(images) for images in pictures]
    passes = [of_passes(MANY, images) for images in pictures]
    samples = {
        "one network": [each[:1] for each in ensemble],
        "ensemble": ensemble,
        "MC dropout": [each[: settings.members] for each in passes],
        f"MC dropout, {MANY} passes": passes,
    }
    return {name: score(each[0], digits.test.labels, each[1:]) for name, each in samples.items()}


def score(known: jax.Array, labels: np.ndarray, strange: list[jax.Array]) -> dict[str, float]:
    """Scores the probabilities of each pass or member, (passes, pictures, classes), of test and of strange pictures."""
    scores = of_classes(known.mean(0), labels)
    measures = {"entropy": lambda passes: metrics.entropy(passes.mean(0)), "information": metrics.mutual_information}
    for name, passes in zip(STRANGE, strange, strict=True):
        is_strange = jnp.arange(known.shape[1] + passes.shape[1]) >= known.shape[1]
        for kind, uncertainty in measures.items():
            if kind == "entropy" or len(known) > 1:  # a single pass has no mutual information
                values = jnp.concatenate([uncertainty(known), uncertainty(passes)])
                scores[f"AUROC, {name}, {kind}"] = float(metrics.auroc(values, is_strange))
    return scores


def _train(
    settings: Settings, model: MLP, keys: jax.Array, train: data.Examples, workdir: Path, name: str
) -> dict[str, Any]:
    """Trains as many networks side by side as there are keys; returns their variables."""
    init_keys, train_keys = jax.vmap(jax.random.split)(keys).T
    image = jnp.asarray(train.images[:1])

    def loss(variables, batch, key, step):
        del step
        logits: Any = model.apply(variables, batch.images, deterministic=False, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean(), {}

    steps = settings.epochs * (len(train.labels) // settings.batch_size)
    return fit(
        loss,
        jax.jit(jax.vmap(lambda key: model.init(key, image, deterministic=True)))(init_keys),
        optax.adam(optax.cosine_decay_schedule(settings.learning_rate, max(steps, 1))),
        train,
        train_keys,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        workdir=workdir,
        name=name,
        save_every=max(1, settings.epochs // 3),
    )
