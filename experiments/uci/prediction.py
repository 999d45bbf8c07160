"""Scores of many networks on examples of their own: by samples, by moments, and of normal distributions."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import lax

import jaxdrop
from experiments.uci.networks import Method, Setting


class Samples(NamedTuple):
    """What samples say about each example.

    Attributes:
      mean: Mean of the samples, (..., examples), of standardised targets.
      deviation: Their standard deviation, (..., examples).
      log_likelihood: Log-density of the targets, in the unit of the data, (..., examples).
    """

    mean: jax.Array
    deviation: jax.Array
    log_likelihood: jax.Array


def sample(
    method: Method,
    params: Any,
    keys: jax.Array,
    settings: Setting,
    x: jax.Array,
    y: jax.Array,
    splits: jax.Array,
    num_samples: int,
) -> Samples:
    r"""Draws predictions and keeps running statistics of them, so that memory does not grow with their number.

    .. math:: \log p(y \mid x) = \log \sum_t \exp\big(-\tfrac{\tau}{2} (y - \hat y_t)^2\big) - \log T
       - \tfrac{1}{2} \log 2\pi + \tfrac{1}{2} \log \tau

    for each example. Targets and precision :math:`\tau s^2` are standardised, which makes no difference but for
    the Jacobian :math:`-\log s` that is added: no digits are lost to a large mean.

    Args:
      method: The kind of network.
      params: Parameters, with a leading axis of networks, as all of the following.
      keys: PRNG keys.
      settings: Settings.
      x: Standardised features of each split, (splits, examples, features).
      y: Standardised targets, (splits, examples).
      splits: The split of each network.
      num_samples: Number T of samples.

    Returns:
      `Samples`, each (networks, examples).
    """
    return _sample(method, num_samples, params, keys, settings, x, y, splits)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sample(method: Method, num_samples: int, params, keys, settings, x, y, splits) -> Samples:
    def one(params: Any, key: jax.Array, setting: Setting, split: jax.Array) -> Samples:
        inputs, targets = jnp.asarray(x)[split], jnp.asarray(y)[split]
        precision = _standardised_precision(setting)

        def add(number: jax.Array, running: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            mean, squares, likelihood = running
            drawn = method.predict(params, inputs, setting, jax.random.fold_in(key, number))
            difference = drawn - mean
            mean = mean + difference / (number + 1).astype(float)
            exponent = -precision / 2 * jnp.square(targets - drawn)
            return mean, squares + difference * (drawn - mean), jnp.logaddexp(likelihood, exponent)

        zeros = jnp.zeros(targets.shape)
        mean, squares, likelihood = lax.fori_loop(0, num_samples, add, (zeros, zeros, zeros - jnp.inf))
        constant = (jnp.log(precision) - math.log(2 * math.pi)) / 2 - math.log(num_samples) - jnp.log(setting.scale)
        return Samples(mean, jnp.sqrt(squares / num_samples), likelihood + constant)

    return jax.vmap(one)(params, keys, settings, splits)


def propagate(
    method: Method, params: Any, settings: Setting, x: jax.Array, y: jax.Array, splits: jax.Array, *, covariance: bool
) -> Samples:
    """The same by `jaxdrop.moments`, in one pass: the likelihood is that of a normal distribution with these moments.

    Its variance is that of the outputs and 1 / τ.
    """

    def predict(params: Any, inputs: jax.Array, setting: Setting, key: jax.Array) -> jax.Array:
        return method.predict(params, inputs, setting, key)

    @jax.jit
    @jax.vmap
    def one(params: Any, setting: Setting, split: jax.Array) -> Samples:
        p = jaxdrop.moments(
            jax.tree_util.Partial(predict, params, jnp.asarray(x)[split], setting), covariance=covariance
        )
        variance = p.variance + 1 / _standardised_precision(setting)
        likelihood = jax.scipy.stats.norm.logpdf(jnp.asarray(y)[split], p.mean, jnp.sqrt(variance)) - jnp.log(
            setting.scale
        )
        return Samples(p.mean, jnp.sqrt(p.variance), likelihood)

    return one(params, settings, splits)


def mixture_log_likelihood(means: np.ndarray, y: np.ndarray, precision: float, scale: float) -> float:
    """Mean log-density, in the unit of the data, of standardised targets under a mixture of normal distributions.

    Args:
      means: Means of its components, standardised, (components, examples).
      y: Standardised targets, (examples,).
      precision: Of all components, for standardised targets.
      scale: Standard deviation of the targets.
    """
    return float(jaxdrop.metrics.gaussian_mixture_log_likelihood(means, y, precision)) - math.log(scale)


def best_precision(means: np.ndarray, y: np.ndarray) -> float:
    """The precision under which these targets have the largest log-density; see `mixture_log_likelihood`.

    With one component it is one over the mean squared error; with several it is found by expectation maximisation.
    """
    squares = np.square(means - y[None])
    precision = 1 / squares.mean()
    for _ in range(200):
        weights = scipy.special.softmax(-precision / 2 * squares, axis=0)
        precision = 1 / (weights * squares).sum(0).mean()
    return float(precision)


def _standardised_precision(setting: Setting) -> jax.Array:
    return jnp.asarray(setting.precision) * jnp.square(jnp.asarray(setting.scale))
