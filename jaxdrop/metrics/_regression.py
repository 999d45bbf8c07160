"""Scores of predictive distributions of real numbers against the targets."""

import math

import jax
import jax.numpy as jnp

from jaxdrop import _checks


def gaussian_mixture_log_likelihood(
    samples: jax.Array, targets: jax.Array, precision: jax.typing.ArrayLike
) -> jax.Array:
    r"""Mean log-density of the targets under the mixture of stochastic passes with Gaussian noise, in nats.

    .. math:: \frac{1}{N} \sum_n \Big( \log \sum_s \exp\big(-\tfrac{\tau}{2} \| y_n - \hat y_{sn} \|^2\big)
       - \log S - \tfrac{D}{2} \log 2\pi + \tfrac{D}{2} \log \tau \Big)

    Each example has its own sum over the passes. Give predictions, targets and precision in one unit: that of the data,
    not of standardised targets, if the number is to compare with papers.

    Args:
      samples: Predictions of each pass, (num_samples, batch, ...).
      targets: (batch, ...), with :math:`D` numbers for each example.
      precision: Noise precision :math:`\tau`, the inverse of its variance, above 0; a scalar.

    Returns:
      A scalar; larger is better.

    Raises:
      ValueError: If the shapes are others, or there is no sample or example, or `precision` is a Python number that is
        not above 0.

    Examples:
      >>> samples, targets = jnp.array([[0.0], [2.0]]), jnp.array([0.0])  # one of two passes is right
      >>> round(float(gaussian_mixture_log_likelihood(samples, targets, 100.0)), 4)  # log(10 / sqrt(2 pi) / 2)
      0.6905

    References:
      Gal and Ghahramani, `Dropout as a Bayesian Approximation <https://arxiv.org/abs/1506.02142>`_, 2016
    """
    _checks.sample_targets(samples, targets)
    _checks.positive("precision", precision)
    samples, targets = jnp.asarray(samples, dtype=float), jnp.asarray(targets, dtype=float)
    precision = jnp.asarray(precision, dtype=float)
    num_samples, batch, *_ = samples.shape
    squares = jnp.square(samples - targets[None]).reshape(num_samples, batch, -1)
    exponent = jax.nn.logsumexp(-precision / 2 * squares.sum(-1), axis=0) - math.log(num_samples)
    return exponent.mean() + squares.shape[-1] / 2 * (jnp.log(precision) - math.log(2 * math.pi))


def root_mean_squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Root of the mean squared difference over all entries.

    Args:
      predictions: (batch, ...); for several passes their mean.
      targets: (batch, ...).

    Returns:
      A scalar, in the unit of the targets.

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> float(root_mean_squared_error(jnp.array([1.0, 2.0]), jnp.array([2.0, 9.0])))  # sqrt((1 + 49) / 2)
      5.0
    """
    _checks.one_shape(predictions=predictions, targets=targets)
    return jnp.sqrt(jnp.square(jnp.asarray(predictions, dtype=float) - jnp.asarray(targets, dtype=float)).mean())


def crps(samples: jax.Array, targets: jax.Array) -> jax.Array:
    r"""Mean continuous ranked probability score of the distribution that puts equal weight on each sample.

    .. math:: \int (F(x) - 1[x \geq y])^2 \, dx = \frac{1}{S} \sum_s |x_s - y| - \frac{1}{2 S^2} \sum_{s,t} |x_s - x_t|

    With one sample it is the absolute error. As an estimate of the score of the distribution that the samples are from
    it is biased upwards, by its mean difference :math:`E|x_s - x_t| / 2` over :math:`S`. Samples of a network's mean
    have no noise; add it, normal with variance :math:`1 / \tau`, to score the prediction of a target.

    Args:
      samples: Predictions, (num_samples, batch, ...).
      targets: (batch, ...); each entry is scored by itself.

    Returns:
      A scalar, in the unit of the targets, at least 0; lower is better.

    Raises:
      ValueError: If the shapes are others, or there is no sample or example.

    Examples:
      >>> float(crps(jnp.array([[0.0], [2.0]]), jnp.array([0.0])))  # (0 + 2) / 2 - (2 + 2) / 8
      0.5

    References:
      Gneiting and Raftery, `Strictly Proper Scoring Rules, Prediction, and Estimation
      <https://sites.stat.washington.edu/raftery/Research/PDF/Gneiting2007jasa.pdf>`_, 2007
    """
    _checks.sample_targets(samples, targets)
    errors = jnp.sort(jnp.asarray(samples, dtype=float) - jnp.asarray(targets, dtype=float)[None], axis=0)
    # In ascending order the i-th of S is the larger of i - 1 pairs and the smaller of S - i.
    size = len(errors)
    weights = (2 * jnp.arange(1, size + 1, dtype=float) - size - 1) / float(size) ** 2
    return (jnp.abs(errors).mean(0) - jnp.tensordot(weights, errors, axes=1, precision="highest")).mean()


def gaussian_crps(mean: jax.Array, deviation: jax.Array, targets: jax.Array) -> jax.Array:
    r"""Mean continuous ranked probability score of normal distributions.

    .. math:: \sigma \Big( z (2 \Phi(z) - 1) + 2 \varphi(z) - \tfrac{1}{\sqrt{\pi}} \Big), \quad z = (y - \mu) / \sigma

    Args:
      mean: Means :math:`\mu`, of any shape.
      deviation: Standard deviations :math:`\sigma`, of that shape; where 0, the score is the absolute error.
      targets: Of that shape.

    Returns:
      A scalar, in the unit of the targets, at least 0; lower is better.

    Raises:
      ValueError: If the shapes differ, or are empty.

    Examples:
      >>> round(float(gaussian_crps(jnp.array([0.0]), jnp.array([1.0]), jnp.array([0.0]))), 4)
      0.2337

    References:
      Gneiting et al., `Calibrated Probabilistic Forecasting Using Ensemble Model Output Statistics and Minimum CRPS
      Estimation <https://doi.org/10.1175/MWR2904.1>`_, 2005
    """
    _checks.one_shape(mean=mean, deviation=deviation, targets=targets)
    mean, deviation, targets = (jnp.asarray(array, dtype=float) for array in (mean, deviation, targets))
    is_zero = deviation == 0
    z = (targets - mean) / jnp.where(is_zero, 1.0, deviation)
    normal = jax.scipy.stats.norm
    score = deviation * (z * (2 * normal.cdf(z) - 1) + 2 * normal.pdf(z) - 1 / math.sqrt(math.pi))
    return jnp.where(is_zero, jnp.abs(targets - mean), score).mean()
