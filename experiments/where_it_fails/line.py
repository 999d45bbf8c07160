"""A function of one number, known in two intervals: what is believed between them and beyond."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

import jaxdrop
import jaxdrop.linen
from experiments.common.training import fit

INSIDE = (1.0, 3.0)  # examples have absolute values between these
NOISE = 0.1  # standard deviation of the targets, which all methods know
NUM_EXAMPLES = 100
GRID = np.linspace(-6, 6, 481)
# Absolute values: among the examples; at least 0.5 away from them between the intervals; 2 to 3 away beyond them.
REGIONS = {"inside": INSIDE, "gap": (0.0, 0.5), "far": (5.0, 6.0)}
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"ReLU": nn.relu, "tanh": nn.tanh}


class Settings(NamedTuple):
    """Of the networks.

    Attributes:
      width: Units of each hidden layer.
      depth: Hidden layers.
      rate: Rate of dropout.
      length_scale: Prior length-scale of the weights, of which the weight decay follows.
      epochs: Passes over the examples.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      members: Networks in an ensemble.
      samples: Passes of MC dropout.
    """

    width: int
    depth: int
    rate: float
    length_scale: float
    epochs: int
    batch_size: int
    learning_rate: float
    members: int
    samples: int


class Table(NamedTuple):
    """Examples of several data sets, (sets, examples)."""

    x: jax.Array
    y: jax.Array


class Beliefs(NamedTuple):
    """Mean and standard deviation of the function on `GRID`, without the targets' noise, (sets, points)."""

    mean: np.ndarray
    deviation: np.ndarray


def truth(x: Any) -> Any:
    """The function."""
    return np.sin(2 * x)


def draw(key: jax.Array, num_sets: int) -> Table:
    """Draws data sets: x uniform in the two intervals, y = f(x) with normal noise."""
    sign_key, size_key, noise_key = jax.random.split(key, 3)
    shape = (num_sets, NUM_EXAMPLES)
    x = jax.random.rademacher(sign_key, shape, jnp.float32) * jax.random.uniform(
        size_key, shape, minval=INSIDE[0], maxval=INSIDE[1]
    )
    return Table(x, jnp.sin(2 * x) + NOISE * jax.random.normal(noise_key, shape))


class Perceptron(nn.Module):
    """Hidden layers with dropout behind each, (points,) -> (points,)."""

    settings: Settings
    activation: str
    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The function's values."""
        x = x[:, None] / INSIDE[1]
        for _ in range(self.settings.depth):
            x = ACTIVATIONS[self.activation](nn.Dense(self.settings.width)(x))
            x = jaxdrop.linen.Dropout(self.rate, deterministic=False)(x)
        return nn.Dense(1)(x)[:, 0]


def believe(settings: Settings, key: jax.Array, table: Table, workdir: Path) -> dict[str, Beliefs]:
    """What each method believes about each of the data sets."""
    beliefs = {}
    for number, activation in enumerate(ACTIVATIONS):
        dropout_key, ensemble_key = jax.random.split(jax.random.fold_in(key, number))
        beliefs[f"dropout, {activation}"] = _dropout(settings, activation, dropout_key, table, workdir)
        beliefs[f"ensemble, {activation}"] = _ensemble(settings, activation, ensemble_key, table, workdir)
    beliefs["Gaussian process"] = gaussian_process(table)
    return beliefs


def measure(beliefs: Beliefs) -> list[dict[str, float]]:
    """Numbers for each data set, by region of the line.

    Returns:
      "deviation", the mean over the region; "error", root-mean-square, of the believed mean; "growth" of both, as a
      multiple of their values among the examples; and "coverage", the probability that a new target falls into the
      95 % interval of a normal distribution with this mean, the deviation and the noise.
    """
    total = np.sqrt(np.square(beliefs.deviation) + NOISE**2)
    # In units of the noise, around the truth: no targets need to be drawn.
    ends = [(beliefs.mean + side * norm.ppf(0.975) * total - truth(GRID)[None]) / NOISE for side in (-1, 1)]
    coverage = norm.cdf(ends[1]) - norm.cdf(ends[0])
    values = {}
    for region, (low, high) in REGIONS.items():
        where = (low <= abs(GRID)) & (abs(GRID) <= high)
        values[f"deviation, {region}"] = beliefs.deviation[:, where].mean(1)
        values[f"error, {region}"] = np.sqrt(np.square(beliefs.mean - truth(GRID)[None])[:, where].mean(1))
        values[f"coverage, {region}"] = coverage[:, where].mean(1)
    for region in ("gap", "far"):
        for name in ("deviation", "error"):
            values[f"growth of {name}, {region}"] = values[f"{name}, {region}"] / values[f"{name}, inside"]
    return [{name: float(each[number]) for name, each in values.items()} for number in range(len(beliefs.mean))]


def gaussian_process(table: Table) -> Beliefs:
    """A Gaussian process whose amplitude and length-scale maximise the likelihood of each data set."""
    means, deviations = [], []
    for x, y in zip(*(np.asarray(part, np.float64) for part in table), strict=True):
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(1.0, (1e-2, 1e2))
        process = GaussianProcessRegressor(kernel, alpha=NOISE**2).fit(x[:, None], y)
        mean, deviation = process.predict(GRID[:, None], return_std=True)
        means.append(mean)
        deviations.append(deviation)
    return Beliefs(np.stack(means), np.stack(deviations))


def _dropout(settings: Settings, activation: str, key: jax.Array, table: Table, workdir: Path) -> Beliefs:
    train_key, sample_key = jax.random.split(key)
    network = Perceptron(settings, activation, settings.rate)
    params = _train(settings, network, train_key, table, workdir, f"dropout, {activation}")
    grid = jnp.asarray(GRID, jnp.float32)

    def sample(key: jax.Array) -> Any:
        return jax.vmap(lambda params: network.apply({"params": params}, grid, rngs={"dropout": key}))(params)

    p = jaxdrop.monte_carlo(sample, sample_key, settings.samples, num_blocks=1)
    return Beliefs(np.asarray(p.mean), np.sqrt(np.asarray(p.variance)))


def _ensemble(settings: Settings, activation: str, key: jax.Array, table: Table, workdir: Path) -> Beliefs:
    network = Perceptron(settings, activation, 0.0)
    for_each = Table(*(jnp.repeat(part, settings.members, 0) for part in table))
    params = _train(settings, network, key, for_each, workdir, f"ensemble, {activation}")
    values = jax.vmap(lambda params: network.apply({"params": params}, jnp.asarray(GRID, jnp.float32)))(params)
    values = np.asarray(values).reshape(len(table.x), settings.members, -1)
    return Beliefs(values.mean(1), values.std(1, ddof=1))


def _train(settings: Settings, network: Perceptron, key: jax.Array, table: Table, workdir: Path, name: str) -> Any:
    """Trains a network for each data set, all side by side; returns their parameters."""
    init_keys, train_keys = jax.random.split(key, (2, len(table.x)))
    decays = [decay(settings, network.rate if layer else 0.0) for layer in range(settings.depth + 1)]

    def loss(variables, batch, key, step):
        del step
        outputs: Any = network.apply(variables, batch.x, rngs={"dropout": key})
        kernels = [variables["params"][f"Dense_{layer}"]["kernel"] for layer in range(settings.depth + 1)]
        penalty = sum(factor * jnp.sum(jnp.square(kernel)) for factor, kernel in zip(decays, kernels, strict=True))
        return jnp.mean(jnp.square(outputs - batch.y)) / 2 + penalty, {}

    def init(key: jax.Array) -> Any:
        params_key, dropout_key = jax.random.split(key)
        return network.init({"params": params_key, "dropout": dropout_key}, table.x[0, :1])

    steps = settings.epochs * (NUM_EXAMPLES // settings.batch_size)
    return fit(
        loss,
        jax.jit(jax.vmap(init))(init_keys),
        optax.adam(optax.cosine_decay_schedule(settings.learning_rate, steps)),
        table,
        train_keys,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        workdir=workdir,
        name=name,
        save_every=max(1, settings.epochs // 5),
        own_examples=True,
    )["params"]


def decay(settings: Settings, rate: float) -> float:
    """Factor of the squared weights behind dropout of this rate, with half the mean squared error."""
    return float(jaxdrop.model_weight_decay(rate, settings.length_scale, 1 / NOISE**2, NUM_EXAMPLES, rescaled=True))
