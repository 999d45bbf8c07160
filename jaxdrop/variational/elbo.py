"""The variational bound, and the weight of its divergence over training."""

import jax
import jax.numpy as jnp

from jaxdrop import _checks
from jaxdrop.schedules import Schedule


def elbo(
    log_likelihood: jax.typing.ArrayLike,
    kl: jax.typing.ArrayLike,
    num_data: int,
    kl_weight: jax.typing.ArrayLike = 1.0,
) -> jax.Array:
    r"""The lower bound of the log evidence, estimated from a batch, per data point.

    .. math:: \frac1M \sum_{m=1}^M \log p(y_m \mid x_m, w) - \frac{\beta}{N} \mathrm{KL}

    which is the bound divided by N: its scale does not change with the size of the data set or of the batch. Maximise
    it; its negative is the loss.

    Args:
      log_likelihood: Log-likelihood of each example of the batch in nats, under noise; of any shape.
      kl: Divergence of all noisy weights of the model, summed; a scalar.
      num_data: Number N of training examples, not of the batch.
      kl_weight: Weight :math:`\beta` of the divergence, 1 for the bound; a number or a scalar array.

    Returns:
      A scalar.

    Raises:
      ValueError: If `num_data` is below 1.
      TypeError: If `log_likelihood` or `kl` is not real floating point.

    Examples:
      >>> jaxdrop.variational.elbo(jnp.array([-0.5, -1.5]), jnp.array(200.0), num_data=100)
      Array(-3., dtype=float32)

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, equation 3
    """
    log_likelihood, divergence = _checks.real("log_likelihood", log_likelihood), _checks.real("kl", kl)
    _checks.at_least("num_data", num_data, 1)
    weight = jnp.asarray(kl_weight, divergence.dtype)
    return log_likelihood.mean().astype(divergence.dtype) - weight * divergence / num_data


def kl_warm_up(begin: int, steps: int) -> Schedule:
    r"""A weight of the divergence that rises from 0 to 1, without which noise may win before anything is learned.

    .. math:: \beta_t = \min(\max(t - b, 0) / T, 1)

    Args:
      begin: Step b at which it starts; the authors of sparse variational dropout start after 5 epochs.
      steps: Number of steps T that it takes; theirs take 15 epochs.

    Returns:
      A function of the step that gives the float32 weight.

    Raises:
      ValueError: If `begin` is below 0 or `steps` below 1.

    Examples:
      >>> weight = jaxdrop.variational.kl_warm_up(begin=5, steps=15)
      >>> [round(float(weight(step)), 2) for step in (0, 5, 8, 20, 100)]
      [0.0, 0.0, 0.2, 1.0, 1.0]
    """
    _checks.at_least("begin", begin, 0)
    _checks.at_least("steps", steps, 1)
    return lambda step: jnp.clip((jnp.asarray(step, jnp.float32) - begin) / steps, 0.0, 1.0)
