"""Scores of many networks on examples of their own: by samples, by moments, and of normal distributions."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxdrop
from experiments.uci.networks import Method, Networks, Setting, purposes


class Predictions(NamedTuple):
    """What noise makes of the outputs for each example.

    Attributes:
      mean: Mean of the outputs, (..., examples), in the unit of standardised targets.
      deviation: Their standard deviation, (..., examples).
      log_likelihood: Log-density of the targets, in the unit of the data, (..., examples).
    """

    mean: jax.Array
    deviation: jax.Array
    log_likelihood: jax.Array


@functools.partial(jax.jit, static_argnums=(0, 5))
def sample(
    method: Method, params: Any, networks: Networks, x: jax.Array, y: jax.Array, num_samples: int
) -> Predictions:
    r"""Draws predictions and keeps running statistics of them, so that memory does not grow with their number.

    .. math:: \log p(y \mid x) = \log \sum_t \exp\big(-\tfrac{\tau}{2} (y - \hat y_t)^2\big) - \log T
       - \tfrac{1}{2} \log 2\pi + \tfrac{1}{2} \log \tau

    for each example. Targets and precision :math:`\tau s^2` are standardised, which makes no difference but for
    the Jacobian :math:`-\log s` that is added: no digits are lost to a large mean.

    Args:
      method: The kind of network.
      params: Parameters, with leading axes (groups, settings).
      networks: What differs between them.
      x: Standardised features of each split, (splits, examples, features).
      y: Standardised targets, (splits, examples).
      num_samples: Number T of samples.

    Returns:
      `Predictions` of each network for the examples of its split, (groups, settings, examples).
    """

    def predict(params: Any, setting: Setting, key: jax.Array, inputs: jax.Array, targets: jax.Array) -> Predictions:
        precision = _standardised_precision(setting)

        def add(number: jax.Array, running: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            mean, squares, likelihood = running
            noise = method.noise(jax.random.fold_in(key, number), inputs.shape, setting.rate)
            drawn = method.predict(params, inputs, noise)
            difference = drawn - mean
            mean = mean + difference / (number + 1).astype(float)
            exponent = -precision / 2 * jnp.square(targets - drawn)
            return mean, squares + difference * (drawn - mean), jnp.logaddexp(likelihood, exponent)

        zeros = jnp.zeros(targets.shape)
        mean, squares, likelihood = lax.fori_loop(0, num_samples, add, (zeros, zeros, zeros - jnp.inf))
        constant = (jnp.log(precision) - math.log(2 * math.pi)) / 2 - math.log(num_samples) - jnp.log(setting.scale)
        return Predictions(mean, jnp.sqrt(squares / num_samples), likelihood + constant)

    return _of_each(predict, params, networks, x, y)


@functools.partial(jax.jit, static_argnums=(0, 5))
def propagate(
    method: Method, params: Any, networks: Networks, x: jax.Array, y: jax.Array, covariance: bool
) -> Predictions:
    """The same by `jaxdrop.moments`, in one pass; `covariance` is passed on.

    The likelihood is that of a normal distribution with the outputs' mean, and their variance and the noise's together.
    """

    def predict(params: Any, setting: Setting, key: jax.Array, inputs: jax.Array, targets: jax.Array) -> Predictions:
        del key  # noise is followed, not drawn

        def outputs(key: jax.Array) -> jax.Array:
            return method.predict(params, inputs, method.noise(key, inputs.shape, setting.rate))

        p = jaxdrop.moments(outputs, covariance=covariance)
        deviation = jnp.sqrt(p.variance + 1 / _standardised_precision(setting))
        likelihood = jax.scipy.stats.norm.logpdf(targets, p.mean, deviation) - jnp.log(setting.scale)
        return Predictions(p.mean, jnp.sqrt(p.variance), likelihood)

    return _of_each(predict, params, networks, x, y)


def _of_each(
    predict: Callable[..., Predictions], params: Any, networks: Networks, x: jax.Array, y: jax.Array
) -> Predictions:
    """Calls `predict(params, setting, key, inputs, targets)` for each network, with the examples of its split."""

    def of_group(params: Any, group: Networks) -> Predictions:
        key, inputs, targets = purposes(group.keys).prediction, x[group.splits], y[group.splits]
        return jax.vmap(lambda params, setting: predict(params, setting, key, inputs, targets))(params, group.settings)

    return jax.vmap(of_group)(params, networks)


def mixture_log_likelihood(means: np.ndarray, y: np.ndarray, precision: float, scale: float) -> float:
    """Mean log-density, in the unit of the data, of targets under a mixture of normal distributions.

    Args:
      means: Means of its components, standardised, (components, examples).
      y: Standardised targets, (examples,).
      precision: Of all components, in the unit of the data.
      scale: Standard deviation of the targets.
    """
    samples, targets = jnp.asarray(means, jnp.float32), jnp.asarray(y, jnp.float32)
    standardised = float(precision * scale**2)
    return float(jaxdrop.metrics.gaussian_mixture_log_likelihood(samples, targets, standardised)) - math.log(scale)


def best_precision(means: np.ndarray, y: np.ndarray) -> float:
    """The precision, for standardised targets, under which their log-density is largest; see `mixture_log_likelihood`.

    With one component it is one over the mean squared error; with several it is found by expectation maximisation.
    """
    squares = np.square(means - y[None])
    precision = 1 / squares.mean()
    for _ in range(200):
        weights = np.exp(-precision / 2 * (squares - squares.min(0, keepdims=True)))
        precision = 1 / ((weights * squares).sum(0) / weights.sum(0)).mean()
    return float(precision)


def _standardised_precision(setting: Setting) -> jax.Array:
    return jnp.asarray(setting.precision) * jnp.square(jnp.asarray(setting.scale))
