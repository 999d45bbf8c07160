r"""Gal's Bayesian reading of dropout: which observation noise a weight decay stands for.

Dropout is variational inference in a model with the prior :math:`w \sim N(0, l^{-2})` on weights and observations
:math:`y \sim N(f(x), \tau^{-1})`. The divergence of a layer's weights M behind masks that drop with probability p is
:math:`\tfrac{l^2}{2} (1 - p) \lVert M \rVert^2`, up to a constant. The negative of the bound, divided by
:math:`N \tau`, is therefore the objective that everybody minimises,

.. math:: \frac1N \sum_n \tfrac12 \lVert y_n - \hat y_n \rVert^2 + \lambda (\lVert W \rVert^2 + \lVert b \rVert^2),
   \quad \lambda = \frac{(1 - p) l^2}{2 N \tau}

so that weight decay, data and length-scale determine the precision. What to mind:

- **The factor 1/2.** A mean squared error without it, as that of Keras, is twice the data's term (over D, where it is a
  mean over D outputs as well). Its :math:`\lambda` must be twice as large for the same optimum: double what
  `model_weight_decay` returns, halve what `model_precision` gets. The authors' code for the UCI data sets has the
  :math:`\lambda` above with such an error, which is half of what it should be: its networks are those of twice the
  precision that it states.
- **The gradient.** That of the penalty is :math:`2 \lambda W`: a decay of weights in an optimiser,
  `optax.add_decayed_weights` before the learning rate, is of :math:`2 \lambda`. After Adam's rescaling, as in `adamw`,
  it belongs to no such objective.
- **Rescaled survivors.** M are the weights as Gal has them: an input that survives comes as it is, as in
  `jaxdrop.standard_dropout`. `jaxdrop.dropout` divides it by 1 - p, the weights it is trained with are
  :math:`W = (1 - p) M`, and :math:`\lambda = l^2 / 2 N \tau (1 - p)`; `rescaled` says so. The authors' code has the
  first formula with rescaled survivors; `variational.kl_concrete` has the second.
- **Units.** :math:`\tau` is in those of the targets that the network was trained on. If these were divided by s, to be
  standardised, the precision in the units of the data is :math:`\tau / s^2`, and a precision of the data has to be
  multiplied by :math:`s^2` before it gives a weight decay. The authors' code does not do that.
- **Biases.** Masks do not touch them: their divergence has no 1 - p. The objective above glosses over it.

A target's predictive variance is that of the samples plus :math:`\tau^{-1}`; the predictive log-likelihood is
`jaxdrop.metrics.gaussian_mixture_log_likelihood`.
"""

import jax
import jax.numpy as jnp

from jaxdrop import _checks


def model_precision(
    rate: jax.typing.ArrayLike,
    length_scale: jax.typing.ArrayLike,
    weight_decay: jax.typing.ArrayLike,
    num_data: int,
    *,
    rescaled: bool = False,
) -> jax.Array:
    r"""The precision of the observation noise that a network with dropout and weight decay assumes.

    .. math:: \tau = \frac{(1 - p) l^2}{2 N \lambda}

    The module `jaxdrop.inference.bayesian` has the objective and what to mind: a squared error without a factor of 1/2
    has a :math:`\lambda` that is twice as large, and standardised targets have another unit.

    Args:
      rate: Probability :math:`p` of dropping in [0, 1]; a number or an array. Where 1, nothing is left of the penalty:
        the precision is 0, or infinite if `rescaled`.
      length_scale: Prior length-scale :math:`l`, above 0: the weights' prior is :math:`N(0, l^{-2})`. A number or an
        array.
      weight_decay: Factor :math:`\lambda` of the squared weights, above 0; a number or an array.
      num_data: Number :math:`N` of training examples.
      rescaled: Whether the survivors were divided by 1 - p in training, as by `jaxdrop.dropout`; then the factor is
        :math:`1 / (1 - p)` in place of :math:`1 - p`. False is the papers' formula.

    Returns:
      The precision :math:`\tau`, float32 or wider, in the shape to which the arguments broadcast.

    Raises:
      ValueError: If `rate` is a number outside [0, 1], `length_scale` or `weight_decay` is one that is not above 0 and
        finite, or `num_data` is below 1.

    Examples:
      >>> tau = jaxdrop.model_precision(rate=0.05, length_scale=0.01, weight_decay=1e-6, num_data=475)
      >>> round(float(tau), 4)  # 0.95 * 0.01**2 / (2 * 475 * 1e-6)
      0.1
      >>> sample = lambda key: jaxdrop.dropout(key, jnp.ones((5, 8)), 0.05) @ jnp.ones((8, 1))
      >>> p = jaxdrop.monte_carlo(sample, jax.random.key(0))
      >>> variance = p.variance + 1 / tau  # of a target

    References:
      Gal & Ghahramani, `Dropout as a Bayesian approximation <https://arxiv.org/abs/1506.02142>`_, 2016
    """
    _checks.positive("weight_decay", weight_decay)
    return _divergence(rate, length_scale, num_data, rescaled) / _float(weight_decay)


def model_weight_decay(
    rate: jax.typing.ArrayLike,
    length_scale: jax.typing.ArrayLike,
    precision: jax.typing.ArrayLike,
    num_data: int,
    *,
    rescaled: bool = False,
) -> jax.Array:
    r"""The weight decay with which a network with dropout assumes a given precision of the observation noise.

    .. math:: \lambda = \frac{(1 - p) l^2}{2 N \tau}

    The inverse of `model_precision`, for the objective in `jaxdrop.inference.bayesian`. Double it for a squared error
    without a factor of 1/2; and double it, once more if so, for an optimiser that decays weights.

    Args:
      rate: As for `model_precision`.
      length_scale: As for `model_precision`.
      precision: Precision :math:`\tau` of the observation noise, above 0, in the units of the targets as the network
        sees them; a number or an array.
      num_data: Number :math:`N` of training examples.
      rescaled: As for `model_precision`.

    Returns:
      The factor :math:`\lambda`, float32 or wider, in the shape to which the arguments broadcast.

    Raises:
      ValueError: If `rate` is a number outside [0, 1], `length_scale` or `precision` is one that is not above 0 and
        finite, or `num_data` is below 1.

    Examples:
      >>> decay = jaxdrop.model_weight_decay(rate=0.05, length_scale=0.01, precision=0.1, num_data=475)
      >>> round(float(decay) * 1e6, 4)
      1.0

    References:
      Gal & Ghahramani, `Dropout as a Bayesian approximation <https://arxiv.org/abs/1506.02142>`_, 2016
    """
    _checks.positive("precision", precision)
    return _divergence(rate, length_scale, num_data, rescaled) / _float(precision)


def _divergence(
    rate: jax.typing.ArrayLike, length_scale: jax.typing.ArrayLike, num_data: int, rescaled: bool
) -> jax.Array:
    """Returns what the squared weights are multiplied by in the divergence of a data point."""
    _checks.static_rate("rate", rate)
    _checks.positive("length_scale", length_scale)
    _checks.at_least("num_data", num_data, 1)
    keep = 1 - _float(rate)
    return (1 / keep if rescaled else keep) * jnp.square(_float(length_scale)) / (2.0 * num_data)


def _float(value: jax.typing.ArrayLike) -> jax.Array:
    return jnp.asarray(value, dtype=float)
