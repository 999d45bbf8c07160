r"""Rates over training steps and over depth.

A schedule over steps is what optax takes one to be: a function of the step, traced or not, to a float32 rate. Evaluated
inside a jitted step and handed to a layer, it costs no recompilation, for every layer takes traced rates. All of them
speak of the probability of dropping; the papers that schedule the probability of keeping are translated here.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdrop import _checks

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


def linear(start: jax.typing.ArrayLike, end: jax.typing.ArrayLike, steps: int, *, begin: int = 0) -> Schedule:
    r"""Moves the rate from `start` to `end` at a constant pace.

    .. math:: p_t = p_0 + (p_1 - p_0) \min(\max(t - b, 0) / T, 1)

    Args:
      start: Rate :math:`p_0` until step `begin`; a number in [0, 1], or an array, traced or not.
      end: Rate :math:`p_1` from step `begin + steps` on; likewise.
      steps: Number of steps :math:`T` that the change takes, at least 1.
      begin: Step :math:`b` at which it starts, at least 0.

    Returns:
      A function of the step that gives the float32 rate.

    Raises:
      ValueError: If a static rate is outside [0, 1] or NaN, `steps` is below 1 or `begin` below 0.
      TypeError: If a rate is neither a number nor an array.

    Examples:
      >>> rate = jaxdrop.schedules.linear(0.0, 0.5, 100, begin=10)
      >>> [float(rate(step)) for step in (0, 10, 60, 110, 1000)]
      [0.0, 0.0, 0.25, 0.5, 0.5]

      In a training step, whose compilation serves all steps:

      >>> @jax.jit
      ... def train_step(step, key, x):
      ...     return jaxdrop.dropout(key, x, rate(step))
      >>> train_step(60, jax.random.key(0), jnp.ones((2, 3))).shape
      (2, 3)
    """
    start, end = _rate("start", start), _rate("end", end)
    _checks.at_least("steps", steps, 1)
    _checks.at_least("begin", begin, 0)

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        # In float32, for a difference of unsigned integers may not be negative.
        passed = jnp.asarray(step, jnp.float32) - begin
        between = start + (end - start) * (passed / steps)
        between = jnp.clip(between, jnp.minimum(start, end), jnp.maximum(start, end))
        # Compiled, the quotient may be a product that misses 1: a rate of 0 would not be reached.
        return jnp.where(passed <= 0, start, jnp.where(passed >= steps, end, between))

    return _float32(schedule)


def annealed(rate: jax.typing.ArrayLike, steps: int) -> Schedule:
    r"""Annealed dropout: the rate falls linearly to 0 over the whole of training.

    .. math:: p_t = p_0 \max(0, 1 - t / T)

    Args:
      rate: Rate :math:`p_0` at step 0; a number in [0, 1], or an array, traced or not.
      steps: Number of steps :math:`T`, at least 1.

    Returns:
      A function of the step that gives the float32 rate.

    Raises:
      ValueError: If a static `rate` is outside [0, 1] or NaN, or `steps` is below 1.
      TypeError: If `rate` is neither a number nor an array.

    Examples:
      >>> rate = jaxdrop.schedules.annealed(0.5, 100)
      >>> [float(rate(step)) for step in (0, 50, 100, 1000)]
      [0.5, 0.25, 0.0, 0.0]

    References:
      Rennie et al., `Annealed dropout training of deep networks
      <https://research.ibm.com/publications/annealed-dropout-training-of-deep-networks>`_, 2014
    """
    rate = _rate("rate", rate)
    return linear(rate, 0.0, steps)


def curriculum(rate: jax.typing.ArrayLike, gamma: float) -> Schedule:
    r"""Curriculum dropout: the rate rises from 0 towards `rate`, fast at first.

    .. math:: p_t = p (1 - e^{-\gamma t})

    which the paper writes for the probability of keeping, :math:`\bar\theta = 1 - p`, as
    :math:`(1 - \bar\theta) e^{-\gamma t} + \bar\theta`. The authors' code for MNIST has :math:`\gamma = 10^{-3}` per
    step: 99 % of the rate by step 4605.

    Args:
      rate: Rate :math:`p` in the limit; a number in [0, 1], or an array, traced or not.
      gamma: Speed :math:`\gamma` per step, above 0.

    Returns:
      A function of the step that gives the float32 rate.

    Raises:
      ValueError: If a static `rate` is outside [0, 1] or NaN, or `gamma` is not positive and finite.
      TypeError: If `rate` is neither a number nor an array.

    Examples:
      >>> rate = jaxdrop.schedules.curriculum(0.5, 1e-3)
      >>> [round(float(rate(step)), 4) for step in (0, 1000, 4605, 100_000)]
      [0.0, 0.3161, 0.495, 0.5]

    References:
      Morerio et al., `Curriculum Dropout <https://arxiv.org/abs/1703.06229>`_, 2017
    """
    rate = _rate("rate", rate)
    _checks.positive("gamma", gamma)

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        # expm1 keeps the first steps right, where 1 - exp(-gamma t) is all rounding.
        return -rate * jnp.expm1(-gamma * jnp.maximum(jnp.asarray(step, jnp.float32), 0.0))

    return _float32(schedule)


def early(rate: jax.typing.ArrayLike, cutoff: int, *, schedule: Literal["linear", "constant"] = "linear") -> Schedule:
    r"""Early dropout, against underfitting: noise in the first `cutoff` steps and none afterwards.

    .. math:: p_t = p_0 \max(0, 1 - t / C) \quad\text{or}\quad p_t = p_0 [t < C]

    The published models fall linearly over the first 50 of 300 epochs, for dropout and for stochastic depth alike. The
    authors' code reaches 0 one step before the cutoff, this schedule at it.

    Args:
      rate: Rate :math:`p_0` at step 0; a number in [0, 1], or an array, traced or not.
      cutoff: First step :math:`C` without noise, at least 1.
      schedule: "linear", the paper's, or "constant", at full rate until the cutoff.

    Returns:
      A function of the step that gives the float32 rate.

    Raises:
      ValueError: If a static `rate` is outside [0, 1] or NaN, `cutoff` is below 1, or `schedule` is another name.
      TypeError: If `rate` is neither a number nor an array.

    Examples:
      >>> rate = jaxdrop.schedules.early(0.5, 100)
      >>> [float(rate(step)) for step in (0, 50, 100, 1000)]
      [0.5, 0.25, 0.0, 0.0]
      >>> rate = jaxdrop.schedules.early(0.5, 100, schedule="constant")
      >>> [float(rate(step)) for step in (0, 99, 100)]
      [0.5, 0.5, 0.0]

    References:
      Liu et al., `Dropout Reduces Underfitting <https://arxiv.org/abs/2303.01500>`_, 2023
    """
    _checks.one_of("schedule", schedule, ("linear", "constant"))
    _checks.at_least("cutoff", cutoff, 1)
    return annealed(rate, cutoff) if schedule == "linear" else _switch(_rate("rate", rate), 0.0, cutoff)


def late(rate: jax.typing.ArrayLike, cutoff: int) -> Schedule:
    r"""Late dropout, against overfitting: no noise in the first `cutoff` steps and the full rate afterwards.

    .. math:: p_t = p [t \ge C]

    Args:
      rate: Rate :math:`p` from the cutoff on; a number in [0, 1], or an array, traced or not.
      cutoff: First step :math:`C` with noise, at least 0.

    Returns:
      A function of the step that gives the float32 rate.

    Raises:
      ValueError: If a static `rate` is outside [0, 1] or NaN, or `cutoff` is below 0.
      TypeError: If `rate` is neither a number nor an array.

    Examples:
      >>> rate = jaxdrop.schedules.late(0.5, 100)
      >>> [float(rate(step)) for step in (0, 99, 100, 1000)]
      [0.0, 0.0, 0.5, 0.5]

    References:
      Liu et al., `Dropout Reduces Underfitting <https://arxiv.org/abs/2303.01500>`_, 2023
    """
    _checks.at_least("cutoff", cutoff, 0)
    return _switch(0.0, _rate("rate", rate), cutoff)


def drop_block(rate: jax.typing.ArrayLike, steps: int) -> Schedule:
    r"""Scheduled DropBlock: the rate rises linearly from 0 over the whole of training.

    .. math:: p_t = p \min(t / T, 1)

    which the paper writes for the probability of keeping, :math:`1 - (t / T) (1 - \mathrm{keep})`. The authors' ResNet
    code divides the rate of block group :math:`g` of 4 by :math:`4^{4 - g}`.

    Args:
      rate: Rate :math:`p` from step `steps` on; a number in [0, 1], or an array, traced or not.
      steps: Number of steps :math:`T`, at least 1.

    Returns:
      A function of the step that gives the float32 rate.

    Raises:
      ValueError: If a static `rate` is outside [0, 1] or NaN, or `steps` is below 1.
      TypeError: If `rate` is neither a number nor an array.

    Examples:
      >>> last_group = jaxdrop.schedules.drop_block(0.25, 100)
      >>> third_group = jaxdrop.schedules.drop_block(0.25 / 4, 100)
      >>> float(last_group(50)), float(third_group(50))
      (0.125, 0.03125)

    References:
      Ghiasi et al., `DropBlock <https://arxiv.org/abs/1810.12890>`_, 2018
    """
    rate = _rate("rate", rate)
    return linear(0.0, rate, steps)


def linear_depth(
    num_layers: int, rate: jax.typing.ArrayLike, *, first: Literal["positive", "zero"] = "positive"
) -> tuple[jax.typing.ArrayLike, ...]:
    r"""Rates that rise linearly from layer to layer up to `rate` in the last, as in stochastic depth.

    Two conventions are published, and differ in whether the first layer is ever dropped. For layers
    :math:`l = 1, \dots, L`,

    .. math:: p_l = p \frac{l}{L} \;\text{("positive")} \qquad p_l = p \frac{l - 1}{L - 1} \;\text{("zero")}

    The first is that of Huang et al.; the second, `linspace(0, rate, num_layers)`, that of the code in timm, in fairseq
    and for early stochastic depth. A single layer has the rate `rate` by the first and 0 by the second.

    Args:
      num_layers: Number of layers :math:`L`, at least 1.
      rate: Rate :math:`p` of the last layer; a number in [0, 1], or an array, traced or not, such as the value of a
        schedule.
      first: "positive" for `rate / num_layers` in the first layer, or "zero".

    Returns:
      A tuple with one rate per layer: floats if `rate` is a number, so that a layer knows its rate of 0 before tracing,
      and else float32 arrays of the shape of `rate`.

    Raises:
      ValueError: If `num_layers` is below 1, a static `rate` is outside [0, 1] or NaN, or `first` is another name.
      TypeError: If `rate` is neither a number nor an array.

    Examples:
      >>> jaxdrop.schedules.linear_depth(4, 0.5)
      (0.125, 0.25, 0.375, 0.5)
      >>> jaxdrop.schedules.linear_depth(3, 0.5, first="zero")
      (0.0, 0.25, 0.5)

      Over depth and steps at once:

      >>> rate = jaxdrop.schedules.early(0.5, 100)
      >>> [float(r) for r in jaxdrop.schedules.linear_depth(2, rate(50))]
      [0.125, 0.25]

    References:
      Huang et al., `Deep Networks with Stochastic Depth <https://arxiv.org/abs/1603.09382>`_, 2016
    """
    rate = _rate("rate", rate)
    _checks.at_least("num_layers", num_layers, 1)
    _checks.one_of("first", first, ("positive", "zero"))
    if first == "positive":
        return tuple(rate * (layer / num_layers) for layer in range(1, num_layers + 1))
    return tuple(rate * (layer / max(num_layers - 1, 1)) for layer in range(num_layers))


def _rate(name: str, rate: jax.typing.ArrayLike) -> float | jax.Array:
    static_rate = _checks.static_rate(name, rate)
    return jnp.asarray(rate, jnp.float32) if static_rate is None else static_rate


def _switch(before: float | jax.Array, after: float | jax.Array, step: int) -> Schedule:
    return _float32(lambda now: jnp.where(jnp.asarray(now, jnp.float32) < step, before, after))


def _float32(schedule: Schedule) -> Schedule:
    # Values are weakly typed or float64 here and there; a change of type would recompile.
    return lambda step: jnp.asarray(schedule(step), jnp.float32)
