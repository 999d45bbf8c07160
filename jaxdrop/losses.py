"""Losses beside dropout: what ties noisy passes to one another, and what keeps recurrent activations small and slow."""

import jax
import jax.numpy as jnp
import optax

from jaxdrop import _checks, _masks


def r_drop_loss(
    logits_1: jax.typing.ArrayLike,
    logits_2: jax.typing.ArrayLike,
    labels: jax.typing.ArrayLike,
    alpha: jax.typing.ArrayLike,
) -> jax.Array:
    r"""Cross-entropy of two passes with different masks, plus the divergence between their predictions.

    .. math::
      \tfrac12 (\mathrm{CE}_1 + \mathrm{CE}_2)
      + \alpha \tfrac12 (\mathrm{KL}(p_1 \Vert p_2) + \mathrm{KL}(p_2 \Vert p_1))

    This is the form of the authors' README. Their code for language models adds the cross-entropies up instead of
    averaging them: its :math:`\alpha` is half of ours for the same optimum, and its loss twice ours.

    Args:
      logits_1: Logits of the first pass, finite, floating point of shape (..., classes).
      logits_2: Logits of the second pass, with another key; of the same shape.
      labels: True classes as integers, (...).
      alpha: Weight :math:`\alpha`, at least 0; a number or a scalar array. The authors use 5 for translation, 0.7 for
        summarisation and 1 for language models.

    Returns:
      The loss of each example, (...), in float32, or float64 for such logits. Take the mean yourself, as for the losses
      of optax: padding may have to be left out.

    Raises:
      ValueError: If the shapes are others, or `alpha` is a number that is negative or not finite.
      TypeError: If the logits are not floating point or `labels` are not integers.

    Examples:
      >>> def loss(key, x, labels, kernel):
      ...     key_1, key_2 = jax.random.split(key)
      ...     logits_1 = jaxdrop.dropout(key_1, x, 0.5) @ kernel
      ...     logits_2 = jaxdrop.dropout(key_2, x, 0.5) @ kernel
      ...     return jaxdrop.r_drop_loss(logits_1, logits_2, labels, alpha=1.0).mean()
      >>> round(float(loss(jax.random.key(0), jnp.ones((2, 4)), jnp.array([0, 2]), jnp.zeros((4, 3)))), 4)
      1.0986

    References:
      Liang et al., `R-Drop <https://arxiv.org/abs/2106.14448>`_, 2021
    """
    logits_1, logits_2 = _checks.inexact("logits_1", logits_1), _checks.inexact("logits_2", logits_2)
    labels = jnp.asarray(labels)
    _checks.same_shape("logits_1", logits_1, "logits_2", logits_2)
    _checks.labels_of_logits("labels", labels, "logits_1", logits_1)
    _checks.positive("alpha", alpha, or_zero=True)
    logits_1, logits_2 = _widened(logits_1, logits_2)
    cross_entropy_1 = optax.softmax_cross_entropy_with_integer_labels(logits_1, labels)
    cross_entropy_2 = optax.softmax_cross_entropy_with_integer_labels(logits_2, labels)
    log_p_1, log_p_2 = jax.nn.log_softmax(logits_1), jax.nn.log_softmax(logits_2)
    # The sum of both divergences, in one term that is never negative.
    divergences = jnp.sum((jnp.exp(log_p_1) - jnp.exp(log_p_2)) * (log_p_1 - log_p_2), axis=-1)
    alpha = jnp.asarray(alpha, divergences.dtype)
    return (cross_entropy_1 + cross_entropy_2 + alpha * divergences) / 2


def expectation_linear_loss(output_noisy: jax.typing.ArrayLike, output_expected: jax.typing.ArrayLike) -> jax.Array:
    r"""Squared distance between the output under noise and that without: the gap between training and prediction.

    .. math:: \lVert f(x, m) - f(x, E[m]) \rVert_2^2

    Added to the loss with a weight :math:`\lambda`, it makes a network one whose output under the expected mask is its
    expected output. Gradients flow through both passes. The :math:`\lambda` of the published experiments is not known
    to us: tune it on held-out data.

    Args:
      output_noisy: Output :math:`f(x, m)` of a pass with dropout, real floating point of shape (..., features).
      output_expected: Output :math:`f(x, E[m])` of the deterministic pass, of the same shape.

    Returns:
      The loss of each example, (...), in float32, or float64 for such outputs.

    Raises:
      ValueError: If the shapes differ or have no axis.
      TypeError: If an output is not real floating point.

    Examples:
      >>> x, kernel = jnp.ones((2, 1000)), jnp.full((1000, 1), 0.001)
      >>> noisy = jaxdrop.dropout(jax.random.key(0), x, 0.5) @ kernel
      >>> loss = jaxdrop.expectation_linear_loss(noisy, x @ kernel)
      >>> loss.shape, bool(loss.max() < 0.05)  # the variance is 0.001
      ((2,), True)

    References:
      Ma et al., `Dropout with Expectation-linear Regularization <https://arxiv.org/abs/1609.08017>`_, 2017
    """
    output_noisy = _checks.real("output_noisy", output_noisy)
    output_expected = _checks.real("output_expected", output_expected)
    _checks.same_shape("output_noisy", output_noisy, "output_expected", output_expected)
    _checks.at_least("the number of axes of output_noisy", output_noisy.ndim, 1)
    output_noisy, output_expected = _widened(output_noisy, output_expected)
    return jnp.sum(jnp.square(output_noisy - output_expected), axis=-1)


def activation_regularization(outputs: jax.typing.ArrayLike) -> jax.Array:
    r"""Mean square of the activations at each step: keeps them small.

    .. math:: \mathrm{AR}_t = \tfrac1H \sum_c h_{tc}^2

    AWD-LSTM adds :math:`\alpha` times the mean over all steps to the loss, with :math:`\alpha = 2`, of the outputs of
    the last recurrent layer *after* dropout.

    Args:
      outputs: Floating-point array (\*batch, features).

    Returns:
      The loss of each step, (\*batch,), in float32, or float64 for such outputs. Take the mean yourself: padding may
      have to be left out.

    Raises:
      ValueError: If `outputs` has no axis.
      TypeError: If `outputs` is not real floating point.

    Examples:
      >>> jaxdrop.activation_regularization(jnp.array([[1.0, 3.0], [0.0, 0.0]]))
      Array([5., 0.], dtype=float32)

    References:
      Merity et al., `Regularizing and optimizing LSTM language models <https://arxiv.org/abs/1708.02182>`_, 2017
    """
    outputs = _checks.real("outputs", outputs)
    _checks.at_least("outputs.ndim", outputs.ndim, 1)
    return jnp.mean(jnp.square(outputs.astype(_masks.wide(outputs.dtype))), axis=-1)


def temporal_activation_regularization(outputs: jax.typing.ArrayLike, *, time_axis: int = -2) -> jax.Array:
    r"""Mean square of the change from each step to the next: makes the activations slow.

    .. math:: \mathrm{TAR}_t = \tfrac1H \sum_c (h_{t+1,c} - h_{tc})^2

    AWD-LSTM adds :math:`\beta` times the mean over all steps to the loss, with :math:`\beta = 1`, of the outputs of the
    last recurrent layer *before* dropout.

    Args:
      outputs: Floating-point array with an axis of at least one step, (\*batch, time, features) by default.
      time_axis: The axis of the steps; not the last.

    Returns:
      The loss of each change, the shape of `outputs` with one step less and without features, in float32, or float64
      for such outputs.

    Raises:
      ValueError: If `time_axis` is not an axis before the last.
      TypeError: If `outputs` is not real floating point.

    Examples:
      >>> jaxdrop.temporal_activation_regularization(jnp.array([[1.0, 3.0], [2.0, 5.0], [2.0, 5.0]]))
      Array([2.5, 0. ], dtype=float32)

    References:
      Merity et al., `Regularizing and optimizing LSTM language models <https://arxiv.org/abs/1708.02182>`_, 2017
    """
    outputs = _checks.real("outputs", outputs)
    (axis,) = _checks.axes("time_axis", (time_axis,), outputs.ndim)
    _checks.integer_between("time_axis", axis, 0, outputs.ndim - 2)
    return activation_regularization(jnp.diff(outputs.astype(_masks.wide(outputs.dtype)), axis=axis))


def _widened(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    dtype = jnp.promote_types(_masks.wide(x.dtype), _masks.wide(y.dtype))
    return x.astype(dtype), y.astype(dtype)
