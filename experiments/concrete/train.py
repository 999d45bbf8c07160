"""Concrete dropout on a line with noise, with more and more examples."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdrop
import jaxdrop.linen
from experiments.common.config import (
    check_at_least,
    check_open_rates,
    check_positive,
    check_seed,
    check_types,
    integers,
)
from experiments.common.training import fit
from experiments.concrete.picture import against_examples
from jaxdrop import variational

LAYERS = 3


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      sizes: Numbers of training examples, separated by semicolons.
      epochs: Passes over the examples for each of these numbers, separated by semicolons.
      width: Units of each of the three hidden layers.
      length_scale: Prior length-scale of the weights.
      rate: Rates of dropping at the start.
      temperature: Of the relaxed masks.
      batch_size: Examples in a batch; all if there are fewer.
      learning_rate: Adam's step size.
      max_gradient_norm: Longer gradients are shortened to this.
      num_test: Test examples.
      num_samples: Dropout samples of each prediction.
      num_seeds: Networks for each number of examples, each with examples of its own.
      seed: Of everything random.
    """

    sizes: str = "10;25;50;100;1000;10000"
    epochs: str = "2000;2000;750;200;20;2"
    width: int = 1024
    length_scale: float = 1e-4
    rate: float = 0.1
    temperature: float = 0.1
    batch_size: int = 20
    learning_rate: float = 1e-3
    max_gradient_norm: float = 100.0
    num_test: int = 1000
    num_samples: int = 20
    num_seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        if len(integers(self, "sizes")) != len(integers(self, "epochs")):
            raise ValueError(f"epochs must be as many as sizes, {self.sizes!r}, got {self.epochs!r}")
        check_positive(self, "length_scale", "temperature", "learning_rate", "max_gradient_norm")
        check_open_rates(self, "rate")
        check_at_least(self, 1, "width", "batch_size", "num_test", "num_samples", "num_seeds")
        check_seed(self)


class Network(nn.Module):
    """A perceptron whose every layer is behind concrete dropout, (batch, 1) -> mean and log-variance (batch, 2)."""

    config: Config
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Mean of the output, and the logarithm of its noise's variance."""
        for number in range(LAYERS):
            x = nn.relu(self._dense(self.config.width, f"hidden_{number}")(x))
        # Without a bound, a rare sample of masks overflows the inverse of the variance, and ends the training.
        log_variance = jnp.maximum(self._dense(1, "log_variance")(x), -10)
        return jnp.concatenate([self._dense(1, "mean")(x), log_variance], -1)

    def _dense(self, width: int, name: str) -> nn.Module:
        return jaxdrop.linen.ConcreteDropout(
            nn.Dense(width),
            length_scale=self.config.length_scale,
            rate=self.config.rate,
            temperature=self.config.temperature,
            deterministic=not self.train,
            name=name,
        )


def examples(key: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
    """Draws x (number, 1) from N(0, 1) and y = 2 x + 8 with noise of variance 1, as in the authors' notebook."""
    x_key, noise_key = jax.random.split(key)
    x = jax.random.normal(x_key, (number, 1))
    return x, 2 * x + 8 + jax.random.normal(noise_key, (number, 1))


def log_likelihood(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Log-density of y (batch, 1) under normal distributions with these means and log-variances (batch, 2)."""
    mean, log_variance = outputs[..., :1], outputs[..., 1:]
    return -(jnp.square(y - mean) * jnp.exp(-log_variance) + log_variance + jnp.log(2 * jnp.pi))[..., 0] / 2


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains networks on more and more examples.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder, where the picture goes.

    Returns:
      For each number of examples, "N = 10" say, means over the networks: root-mean-square error of the predictive mean
      on test examples, epistemic and aleatoric standard deviation (median over test examples; the latter of the
      mean log-variance, as in the authors' notebook), and the rate before each hidden layer; and of each number the
      standard deviation over networks, if there are several.
    """
    metrics = {}
    for size, number in zip(integers(config, "sizes"), integers(config, "epochs"), strict=True):
        networks = [_train(config, size, number, seed, workdir) for seed in range(config.num_seeds)]
        values = {name: [network[name] for network in networks] for name in networks[0]}
        metrics[f"N = {size}"] = {name: float(np.mean(each)) for name, each in values.items()}
        if config.num_seeds > 1:
            spread = {f"{name}, deviation": float(np.std(each, ddof=1)) for name, each in values.items()}
            metrics[f"N = {size}"].update(spread)
    against_examples(metrics).savefig(workdir / "rates_and_uncertainty.png")
    return metrics


def _train(config: Config, size: int, epochs: int, seed: int, workdir: Path) -> dict[str, float]:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), seed), size)
    data_key, init_key, noise_key, test_key, sample_key = jax.random.split(key, 5)
    network = Network(config, train=True)

    def loss(variables, batch, key, step):
        del step
        x, y = batch
        outputs, state = network.apply(variables, x, rngs={"dropout": key}, mutable=["kl_divergence"])
        return -variational.elbo(log_likelihood(outputs, y), jaxdrop.linen.kl_divergence(state), size), {}

    batch = examples(data_key, size)
    params = fit(
        loss,
        {"params": Network(config).init(init_key, batch[0])["params"]},
        # A rare sample of masks has a gradient of millions, after which Adam stands still for thousands of steps.
        optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), optax.adam(config.learning_rate)),
        batch,
        noise_key,
        epochs=epochs,
        batch_size=min(config.batch_size, size),
        workdir=workdir,
        evaluate=lambda variables: {f"rate_{number}": rate for number, rate in enumerate(rates(variables["params"]))},
        name=f"{size} examples, network {seed}",
        save_every=max(1, epochs // 10),
    )["params"]
    x, y = examples(test_key, config.num_test)
    sample = jaxdrop.linen.sampler(Network(config), {"params": params}, x)
    p = jaxdrop.monte_carlo(sample, sample_key, config.num_samples)
    return {
        "RMSE": float(jnp.sqrt(jnp.mean(jnp.square(p.mean[:, :1] - y)))),
        # Medians, for far from few examples a log-variance may be anything.
        "epistemic": float(jnp.median(jnp.sqrt(p.variance[:, 0]))),
        "aleatoric": float(jnp.median(jnp.exp(p.mean[:, 1] / 2))),
        **{f"rate, layer {number + 1}": float(rate) for number, rate in enumerate(rates(params))},
    }


def rates(params: Any) -> Sequence[jax.Array]:
    """The rate in front of each hidden layer."""
    return [jax.nn.sigmoid(params[f"hidden_{number}"]["logit_rate"]) for number in range(LAYERS)]
