"""How unsure class probabilities are, example by example; entropies are in nats.

`jaxdrop.ClassPrediction`, as `jaxdrop.monte_carlo` makes it without keeping samples, has most of these already; the
functions here take the samples themselves, (num_samples, ..., classes), or one distribution, (..., classes).
"""

import jax
import jax.numpy as jnp

from jaxdrop import _checks, _safe


def entropy(probabilities: jax.Array) -> jax.Array:
    r"""Entropy of class probabilities; of the mean over samples, it is the predictive entropy, the total uncertainty.

    .. math:: H[p] = -\sum_c p_c \log p_c

    Args:
      probabilities: Class probabilities, (..., classes); 0 adds nothing.

    Returns:
      (...), from 0 to log(classes).

    Examples:
      >>> samples = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])
      >>> entropy(samples).tolist()
      [[0.0], [0.0]]
      >>> [round(float(h), 4) for h in entropy(samples.mean(0))]
      [0.6931]
    """
    return _safe.entr(jnp.asarray(probabilities, dtype=float)).sum(-1)


def expected_entropy(samples: jax.Array) -> jax.Array:
    r"""Mean over samples of the entropy, the aleatoric part of the uncertainty.

    .. math:: \frac{1}{S} \sum_s H[p_s]

    Args:
      samples: Class probabilities of each pass, (num_samples, ..., classes).

    Returns:
      (...), from 0 to log(classes).

    Raises:
      ValueError: If there are fewer axes than two, or no samples.

    Examples:
      >>> [round(float(h), 4) for h in expected_entropy(jnp.array([[[1.0, 0.0]], [[0.5, 0.5]]]))]  # log(2) / 2
      [0.3466]
    """
    _checks.samples("samples", samples, 2)
    return entropy(samples).mean(0)


def mutual_information(samples: jax.Array) -> jax.Array:
    r"""Mutual information between the class and the noise (BALD), the epistemic part of the uncertainty.

    .. math:: H\Big[\frac{1}{S} \sum_s p_s\Big] - \frac{1}{S} \sum_s H[p_s]
       = \frac{1}{S} \sum_s \mathrm{KL}\Big(p_s \,\Big\|\, \frac{1}{S} \sum_t p_t\Big)

    It is computed as on the right, which does not cancel where samples hardly differ. It is biased downwards for few
    samples, so values from different numbers of samples do not compare.

    Args:
      samples: Class probabilities of each pass, (num_samples, ..., classes).

    Returns:
      (...), from 0 (of one sample in any case) to log(classes).

    Raises:
      ValueError: If there are fewer axes than two, or no samples.

    Examples:
      >>> [round(float(i), 4) for i in mutual_information(jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]]))]
      [0.6931]

    References:
      Houlsby et al., `Bayesian Active Learning for Classification and Preference Learning
      <https://arxiv.org/abs/1112.5745>`_, 2011; Gal et al., `Deep Bayesian Active Learning with Image Data
      <https://arxiv.org/abs/1703.02910>`_, 2017
    """
    _checks.samples("samples", samples, 2)
    samples = jnp.asarray(samples, dtype=float)
    mean = jnp.broadcast_to(samples.mean(0), samples.shape)
    # The mean of probabilities next to the smallest number is rounded to 0, from which anything is infinitely far.
    mean = jnp.maximum(mean, jnp.finfo(mean.dtype).tiny)
    return jnp.maximum(_safe.rel_entr(samples, mean).sum(-1).mean(0), 0.0)


def variation_ratio(samples: jax.Array) -> jax.Array:
    r"""Fraction of the passes whose most probable class is not the one that most passes chose.

    .. math:: 1 - \frac{1}{S} \max_c \#\{s : \arg\max_k p_{sk} = c\}

    The first of equally probable classes gets the vote. For a `jaxdrop.ClassPrediction` `p`, it is
    `1 - p.votes.max(-1) / p.votes.sum(-1)`. What is sometimes given the same name, 1 less the largest mean
    probability, is `least_confidence`.

    Args:
      samples: Class probabilities (or logits) of each pass, (num_samples, ..., classes).

    Returns:
      (...), from 0 to 1 - 1 / classes.

    Raises:
      ValueError: If there are fewer axes than two, or no samples.

    Examples:
      >>> variation_ratio(jnp.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.0, 1.0]])).tolist()
      0.25

    References:
      Freeman, Elementary Applied Statistics, 1965; Gal et al., `Deep Bayesian Active Learning with Image Data
      <https://arxiv.org/abs/1703.02910>`_, 2017
    """
    _checks.samples("samples", samples, 2)
    votes = jax.nn.one_hot(samples.argmax(-1), samples.shape[-1], dtype=float).sum(0)
    return 1 - votes.max(-1) / len(samples)


def least_confidence(probabilities: jax.Array) -> jax.Array:
    r"""Probability that the most probable class is not the true one, according to the probabilities themselves.

    .. math:: 1 - \max_c p_c

    Args:
      probabilities: Class probabilities, (..., classes); for several passes their mean.

    Returns:
      (...), from 0 to 1 - 1 / classes.

    Examples:
      >>> least_confidence(jnp.array([[0.75, 0.25], [0.5, 0.5]])).tolist()
      [0.25, 0.5]

    References:
      Gal et al., `Deep Bayesian Active Learning with Image Data <https://arxiv.org/abs/1703.02910>`_, 2017, where it is
      the formula given for the variation ratio
    """
    return 1 - jnp.asarray(probabilities, dtype=float).max(-1)


def mean_standard_deviation(samples: jax.Array) -> jax.Array:
    r"""Standard deviation of a class's probability over the passes, averaged over the classes.

    .. math:: \frac{1}{C} \sum_c \sqrt{\frac{1}{S} \sum_s p_{sc}^2 - \Big(\frac{1}{S} \sum_s p_{sc}\Big)^2}

    For a `jaxdrop.ClassPrediction` `p`, it is `jnp.sqrt(p.variance).mean(-1)`.

    Args:
      samples: Class probabilities of each pass, (num_samples, ..., classes).

    Returns:
      (...), from 0 to 1/2.

    Raises:
      ValueError: If there are fewer axes than two, or no samples.

    Examples:
      >>> mean_standard_deviation(jnp.array([[[1.0, 0.0]], [[0.5, 0.5]]])).tolist()
      [0.25]

    References:
      Gal et al., `Deep Bayesian Active Learning with Image Data <https://arxiv.org/abs/1703.02910>`_, 2017
    """
    _checks.samples("samples", samples, 2)
    return _safe.sqrt(jnp.asarray(samples, dtype=float).var(0)).mean(-1)


def margin(probabilities: jax.Array) -> jax.Array:
    r"""Lead of the most probable class over the next; unlike the others here it is *small* for the unsure.

    Args:
      probabilities: Class probabilities, (..., classes); for several passes their mean. Beside a single class the next
        has probability 0.

    Returns:
      (...), from 0 to 1.

    Examples:
      >>> margin(jnp.array([[0.75, 0.25, 0.0], [0.25, 0.25, 0.5]])).tolist()
      [0.5, 0.25]
    """
    probabilities = jnp.asarray(probabilities, dtype=float)
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    best, _ = jax.lax.top_k(probabilities, 2)
    return best[..., 0] - best[..., 1]
