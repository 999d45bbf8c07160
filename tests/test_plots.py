"""Pictures show the numbers that they are given."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop import metrics, plots, variational


@pytest.fixture(autouse=True)
def each_picture_draws(monkeypatch):
    """Draws every figure, which is when matplotlib finds fault with it."""
    figures, make = [], plots._figure
    monkeypatch.setattr(plots, "_figure", lambda *size: figures.append(make(*size)) or figures[-1])
    yield
    for figure in figures:
        figure.draw_without_rendering()


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label).get_xydata()


def test_reliability_diagram_has_a_point_for_each_bin_that_is_not_empty():
    probabilities = jnp.array([[0.75, 0.25], [0.75, 0.25], [1.0, 0.0]])
    figure = plots.reliability_diagram(metrics.equal_width_bins(probabilities, jnp.array([0, 1, 0])))
    diagram, amounts = figure.axes
    np.testing.assert_allclose(line(diagram, "model"), [[0.75, 0.5], [1.0, 1.0]])
    assert [segment[1][1] for segment in amounts.collections[0].get_segments()] == [2, 1]
    assert diagram.get_title(loc="left") == "expected calibration error 0.167"


def test_reliability_diagram_refuses_bins_of_each_class():
    bins = metrics.equal_width_bins(jnp.ones((1, 1)), jnp.array([0]), class_wise=True)
    with pytest.raises(ValueError, match=r"bins.num_examples must have one axis and not be empty, got shape \(1, 15\)"):
        plots.reliability_diagram(bins)


def test_risk_coverage_shows_each_curve_and_its_area():
    curve = metrics.risk_coverage(jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([False, False, True, True]))
    (axes,) = plots.risk_coverage({"entropy": curve, "other": curve}).axes
    np.testing.assert_allclose(line(axes, "entropy (area 0.208)"), np.stack([curve.coverage, curve.risk], -1))
    assert len(axes.lines) == 2


def test_predictive_band_sorts_and_reaches_two_deviations():
    x, data = jnp.array([1.0, 0.0]), (jnp.zeros(3), jnp.ones(3))
    (axes,) = plots.predictive_band(x, jnp.array([5.0, 3.0]), jnp.array([1.0, 2.0]), data=data, truth=x).axes
    np.testing.assert_array_equal(line(axes, "mean"), [[0, 3], [1, 5]])
    np.testing.assert_array_equal(line(axes, "truth"), [[0, 0], [1, 1]])
    assert len(line(axes, "data")) == 3
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in band} >= {(0, 3 - 4), (0, 3 + 4), (1, 5 - 2), (1, 5 + 2)}
    assert len(plots.predictive_band(x, x, x).axes[0].lines) == 1


def test_predictive_band_refuses_other_shapes():
    with pytest.raises(ValueError, match="x and mean and deviation must have the same shape"):
        plots.predictive_band(jnp.zeros(3), jnp.zeros(3), jnp.zeros(1))


def test_histograms_have_unit_area_in_shared_bins():
    sets = {"in": jnp.linspace(0, 1, 11), "out": jnp.linspace(0, 4, 7)}
    (axes,) = plots.uncertainty_histograms(sets).axes
    assert axes.get_legend_handles_labels()[1] == ["in", "out"]
    for patch in axes.patches:
        values, edges, _ = patch.get_data()
        np.testing.assert_allclose(np.sum(values * np.diff(edges)), 1)
        assert (edges[0], edges[-1]) == (0, 4)


def test_histograms_of_any_float():
    (axes,) = plots.uncertainty_histograms({"half": jnp.linspace(0, 1, 5, dtype=jnp.bfloat16)}).axes
    assert axes.get_xlim()[1] > 1


@pytest.mark.parametrize("values", [[], [0.0, np.inf], [np.nan]])
def test_histograms_refuse_what_is_in_no_bin(values):
    with pytest.raises(ValueError, match=r"uncertainty\['out'\] must be of finite numbers"):
        plots.uncertainty_histograms({"in": jnp.ones(3), "out": jnp.array(values)})
    with pytest.raises(ValueError, match="at least one set"):
        plots.uncertainty_histograms({})


@pytest.mark.parametrize(("shape", "number"), [((4, 16), 1), ((11, 5, 7), 11), ((1, 1, 1), 1)])
def test_masks_are_shown_as_rows_or_pictures(shape, number):
    values = np.random.default_rng(0).random(shape) < 0.5
    figure = plots.masks(values)
    assert len(figure.axes) == number
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown, values[None] if values.ndim == 2 else values)


def test_masks_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"values must have two or three axes and not be empty, got shape \(3,\)"):
        plots.masks(np.ones(3))


@pytest.mark.thorough
def test_says_what_is_missing_without_matplotlib():
    code = """
import sys
sys.modules["matplotlib.figure"] = None
import jaxdrop
assert "matplotlib" not in sys.modules
try:
    jaxdrop.plots.masks([[1.0]])
except ImportError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert said == "jaxdrop.plots needs matplotlib; install it with `pip install matplotlib`."


def test_pruning_report_has_a_histogram_for_each_layer():
    layer = {"kernel": jnp.array([[1.0, 0.1, 0.1]]), "log_sigma2": jnp.zeros((1, 3))}
    _, report = variational.prune({"first": layer, "second": layer})
    first, second = plots.pruning_report(report).axes
    assert second.get_title(loc="left") == "second: 1 of 3 weights left"
    (histogram,) = first.patches
    assert histogram.get_data().values.sum() == 3
    (border,) = first.lines
    np.testing.assert_array_equal(border.get_xdata(), [3, 3])
    assert not plots.pruning_report(report, None).axes[0].lines


def test_refuses_curves_that_there_are_not():
    with pytest.raises(ValueError, match="curves must have at least one curve"):
        plots.risk_coverage({})
    with pytest.raises(ValueError, match=r"x must have one axis and not be empty, got shape \(5, 1\)"):
        plots.predictive_band(*[np.ones((5, 1))] * 3)


@pytest.mark.parametrize("values", [np.log(2) + np.arange(3) * 1e-16, np.full(3, 1e17), np.zeros(2)])
def test_a_histogram_of_next_to_equal_numbers(values):
    assert plots.uncertainty_histograms({"one": values}).axes[0].patches
