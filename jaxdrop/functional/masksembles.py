"""Masksembles: an ensemble of sub-networks behind a few fixed masks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _checks

_TRIALS = 10_000


def masksembles_masks(features: int, num_masks: int, scale: float, *, seed: int = 0) -> np.ndarray:
    r"""Draws the masks of an ensemble: each keeps equally many features, and each feature is in one of them at least.

    Each of n masks picks m of :math:`\lfloor m s \rfloor` positions at random; positions that none picks are left out.
    That is repeated until as many remain as are expected, :math:`\lfloor m s (1 - (1 - 1/s)^n) \rfloor`. For these to
    be the `features`, m is chosen by the given scale, and then the scale taken a little larger or smaller. Two
    masks overlap by 1/(2s - 1) on average (intersection over union): at scale 1 all are ones, a single network; large
    scales give an ensemble of nearly separate ones.

    Args:
      features: How many features the masks have, at least 10.
      num_masks: How many masks, n; the authors use 4.
      scale: The s of the formula, from 1 to 6; the authors use 2 for most.
      seed: Of the random choices, which are made on the host.

    Returns:
      A boolean NumPy array (num_masks, features).

    Raises:
      ValueError: If an argument is out of its range, or no such masks are found.
      TypeError: If `features` or `num_masks` is not an integer.

    Examples:
      >>> masks = jaxdrop.masksembles_masks(64, num_masks=4, scale=2.0)
      >>> masks.shape, masks.sum(axis=1)
      ((4, 64), array([34, 34, 34, 34]))

    References:
      Durasov et al., `Masksembles for uncertainty estimation <https://arxiv.org/abs/2012.08334>`_, 2021
    """
    _checks.integer_between("features", features, 10, 2**31 - 1)
    _checks.integer_between("num_masks", num_masks, 1, 2**31 - 1)
    if not 1 <= scale <= 6:  # false for NaN as well
        raise ValueError(f"scale must be from 1 to 6, got {scale!r}.")
    if scale == 1 or num_masks == 1:
        return np.ones((num_masks, features), bool)
    kept = max(1, round(features / (scale * _covered(num_masks, scale))))
    fitting = _fitting_scale(features, kept, num_masks, scale)
    generator, positions = np.random.default_rng(seed), int(kept * fitting)
    for _ in range(_TRIALS):
        masks = np.zeros((num_masks, positions), bool)
        for mask in masks:
            mask[generator.choice(positions, kept, replace=False)] = True
        used = masks.any(axis=0)
        if used.sum() == features:
            return masks[:, used]
    raise ValueError(
        f"features, num_masks and scale must allow for masks of this width, got none in {_TRIALS} trials for"
        f" {features}, {num_masks} and {scale}; change the scale a little."
    )


def masksembles(x: jax.typing.ArrayLike, masks: jax.typing.ArrayLike) -> jax.Array:
    """Shows each part of a batch to the sub-network behind one of the masks, in training as in prediction.

    The batch is split into as many parts as there are masks, one after another. Nothing is rescaled, since every
    prediction is made behind a mask. `mask_ensemble` shows every example to all of them.

    Args:
      x: Floating-point array (batch, ..., features); the batch is a multiple of the number of masks.
      masks: Boolean array (num_masks, features), of `masksembles_masks`.

    Returns:
      An array of the shape and dtype of `x`.

    Raises:
      ValueError: If the shapes do not fit.
      TypeError: If `x` is not floating point.

    Examples:
      >>> masks = jaxdrop.masksembles_masks(64, num_masks=4, scale=2.0)
      >>> y = jaxdrop.masksembles(jnp.ones((8, 64)), masks)
      >>> bool(jnp.all((y[:2] == 1) == masks[:1])), bool(jnp.all((y[6:] == 1) == masks[3:]))
      (True, True)

    References:
      Durasov et al., `Masksembles for uncertainty estimation <https://arxiv.org/abs/2012.08334>`_, 2021
    """
    x, masks = _checks.inexact("x", x), jnp.asarray(masks)
    if masks.ndim != 2 or x.ndim < 2 or x.shape[-1] != masks.shape[-1] or not len(masks) or x.shape[0] % len(masks):
        raise ValueError(
            "x must be (batch, ..., features) for masks (num_masks, features), the batch a multiple of the number of"
            f" masks, got shapes {x.shape} and {masks.shape}."
        )
    parts = x.reshape(len(masks), x.shape[0] // len(masks), *x.shape[1:])
    mask = masks.astype(bool).reshape(len(masks), *(1,) * (x.ndim - 1), x.shape[-1])
    return jnp.where(mask, parts, jnp.zeros((), x.dtype)).reshape(x.shape)


def mask_ensemble(apply: Callable[[Any], Any], x: Any, num_masks: int) -> Any:
    """Predicts each example behind each of the masks of a network with Masksembles layers.

    Args:
      apply: Function from inputs to outputs, a pytree of arrays (batch, ...).
      x: Array or pytree of arrays (batch, ...).
      num_masks: How many masks its layers have.

    Returns:
      The outputs (num_masks, batch, ...), as samples.

    Raises:
      ValueError: If `num_masks` is below 1.

    Examples:
      >>> masks = jaxdrop.masksembles_masks(64, num_masks=4, scale=2.0)
      >>> y = jaxdrop.mask_ensemble(lambda x: jaxdrop.masksembles(x, masks) @ jnp.ones(64), jnp.ones((5, 64)), 4)
      >>> y.shape, y[:, 0]
      ((4, 5), Array([34., 34., 34., 34.], dtype=float32))

    References:
      Durasov et al., `Masksembles for uncertainty estimation <https://arxiv.org/abs/2012.08334>`_, 2021
    """
    _checks.at_least("num_masks", num_masks, 1)
    repeated = jax.tree.map(lambda x: jnp.tile(x, (num_masks, *(1,) * (jnp.ndim(x) - 1))), x)
    return jax.tree.map(lambda y: y.reshape(num_masks, y.shape[0] // num_masks, *y.shape[1:]), apply(repeated))


def _covered(num_masks: int, scale: float) -> float:
    """The probability that one of the masks picks a position."""
    return 1 - (1 - 1 / scale) ** num_masks


def _fitting_scale(features: int, kept: int, num_masks: int, scale: float) -> float:
    """Returns the scale closest to the given one at which the expected width is that of the features."""
    candidates = np.linspace(max(1.0, 0.5 * scale), 2 * scale, 20_001)
    widths = np.array([int(kept * candidate * _covered(num_masks, candidate)) for candidate in candidates])
    fitting = candidates[widths == features]
    if len(fitting) == 0:
        raise ValueError(f"features must be within reach of scale {scale} and {num_masks} masks, got {features}.")
    return float(fitting[np.argmin(np.abs(fitting - scale))])
