r"""Distillation: a student that predicts in one pass what a teacher under noise predicts by many, and how surely.

The student of a classifier gives one number for each class, as any classifier does. They are read as the logarithms of
the concentrations of a Dirichlet distribution over class probabilities, :math:`\alpha_c = e^{z_c}`, whose mean is the
softmax and whose total :math:`\alpha_0 = \sum_c \alpha_c` says how little the teacher's samples vary. The student of a
regression gives a mean and the logarithm of a variance.

Inputs for the distillation need no labels. Where the student is to be unsure as the teacher is, away from the data, it
must see such inputs too.

For the predictive distribution alone, without its parts, the loss is the cross-entropy to the mean over samples
(Korattikara et al., `Bayesian dark knowledge <https://arxiv.org/abs/1506.04416>`_, 2015; Bulò et al., `Dropout
distillation <https://proceedings.mlr.press/v48/bulo16.html>`_, 2016):
`optax.softmax_cross_entropy(logits, prediction.mean)`.
"""

import math

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks
from jaxdrop.inference.moments import Moments
from jaxdrop.inference.prediction import ClassPrediction, Prediction


def dirichlet_distillation_loss(
    logits: jax.typing.ArrayLike, probabilities: jax.typing.ArrayLike, *, smoothing: jax.typing.ArrayLike = 1e-3
) -> jax.Array:
    r"""Negative mean log-density of a teacher's class probabilities under the Dirichlet distribution of the student.

    .. math:: -\frac{1}{S} \sum_s \log \mathrm{Dir}(\tilde p_s \mid \alpha), \quad \alpha_c = e^{z_c}, \quad
       \tilde p_s = (1 - \gamma) p_s + \gamma / C

    The density is 0 or infinite at a probability of exactly 0, as softmax gives it in float32 for logits that are 104
    apart. So the probabilities are mixed with the uniform distribution first, as the authors do. It bounds
    :math:`\log \tilde p` from below by :math:`\log(\gamma / C)`.

    Terms of the size of :math:`\alpha_0 \log \alpha_0` are cancelled by hand. What is left of them is
    :math:`\alpha_0` times a divergence, where the factor goes on linearly in its logarithm beyond :math:`e^{60}`: value
    and gradient are finite for any logits. Both may be large for a student that is sure and wrong. The authors help by
    a temperature that divides the logits of teacher and student and falls to 1 during training; do so outside. With
    very many classes the loss converges badly (Ryabinin et al., 2021).

    Args:
      logits: The student's :math:`z`, finite, floating point of shape (..., classes).
      probabilities: The teacher's class probabilities, (num_samples, ..., classes), such as the `samples` of a
        `ClassPrediction`. Of them only the mean of :math:`\log \tilde p` matters: to keep no samples, keep that, as the
        mean that `monte_carlo` has of such values, and give its exponential as one sample with a `smoothing` of 0.
      smoothing: Weight :math:`\gamma` of the uniform distribution in [0, 1]; a number or a scalar array. By default
        that of the authors' code. 0 is for probabilities above 0 alone.

    Returns:
      The loss of each example, (...), in float32, or float64 for such arrays. It may be negative, as densities may
      exceed 1.

    Raises:
      ValueError: If the shapes are others, there is no sample or class, or `smoothing` is a number outside [0, 1].
      TypeError: If an array is not real floating point.

    Examples:
      >>> sample = lambda key: 3 * jaxdrop.dropout(key, jnp.eye(3), 0.5)  # the teacher's logits for three inputs
      >>> p = jaxdrop.monte_carlo(sample, jax.random.key(0), outputs="logits", return_samples=True)
      >>> jaxdrop.dirichlet_distillation_loss(jnp.zeros((3, 3)), p.samples).shape
      (3,)
      >>> loss = jaxdrop.dirichlet_distillation_loss(jnp.log(jnp.array([2.0, 2.0])), jnp.array([[0.5, 0.5]]))
      >>> round(float(loss), 4)  # -log(6 / 4)
      -0.4055

    References:
      Malinin et al., `Ensemble distribution distillation <https://arxiv.org/abs/1905.00076>`_, 2020;
      Ryabinin et al., `Scaling ensemble distribution distillation to many classes with proxy targets
      <https://arxiv.org/abs/2105.06987>`_, 2021
    """
    logits, probabilities = _checks.real("logits", logits), _checks.real("probabilities", probabilities)
    _checks.samples_of_logits("probabilities", probabilities, "logits", logits)
    _checks.static_rate("smoothing", smoothing)
    classes = logits.shape[-1]
    dtype = jnp.promote_types(_masks.wide(logits.dtype), _masks.wide(probabilities.dtype))
    smoothing = jnp.asarray(smoothing, dtype)
    targets = jnp.log((1 - smoothing) * probabilities.astype(dtype) + smoothing / classes).mean(0)
    log_alpha, log_total, log_mean = _log_parameters(logits.astype(dtype))
    # By Stirling's formula what is of the order of the total becomes a divergence times the total.
    divergence = jnp.sum(jnp.exp(log_mean) * (log_mean - targets), axis=-1)
    smaller = (
        jnp.sum(_log_gamma_rest(log_alpha) + targets - log_mean / 2, axis=-1)
        - _log_gamma_rest(log_total)
        - (classes - 1) / 2 * (log_total - math.log(2 * math.pi))
    )
    return _exp(log_total) * divergence + smaller


def dirichlet_prediction(logits: jax.typing.ArrayLike) -> ClassPrediction:
    r"""What a student's Dirichlet distribution says of the class and of its own uncertainty, in closed form.

    .. math:: \bar p = \mathrm{softmax}(z), \quad \mathrm{Var}[p_c] = \frac{\bar p_c (1 - \bar p_c)}{\alpha_0 + 1},
       \quad E[H[p]] = \psi(\alpha_0 + 1) - \sum_c \bar p_c \psi(\alpha_c + 1), \quad I = H[\bar p] - E[H[p]]

    with :math:`\alpha_c = e^{z_c}` and their sum :math:`\alpha_0`. The information of concentrated distributions, which
    is :math:`(C - 1) / 2 \alpha_0`, is computed without cancellation, so that certain inputs can be ranked by it.

    Args:
      logits: The student's :math:`z`, finite, floating point of shape (..., classes).

    Returns:
      `ClassPrediction` without `votes` and whatever else is of samples, of which there are none; float32, or float64
      for such logits. Its mutual information is that of the distribution, not biased as that of few samples is.

    Raises:
      ValueError: If `logits` has no class.
      TypeError: If `logits` is not real floating point.

    Examples:
      >>> p = jaxdrop.dirichlet_prediction(jnp.log(jnp.array([[1.0, 1.0], [100.0, 100.0]])))
      >>> p.mean.tolist()
      [[0.5, 0.5], [0.5, 0.5]]
      >>> [round(float(i), 4) for i in p.mutual_information]  # log(2) - 1/2; about 1/400
      [0.1931, 0.0025]

    References:
      Malinin & Gales, `Predictive uncertainty estimation via prior networks <https://arxiv.org/abs/1802.10501>`_, 2018,
      appendix; Malinin et al., `Ensemble distribution distillation <https://arxiv.org/abs/1905.00076>`_, 2020
    """
    logits = _checks.real("logits", logits)
    _checks.at_least("the number of classes, the last axis of logits,", logits.shape[-1] if logits.ndim else 0, 1)
    log_alpha, log_total, log_mean = _log_parameters(logits.astype(_masks.wide(logits.dtype)))
    mean = jnp.exp(log_mean)
    variance = mean * (1 - mean) * jax.nn.sigmoid(-log_total)[..., None]
    entropy = -jnp.sum(mean * log_mean, axis=-1)
    # Of the two parts the smaller one is computed, and the other is what it leaves of the entropy.
    information = jnp.sum(mean * _digamma_rest(log_alpha), axis=-1) - _digamma_rest(log_total)
    log_alpha, log_small = jnp.minimum(log_alpha, 0), jnp.minimum(log_total, 0)
    digammas = jax.scipy.special.digamma(1 + jnp.exp(log_alpha))
    expected = jax.scipy.special.digamma(1 + jnp.exp(log_small)) - jnp.sum(mean * digammas, axis=-1)
    expected = jnp.clip(jnp.where(log_total < 0, expected, entropy - information), 0, entropy)
    information = jnp.clip(jnp.where(log_total < 0, entropy - expected, information), 0, entropy)
    return ClassPrediction(mean, variance, entropy, expected, information)


def gaussian_distillation_loss(
    mean: jax.typing.ArrayLike, log_variance: jax.typing.ArrayLike, teacher: Prediction | Moments
) -> jax.Array:
    r"""Expected negative log-density of what a teacher predicts under the normal distribution of the student, in nats.

    .. math:: E\big[-\log N(y \mid \mu, e^s)\big]
       = \tfrac12 \Big(\log 2\pi + s + e^{-s} \big((\bar y - \mu)^2 + \mathrm{Var}[y]\big)\Big)

    which is least at the teacher's mean and variance. Samples are not needed.

    A teacher's variance is that of its outputs under noise: the epistemic part. For the variance of a target, add that
    of the observations, :math:`1 / \tau`, as `model_precision` gives it. It also keeps the loss bounded from below,
    which it is not where the variance is 0.

    Args:
      mean: The student's mean :math:`\mu`, floating point of any shape.
      log_variance: The student's :math:`s`, of that shape; with :math:`-s` beyond 60 the loss grows linearly, so that
        it and its gradient stay finite.
      teacher: `Prediction` or `Moments` whose mean and variance are arrays of that shape.

    Returns:
      The loss of each output, of that shape, in float32, or float64 for such arrays.

    Raises:
      ValueError: If the shapes differ.
      TypeError: If an array is not real floating point.

    Examples:
      >>> sample = lambda key: jaxdrop.dropout(key, jnp.ones((5, 100)), 0.5) @ jnp.ones((100, 1))
      >>> teacher = jaxdrop.monte_carlo(sample, jax.random.key(0))
      >>> teacher = teacher._replace(variance=teacher.variance + 1 / 0.25)  # of a target, with a precision of 0.25
      >>> mean, log_variance = teacher.mean, jnp.log(teacher.variance)
      >>> best = jaxdrop.gaussian_distillation_loss(mean, log_variance, teacher)
      >>> bool(jnp.all(jaxdrop.gaussian_distillation_loss(mean + 1, log_variance, teacher) > best))
      True

    References:
      Korattikara et al., `Bayesian dark knowledge <https://arxiv.org/abs/1506.04416>`_, 2015
    """
    arrays = {
        "mean": _checks.real("mean", mean),
        "log_variance": _checks.real("log_variance", log_variance),
        "teacher.mean": _checks.real("teacher.mean", teacher.mean),
        "teacher.variance": _checks.real("teacher.variance", teacher.variance),
    }
    for name, array in arrays.items():
        _checks.same_shape(name, array, "mean", arrays["mean"])
    dtype = jnp.result_type(*(_masks.wide(array.dtype) for array in arrays.values()))
    mean, log_variance, teacher_mean, variance = (array.astype(dtype) for array in arrays.values())
    squares = jnp.square(teacher_mean - mean) + variance
    return (math.log(2 * math.pi) + log_variance + _exp(-log_variance) * squares) / 2


def _log_parameters(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the logarithms of the concentrations, of their sum and of the mean."""
    return logits, jax.nn.logsumexp(logits, axis=-1), jax.nn.log_softmax(logits)


def _exp(x: jax.Array) -> jax.Array:
    """Returns the exponential, continued by its tangent beyond 60: it does not overflow, and still has a slope."""
    return jnp.exp(jnp.minimum(x, 60)) * (1 + jnp.maximum(x - 60, 0))


def _log_gamma_rest(log_x: jax.Array) -> jax.Array:
    """Returns log Gamma(x) less Stirling's (x - 1/2) log x - x + log(2 pi) / 2: about 1 / 12x where x is large."""
    x = jnp.exp(jnp.minimum(log_x, math.log(8)))
    # Gamma(x) = Gamma(1 + x) / x: then the smallest x may underflow.
    direct = jax.lax.lgamma(1 + x) - (x + 0.5) * jnp.minimum(log_x, math.log(8)) + x - math.log(2 * math.pi) / 2
    inverse = jnp.exp(-jnp.maximum(log_x, math.log(8)))
    series = _polynomial(jnp.square(inverse), (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)) * inverse
    return jnp.where(log_x < math.log(8), direct, series)


def _digamma_rest(log_x: jax.Array) -> jax.Array:
    """Returns digamma(1 + x) - log x: about 1 / 2x where x is large."""
    small = jnp.minimum(log_x, math.log(8))
    direct = jax.scipy.special.digamma(1 + jnp.exp(small)) - small
    inverse = jnp.exp(-jnp.maximum(log_x, math.log(8)))
    squared = jnp.square(inverse)
    series = inverse / 2 - squared * _polynomial(squared, (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132))
    return jnp.where(log_x < math.log(8), direct, series)


def _polynomial(x: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    """Returns the sum of the coefficients times rising powers of x."""
    total = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total
