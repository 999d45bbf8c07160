"""MC dropout on CIFAR-10, and three repairs, each added to those before."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common import cifar10
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_open_rates,
    check_positive,
    check_seeds,
    check_types,
    names,
)
from experiments.common.results import sign_of_life
from experiments.common.scores import of_classes
from experiments.common.summary import means_and_errors
from experiments.common.training import fit
from experiments.shift.networks import WideResNet
from experiments.shift.picture import repairs

PART = 500  # images, predicted at once
SHIFT = 2  # pixels, at most


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to train with dropout.

    Attributes:
      noise: Class of the dropout layers; None for no dropout.
      everywhere: Whether they follow every layer; else they are in the residual branches alone.
      small_batches: Whether a batch has `batch_size / num_repeats` different examples.
      repeats: Whether each of those is there `num_repeats` times.
    """

    noise: Callable[..., nn.Module] | None
    everywhere: bool = False
    small_batches: bool = False
    repeats: bool = False


_DROPOUT, _SPATIAL = jaxdrop.linen.Dropout, jaxdrop.linen.SpatialDropout
VARIANTS = {
    "no dropout": Variant(None),
    "dropout": Variant(_DROPOUT),
    "+ after every layer": Variant(_DROPOUT, everywhere=True),
    "+ filter-wise": Variant(_SPATIAL, everywhere=True),
    "+ small batches": Variant(_SPATIAL, everywhere=True, small_batches=True),
    "+ repeated examples": Variant(_SPATIAL, everywhere=True, small_batches=True, repeats=True),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: "cifar10", or "cifar10_jpeg" for compressed pictures.
      variants: Names in `VARIANTS`, separated by semicolons, or "all".
      depth: Convolutions of the network, 6 n + 4.
      width: Multiple of the usual channels.
      stride: Of the first convolution.
      rate: Probability of dropping.
      num_repeats: How often an example is in a batch of repeated ones.
      epochs: Passes over the different examples.
      batch_size: Pictures in a batch, repeated ones included.
      learning_rate: Step size at the start; it falls to 0 along a cosine. In small batches it is smaller in proportion.
      weight_decay: Of all parameters.
      augment: Whether pictures are mirrored and shifted at random in training.
      num_samples: Passes of MC dropout.
      num_seeds: Networks of each variant.
      seed: Of everything random.
      max_examples: Training examples used, the first ones; 0 for all.
      max_test: Test examples used, the first ones; 0 for all.
      validate: Whether to report on the validation examples, to choose settings by.
    """

    dataset: str = "cifar10"
    variants: str = "all"
    depth: int = 28
    width: int = 10
    stride: int = 1
    rate: float = 0.1
    num_repeats: int = 4
    epochs: int = 200
    batch_size: int = 512
    learning_rate: float = 0.2
    weight_decay: float = 6e-4
    augment: bool = True
    num_samples: int = 30
    num_seeds: int = 3
    seed: int = 0
    max_examples: int = 0
    max_test: int = 0
    validate: bool = False

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", cifar10.DATASETS)
        names("variants", self.variants, VARIANTS)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"depth must be 10, 16, 22, ... = 6 n + 4, got {self.depth}")
        check_open_rates(self, "rate")
        check_positive(self, "learning_rate")
        check_at_least(self, 1, "width", "stride", "num_repeats", "epochs", "batch_size", "num_samples")
        check_at_least(self, 0, "weight_decay", "max_examples", "max_test")
        if self.batch_size % self.num_repeats:
            raise ValueError(f"batch_size must be a multiple of num_repeats, got {self.batch_size}, {self.num_repeats}")
        check_seeds(self)


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains and tests all variants.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each variant means over seeds and their standard errors of accuracy in percent, negative log-likelihood in
      nats and calibration error of 15 bins, by MC dropout where there is dropout; and there the same for the pass
      without noise.
    """
    train, held_out = (cifar10.load(config.dataset, split) for split in ("train", _held_out(config)))
    if not config.validate:
        validation = cifar10.load(config.dataset, "validation")
        train = cifar10.Pictures(*(np.concatenate(parts) for parts in zip(train, validation, strict=True)))
    train = cifar10.Pictures(*(part[: config.max_examples or None] for part in train))
    held_out = cifar10.Pictures(*(part[: config.max_test or None] for part in held_out))
    results = {}
    for name in names("variants", config.variants, VARIANTS):
        scores = []
        for seed in range(config.num_seeds):
            key = jax.random.fold_in(jax.random.key(config.seed), seed)
            scores.append(_train_and_test(config, VARIANTS[name], train, held_out, key, workdir, f"{name}, {seed}"))
            sign_of_life(workdir)
        results[name] = means_and_errors(scores)
    repairs(results).savefig(workdir / "repairs.png")
    return results


def _held_out(config: Config) -> str:
    return "validation" if config.validate else "test"


def _train_and_test(
    config: Config,
    variant: Variant,
    train: cifar10.Pictures,
    held_out: cifar10.Pictures,
    key: jax.Array,
    workdir: Path,
    name: str,
) -> dict[str, float]:
    init_key, train_key, sample_key = jax.random.split(key, 3)
    noisy, still = (_network(config, variant, train=flag) for flag in (True, False))
    distinct = config.batch_size // config.num_repeats if variant.small_batches else config.batch_size

    def loss(variables, batch, key, step):
        del step
        augment_key, dropout_key = jax.random.split(key)
        images, labels = batch
        if config.augment:
            images = augment(augment_key, images)
        if variant.repeats:
            # After the random shifts, so that copies differ in their masks alone.
            images, labels = jaxdrop.repeat_examples((images, labels), config.num_repeats)
        outputs: Any = noisy.apply(variables, images, rngs={"dropout": dropout_key}, mutable=["batch_stats"])
        logits, changed = outputs
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), changed

    steps = config.epochs * (len(train.labels) // distinct)
    schedule = optax.cosine_decay_schedule(config.learning_rate * distinct / config.batch_size, max(steps, 1))
    optimizer = optax.chain(
        optax.add_decayed_weights(config.weight_decay), optax.sgd(schedule, momentum=0.9, nesterov=True)
    )
    variables = fit(
        loss,
        jax.jit(still.init)(init_key, train.images[:1]),
        optimizer,
        tuple(train),
        train_key,
        epochs=config.epochs,
        batch_size=distinct,
        workdir=workdir,
        name=name,
        save_every=max(config.epochs // 5, 1),
    )
    plain = _scores(_in_parts(partial(_without_noise, still, variables), held_out.images), held_out.labels)
    if variant.noise is None:
        return plain

    def sampled(images: np.ndarray) -> jax.Array:
        sample = jaxdrop.linen.sampler(still, variables, jnp.asarray(images))
        return jaxdrop.monte_carlo(sample, sample_key, config.num_samples, outputs="logits", num_blocks=1).mean

    noisy_scores = _scores(_in_parts(sampled, held_out.images), held_out.labels)
    return {**noisy_scores, **{f"{score}, without noise": value for score, value in plain.items()}}


def _network(config: Config, variant: Variant, *, train: bool) -> WideResNet:
    noise = variant.noise and partial(variant.noise, config.rate, deterministic=not train)
    return WideResNet(config.depth, config.width, config.stride, noise, variant.everywhere, train)


@partial(jax.jit, static_argnums=0)
def _without_noise(model: WideResNet, variables: Any, images: jax.Array) -> jax.Array:
    logits: Any = model.apply(variables, images)
    return jax.nn.softmax(logits)


def _in_parts(predict: Callable[[np.ndarray], jax.Array], images: np.ndarray) -> jax.Array:
    """Class probabilities, (examples, classes), predicted for a part of the images at a time."""
    return jnp.concatenate([predict(images[start : start + PART]) for start in range(0, len(images), PART)])


def _scores(probabilities: jax.Array, labels: np.ndarray) -> dict[str, float]:
    scores = of_classes(probabilities, labels)
    return {"accuracy %": 100 * scores.pop("accuracy"), **scores}


def augment(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors half of the images (batch, height, width, channels), and shifts each by up to 2 pixels, 0 outside."""
    flip_key, shift_key = jax.random.split(key)
    flips = jax.random.bernoulli(flip_key, 0.5, (len(images), 1, 1, 1))
    images = jnp.where(flips, images[:, :, ::-1], images)
    padded = jnp.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    starts = jax.random.randint(shift_key, (len(images), 2), 0, 2 * SHIFT + 1)

    def crop(image: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (start[0], start[1], 0), images.shape[1:])

    return jax.vmap(crop)(padded, starts)
