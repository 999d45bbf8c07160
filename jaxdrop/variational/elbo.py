"""The variational bound, what it adds to other losses, and the weight of its divergence over training."""

from typing import Literal

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
      ValueError: If `num_data` is below 1, or `kl` is not a scalar.
      TypeError: If `log_likelihood` or `kl` is not real floating point.

    Examples:
      >>> jaxdrop.variational.elbo(jnp.array([-0.5, -1.5]), jnp.array(200.0), num_data=100)
      Array(-3., dtype=float32)

    References:
      Kingma et al., `Variational dropout and the local reparameterization trick <https://arxiv.org/abs/1506.02557>`_,
      2015, equation 3
    """
    log_likelihood, divergence = _checks.real("log_likelihood", log_likelihood), _summed(kl)
    _checks.at_least("num_data", num_data, 1)
    weight = jnp.asarray(kl_weight, divergence.dtype)
    return log_likelihood.mean().astype(divergence.dtype) - weight * divergence / num_data


def regularizer(
    kl: jax.typing.ArrayLike,
    num_data: int,
    *,
    likelihood: Literal["gaussian", "categorical"],
    noise_precision: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    r"""What to add to a mean squared error or cross-entropy, so that it is the bound but for its sign and scale.

    .. math:: \frac{2}{N\tau} \mathrm{KL} \text{ to } \frac1M \sum_m \lVert y_m - f(x_m) \rVert^2, \qquad
       \frac1N \mathrm{KL} \text{ to } -\frac1M \sum_m \log p(y_m \mid x_m)

    Args:
      kl: Divergence of the whole model, summed; a scalar.
      num_data: Number N of training examples, not of the batch.
      likelihood: "gaussian" for a squared error, summed over the outputs and without a factor of 1/2; "categorical" for
        a cross-entropy in nats.
      noise_precision: Precision :math:`\tau` of the observation noise, in the units of the outputs to the power of -2;
        a number above 0 or an array; with "gaussian" alone.

    Returns:
      A scalar.

    Raises:
      ValueError: If `num_data` is below 1, `kl` is not a scalar, `likelihood` is unknown, or `noise_precision` is
        missing, not positive, or given where it means nothing.
      TypeError: If `kl` is not real floating point.

    Examples:
      >>> kl = jnp.array(200.0)
      >>> round(float(jaxdrop.variational.regularizer(kl, 100, likelihood="gaussian", noise_precision=10.0)), 3)
      0.4
      >>> float(jaxdrop.variational.regularizer(kl, 100, likelihood="categorical"))
      2.0

    References:
      Gal, Hron & Kendall, `Concrete dropout <https://arxiv.org/abs/1705.07832>`_, 2017, equation 2
    """
    divergence = _summed(kl)
    _checks.at_least("num_data", num_data, 1)
    _checks.one_of("likelihood", likelihood, ("gaussian", "categorical"))
    if likelihood == "categorical":
        _checks.unused("noise_precision", noise_precision, "for a categorical likelihood")
        return divergence / num_data
    if noise_precision is None:
        raise ValueError("noise_precision must be given for a gaussian likelihood, got None.")
    _checks.positive("noise_precision", noise_precision)
    return 2 * divergence / (num_data * jnp.asarray(noise_precision, divergence.dtype))


def _summed(kl: jax.typing.ArrayLike) -> jax.Array:
    divergence = _checks.real("kl", kl)
    if divergence.ndim:
        raise ValueError(f"kl must be a scalar, the sum over the model, got shape {divergence.shape}.")
    return divergence


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


def kl_cycles(steps: int, cycles: int = 4, rising: float = 0.5) -> Schedule:
    r"""A weight of the divergence that rises from 0 to 1 in each of several cycles: cyclical annealing.

    .. math:: \beta_t = \min(r_t / R, 1), \quad r_t = (t \bmod T/C) / (T/C) \text{ for } t < T, \quad 1 \text{ after}

    Args:
      steps: Number T of steps of all cycles.
      cycles: Number C of cycles.
      rising: Share R of a cycle in which the weight rises; it is 1 for the rest.

    Returns:
      A function of the step that gives the float32 weight.

    Raises:
      ValueError: If `cycles` is below 1, `steps` below `cycles`, or `rising` not in (0, 1].

    Examples:
      >>> weight = jaxdrop.variational.kl_cycles(steps=20, cycles=2)
      >>> [round(float(weight(step)), 2) for step in (0, 2, 5, 9, 10, 12, 20)]
      [0.0, 0.4, 1.0, 1.0, 0.0, 0.4, 1.0]

    References:
      Fu et al., `Cyclical annealing schedule: a simple approach to mitigating KL vanishing
      <https://arxiv.org/abs/1903.10145>`_, 2019, equation 6
    """
    _checks.at_least("cycles", cycles, 1)
    _checks.at_least("steps", steps, cycles)
    if not 0 < rising <= 1:
        raise ValueError(f"rising must be above 0 and at most 1, got {rising}.")

    def weight(step: jax.typing.ArrayLike) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        share = (step * cycles / steps) % 1
        return jnp.where(step < steps, jnp.minimum(share / rising, 1), 1)

    return weight
