"""One number that makes a classifier's probabilities less sure, or more, so that they are calibrated."""

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _shards
from jaxdrop.metrics._true_class import of_true_class

_LOG_LIMIT = 7.0  # temperatures from exp(-7), about 1/1000, to exp(7), about 1000
_NUM_STEPS = 32  # each halves the interval: to 14 / 2^32, below the rounding of float32


def fit_temperature(logits: jax.Array, labels: jax.Array) -> jax.Array:
    r"""Temperature of the highest likelihood.

    .. math:: \arg\min_T -\sum_n \log \mathrm{softmax}(z_n / T)_{y_n}

    The loss is convex in :math:`\beta = 1 / T`, with the derivative
    :math:`\sum_n (\sum_c p_{nc} z_{nc} - z_{n y_n})` at :math:`p = \mathrm{softmax}(\beta z)`; bisection on
    :math:`\log \beta` finds its zero. Fit on data that the model was not trained on, all at once, and predict by
    `jax.nn.softmax(logits / temperature)`, which leaves the most probable class what it is.

    To scale the mean over stochastic passes, give its logarithm as `logits`, here and there: `jnp.log(p.mean)` of a
    `jaxdrop.ClassPrediction` `p`.

    Args:
      logits: Unnormalised log-probabilities, (batch, classes), of which those of the wrong classes may be -inf.
      labels: True classes as integers in [0, classes), (batch,).

    Returns:
      A scalar in [exp(-7), exp(7)]. It is the lower end if the true class always is the most probable, for then the
      surer the better; the upper end if the logits are worse than none, or some true class has the logit -inf. No
      gradient flows through it.

    Raises:
      ValueError: If the shapes are others, or the batch is empty.
      TypeError: If `labels` are not integers.

    Examples:
      >>> logits = jnp.array([[jnp.log(9.0), 0.0]] * 4)  # sure to 0.9, right in three of four
      >>> temperature = fit_temperature(logits, jnp.array([0, 0, 0, 1]))
      >>> round(float(temperature), 4), jax.nn.softmax(logits / temperature)[0].round(2).tolist()
      (2.0, [0.75, 0.25])

    References:
      Guo et al., `On Calibration of Modern Neural Networks <https://arxiv.org/abs/1706.04599>`_, 2017; Rahaman and
      Thiery, `Uncertainty Quantification and Deep Ensembles <https://arxiv.org/abs/2007.08792>`_, 2021, on scaling the
      mean rather than each pass
    """
    _checks.class_labels("logits", logits, labels)
    logits = jnp.asarray(logits, dtype=float)
    logits -= logits.max(-1, keepdims=True)
    true = of_true_class(logits, labels)

    def slope(log_beta: jax.Array) -> jax.Array:
        probabilities = jax.nn.softmax(jnp.exp(log_beta) * logits)
        expected = jnp.where(probabilities > 0, probabilities * logits, 0.0).sum(-1)
        return (expected - true).mean()

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        rising = slope(middle) > 0
        return jnp.where(rising, low, middle), jnp.where(rising, middle, high)

    limit = _shards.varying_with(jnp.asarray(_LOG_LIMIT, true.dtype), true)
    low, high = jax.lax.fori_loop(0, _NUM_STEPS, halve, (-limit, limit))
    # No slope is above NaN, nor below: without this they would make the surest end the best.
    return jnp.where(jnp.isnan(slope(jnp.zeros_like(limit))), jnp.nan, jnp.exp(-(low + high) / 2))
