"""Pictures of uncertainties: functions that take arrays and return a `matplotlib.figure.Figure`, to show or to save.

matplotlib is imported when one is called, and no window or global state of it is touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from jaxdrop import _checks
from jaxdrop.metrics import CalibrationBins, RiskCoverage, calibration_error
from jaxdrop.variational.prune import LOG_ALPHA_EDGES, PruningReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _RED, _GREY, _DARK = "#1f5fbf", "#e08214", "#c0392b", "#8a8f98", "#333333"
_CYCLE = (_BLUE, _ORANGE, _DARK, "#2a7f3f", _RED, "#7b52ab")


def reliability_diagram(bins: CalibrationBins) -> Figure:
    """Accuracy against confidence, bin by bin, above how many examples are in each.

    A model is calibrated where points lie on the diagonal, overconfident below it. The vertical lines span two standard
    errors of the accuracy, at the diagonal's value, to each side: what chance does to a calibrated model.

    Args:
      bins: Of `jaxdrop.metrics.equal_width_bins` or `equal_mass_bins`, (num_bins,); not class-wise.

    Returns:
      A figure; empty bins have no point, and the expected calibration error is in the title.

    Raises:
      ValueError: If `bins` are class-wise.
      ImportError: If matplotlib is missing.

    Examples:
      >>> bins = jaxdrop.metrics.equal_width_bins(jnp.array([[0.9, 0.1], [0.7, 0.3]]), jnp.array([0, 1]))
      >>> reliability_diagram(bins).axes[0].get_ylabel()
      'accuracy'
    """
    _checks.vector("bins.num_examples", bins.num_examples)
    figure = _figure(4.5, 5)
    diagram, amounts = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    count = np.asarray(bins.num_examples)
    filled = count > 0
    count = count[filled]
    confidence, accuracy = np.asarray(bins.confidence)[filled] / count, np.asarray(bins.outcome)[filled] / count
    error = 2 * np.sqrt(np.clip(confidence * (1 - confidence), 0, None) / count)
    diagram.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1.2, label="calibrated")
    chance = "± 2 standard errors, if calibrated"
    low, high = confidence - error, confidence + error
    diagram.vlines(confidence, low, high, color=_GREY, alpha=0.4, linewidth=5, label=chance)
    diagram.vlines(confidence, np.minimum(confidence, accuracy), np.maximum(confidence, accuracy), color=_RED)
    diagram.plot(confidence, accuracy, "o", color=_BLUE, markersize=5, label="model")
    diagram.set_ylim(-0.02, 1.02)
    diagram.set_ylabel("accuracy")
    diagram.set_title(f"expected calibration error {float(calibration_error(bins)):.3f}", fontsize=10, loc="left")
    diagram.legend(framealpha=0.8, edgecolor="none", fontsize=8)
    amounts.vlines(confidence, 0, count, color=_BLUE, linewidth=5)
    amounts.set_ylim(0, None)
    amounts.set_xlim(-0.02, 1.02)
    amounts.set_ylabel("examples")
    amounts.set_xlabel("confidence")
    for axes in (diagram, amounts):
        _tidy(axes)
    return figure


def risk_coverage(curves: Mapping[str, RiskCoverage]) -> Figure:
    """Mean error of the examples answered, against the fraction of them that are.

    Args:
      curves: By name, as `jaxdrop.metrics.risk_coverage` returns them.

    Returns:
      A figure; the area under each curve is in the legend.

    Raises:
      ValueError: If there is no curve.
      ImportError: If matplotlib is missing.

    Examples:
      >>> curve = jaxdrop.metrics.risk_coverage(jnp.array([0.1, 0.2]), jnp.array([False, True]))
      >>> risk_coverage({"entropy": curve}).axes[0].get_xlabel()
      'coverage'
    """
    if not curves:
        raise ValueError("curves must have at least one curve, got none.")
    figure = _figure(6, 4)
    axes = figure.subplots()
    for i, (name, curve) in enumerate(curves.items()):
        label = f"{name} (area {float(curve.aurc):.3g})"
        colour = _CYCLE[i % len(_CYCLE)]
        axes.plot(np.asarray(curve.coverage), np.asarray(curve.risk), color=colour, linewidth=1.8, label=label)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, None)
    axes.set_xlabel("coverage")
    axes.set_ylabel("risk of those answered")
    axes.legend(frameon=False, fontsize=9)
    _tidy(axes)
    return figure


def predictive_band(
    x: ArrayLike,
    mean: ArrayLike,
    deviation: ArrayLike,
    *,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    truth: ArrayLike | None = None,
) -> Figure:
    """Predictive mean with bands of one and two standard deviations.

    Args:
      x: Inputs, (points,), in any order.
      mean: Predictive means, (points,).
      deviation: Predictive standard deviations, (points,).
      data: Inputs and targets that the model was trained on, or None.
      truth: The function behind the data at `x`, (points,), or None.

    Returns:
      A figure.

    Raises:
      ValueError: If the shapes of `x`, `mean` and `deviation` differ, have more axes than one, or are empty.
      ImportError: If matplotlib is missing.

    Examples:
      >>> x = jnp.linspace(-1, 1, 50)
      >>> predictive_band(x, x**2, 0.1 + x**2, data=(jnp.zeros(3), jnp.zeros(3))).axes[0].get_xlabel()
      'x'
    """
    _checks.one_shape(x=x, mean=mean, deviation=deviation)
    _checks.vector("x", x)
    figure = _figure(6, 4)
    axes = figure.subplots()
    order = np.argsort(np.asarray(x))
    x, mean, deviation = (np.asarray(array)[order] for array in (x, mean, deviation))
    for width, opacity in ((2, 0.15), (1, 0.25)):
        label = f"± {width} standard deviation{'s' if width > 1 else ''}"
        low, high = mean - width * deviation, mean + width * deviation
        axes.fill_between(x, low, high, color=_BLUE, alpha=opacity, linewidth=0, label=label)
    axes.plot(x, mean, color=_BLUE, linewidth=1.8, label="mean")
    if truth is not None:
        axes.plot(x, np.asarray(truth)[order], color=_GREY, linestyle="--", linewidth=1.2, label="truth")
    if data is not None:
        axes.plot(np.asarray(data[0]), np.asarray(data[1]), "o", color=_DARK, markersize=3, label="data")
    axes.set_xlim(x[0], x[-1])
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=5, handlelength=1.5)
    _tidy(axes)
    return figure


def uncertainty_histograms(uncertainty: Mapping[str, ArrayLike], *, label: str = "uncertainty") -> Figure:
    """How uncertain a model is on each of several sets of examples, such as in and out of distribution.

    Args:
      uncertainty: By name of the set, a number for each of its examples, (examples,); sets may differ in size.
      label: What the numbers are, and their unit, such as 'predictive entropy (nats)'.

    Returns:
      A figure of one histogram for each set, of unit area, in the same bins.

    Raises:
      ValueError: If there is no set, or one is empty or has numbers that are not finite.
      ImportError: If matplotlib is missing.

    Examples:
      >>> sets = {"in distribution": jnp.zeros(5), "out of distribution": jnp.ones(9)}
      >>> uncertainty_histograms(sets, label="entropy (nats)").axes[0].get_xlabel()
      'entropy (nats)'
    """
    if not uncertainty:
        raise ValueError("uncertainty must have at least one set, got none.")
    figure = _figure(6, 4)
    axes = figure.subplots()
    sets = {name: _finite(name, values) for name, values in uncertainty.items()}
    edges = _bin_edges(np.concatenate(list(sets.values())))
    for i, (name, values) in enumerate(sets.items()):
        colour = _CYCLE[i % len(_CYCLE)]
        density, _ = np.histogram(values, edges, density=True)
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(density, edges, color=colour, linewidth=1.5, label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=9)
    _tidy(axes)
    return figure


def masks(values: ArrayLike) -> Figure:
    """Masks side by side: what is kept is dark, what is dropped is white.

    Args:
      values: Masks, (masks, features), drawn as the rows of one picture, or (masks, height, width), drawn as one
        picture each. 0 is dropped; the largest number is the darkest.

    Returns:
      A figure.

    Raises:
      ValueError: If `values` has neither two nor three axes, or is empty.
      ImportError: If matplotlib is missing.

    Examples:
      >>> len(masks(jaxdrop.drop_block(jax.random.key(0), jnp.ones((1, 8, 8, 3)), 0.2, block_size=3)[0].T).axes)
      3
    """
    pictures = np.asarray(values, dtype=np.float32)
    _checks.pictures("values", pictures)
    rows = pictures.ndim == 2
    pictures = pictures[None] if rows else pictures
    columns = min(8, len(pictures))
    lines = math.ceil(len(pictures) / columns)
    figure = _figure(6, 3) if rows else _figure(1.3 * columns, 1.3 * lines)
    for i, picture in enumerate(pictures):
        axes = figure.add_subplot(lines, columns, i + 1)
        aspect = "auto" if rows else "equal"
        axes.imshow(
            picture, cmap="Blues", vmin=0, vmax=max(pictures.max(), 1e-6), interpolation="nearest", aspect=aspect
        )
        axes.set_xticks([])
        axes.set_yticks([])
        if rows:
            axes.set_xlabel("feature")
            axes.set_ylabel("mask")
    return figure


def pruning_report(report: PruningReport, threshold: float | None = 3.0) -> Figure:
    """How the noise of the weights of each layer is distributed, and what is pruned of them.

    Args:
      report: As `jaxdrop.variational.prune` returns it.
      threshold: Of log alpha, where a line is drawn; None for no line.

    Returns:
      A figure of a histogram for each layer, below one another; the ends hold what is clipped there.

    Raises:
      ImportError: If matplotlib is missing.

    Examples:
      >>> layer = {"kernel": jnp.array([[1.0, 0.1]]), "log_sigma2": jnp.zeros((1, 2))}
      >>> pruning_report(jaxdrop.variational.prune({"dense": layer}).report).axes[0].get_title(loc="left")
      'dense: 1 of 2 weights left'
    """
    figure = _figure(5, 0.8 + 1.5 * len(report.layers))
    rows = figure.subplots(len(report.layers), 1, sharex=True, squeeze=False)
    for axes, layer in zip(rows[:, 0], report.layers, strict=True):
        axes.stairs(layer.log_alpha_counts, LOG_ALPHA_EDGES, fill=True, color=_BLUE, alpha=0.6)
        if threshold is not None:
            axes.axvline(threshold, color=_RED, linewidth=1.2)
        axes.set_title(f"{layer.name}: {layer.kept} of {layer.total} weights left", fontsize=9, loc="left")
        axes.set_ylabel("weights")
        _tidy(axes)
    rows[-1, 0].set_xlabel("log alpha: logarithm of a weight's variance over its squared mean")
    return figure


def _bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges of 40 bins; of values that hardly differ, around them, for there are not as many numbers between."""
    low, high = values.min(), values.max()
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size:
        margin = max(size, 1) / 2
        low, high = low - margin, high + margin
    return np.linspace(low, high, 41)


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    numbers = np.ravel(np.asarray(values)).astype(float)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"uncertainty[{name!r}] must be of finite numbers, at least one, got {numbers}.")
    return numbers


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("jaxdrop.plots needs matplotlib; install it with `pip install matplotlib`.") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _tidy(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
