"""What other libraries, at the versions named, give for the same inputs; they are not needed to run this."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop import metrics

LOGITS = 3 * np.sin(np.arange(720.0) ** 1.3).reshape(4, 60, 3)  # (num_samples, batch, classes)
PASSES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
MEAN = PASSES.mean(0)
EXAMPLE = np.arange(60)
LABELS = ((MEAN.argmax(-1) + (EXAMPLE % 4 == 0) + (EXAMPLE % 7 == 0)) % 3).astype(np.int32)
WRONG = MEAN.argmax(-1) != LABELS
SAMPLES = np.sin(np.arange(600.0) ** 1.3).reshape(10, 60)  # (num_samples, batch)
TARGETS = 1.2 * np.sin(np.arange(60.0) ** 1.4)
CENTRE, DEVIATION = SAMPLES.mean(0), SAMPLES.std(0)

WIDTH = metrics.equal_width_bins(MEAN, LABELS, 10)  # five of them are empty
MASS = metrics.equal_mass_bins(MEAN, LABELS, 6)
CURVE = metrics.risk_coverage(metrics.least_confidence(MEAN), WRONG)
TIED = np.round(np.asarray(metrics.entropy(MEAN)), 1)
LEVELS = np.linspace(0, 1, 100)


def trapezoid(curve):
    """torch-uncertainty's area: by trapezoids over [1/N, 1], divided by its width."""
    return (curve.risk.sum() - (curve.risk[0] + curve.risk[-1]) / 2) / (len(curve.risk) - 1)


def central_calibration_error():
    cdf = jax.scipy.stats.norm.cdf(*(jnp.asarray(array, dtype=float) for array in (TARGETS, CENTRE, DEVIATION)))
    return metrics.calibration_curve_error(metrics.calibration_curve(jnp.abs(2 * cdf - 1), LEVELS), LEVELS)


def first_intervals():
    quantile = metrics.conformal_quantile(
        metrics.conformal_interval_scores(CENTRE[:41], DEVIATION[:41], TARGETS[:41]), 0.8
    )
    return jnp.stack(metrics.conformal_interval(CENTRE[41:43], DEVIATION[41:43], quantile), axis=1)


def size_of_sets(level):
    quantile = metrics.conformal_quantile(metrics.conformal_set_scores(MEAN[:41], LABELS[:41]), level)
    return metrics.conformal_set(MEAN[41:], quantile).sum()


VALUES = {
    "torchmetrics 1.9.0: multiclass_calibration_error, l1": (lambda: metrics.calibration_error(WIDTH), 0.15496194),
    "torchmetrics 1.9.0: multiclass_calibration_error, l2": (
        lambda: metrics.calibration_error(WIDTH, norm=2),
        0.16296975,
    ),
    "torchmetrics 1.9.0: multiclass_calibration_error, max": (
        lambda: metrics.maximum_calibration_error(WIDTH),
        0.25239229,
    ),
    "torchmetrics 1.9.0: binary_auroc": (lambda: metrics.auroc(TIED, WRONG), 0.51709402),
    "torchmetrics 1.9.0: binary_average_precision": (lambda: metrics.aupr(TIED, WRONG), 0.35592562),
    "torch-uncertainty 0.13.0: ClasswiseCalibrationError": (
        lambda: metrics.calibration_error(metrics.equal_width_bins(MEAN, LABELS, 10, class_wise=True)).mean(),
        0.10968803,
    ),
    "torch-uncertainty 0.13.0: AdaptiveCalibrationError": (
        lambda: metrics.calibration_error(metrics.equal_mass_bins(MEAN, LABELS, 7)),
        0.1645436,
    ),
    "torch-uncertainty 0.13.0: BrierScore": (lambda: metrics.brier_score(MEAN, LABELS), 0.57035482),
    "torch-uncertainty 0.13.0: Entropy": (lambda: metrics.entropy(MEAN)[:2], [1.0210447, 0.68512931]),
    "torch-uncertainty 0.13.0: MutualInformation": (
        lambda: metrics.mutual_information(PASSES)[:2],
        [0.27614041, 0.23803985],
    ),
    "torch-uncertainty 0.13.0: AURC": (lambda: trapezoid(CURVE), 0.31888946),
    "torch-uncertainty 0.13.0: CovAtxRisk(0.3)": (lambda: metrics.coverage_at_risk(CURVE, 0.3), 0.7),
    "torch-uncertainty 0.13.0: CovAtxRisk(0.1)": (lambda: metrics.coverage_at_risk(CURVE, 0.1), 1 / 60),
    "torch-uncertainty 0.13.0: FPR95": (lambda: metrics.false_positive_rate(TIED, WRONG), 0.92307693),
    "uncertainty-calibration 0.1.4: unbiased_l2_ce, get_equal_bins": (
        lambda: metrics.calibration_error(MASS, norm=2, debiased=True),
        0.094058694,
    ),
    "uncertainty-calibration 0.1.4: plugin_ce, get_equal_bins": (lambda: metrics.calibration_error(MASS), 0.14831373),
    "properscoring 0.1: crps_ensemble": (lambda: metrics.crps(SAMPLES, TARGETS), 0.48293477),
    "properscoring 0.1: crps_gaussian": (lambda: metrics.gaussian_crps(CENTRE, DEVIATION, TARGETS), 0.48165055),
    "scoringrules 0.10.0: logs_mixnorm, negative": (
        lambda: metrics.gaussian_mixture_log_likelihood(SAMPLES, TARGETS, 4.0),
        -1.140467,
    ),
    "uncertainty-toolbox 0.1.1: sharpness": (lambda: metrics.sharpness(DEVIATION**2), 0.65330996),
    "uncertainty-toolbox 0.1.1: mean_absolute_calibration_error, interval": (central_calibration_error, 0.16216667),
    "crepes 0.9.1: ConformalRegressor, 41 residuals and sigmas, 0.8": (
        first_intervals,
        [[-1.2906282, 1.0524908], [-1.1197718, 0.82249539]],
    ),
    "MAPIE 1.6.0: SplitConformalClassifier, lac, 41 examples, 0.8": (lambda: size_of_sets(0.8), 30),
    "MAPIE 1.6.0: SplitConformalClassifier, lac, 41 examples, 0.9": (lambda: size_of_sets(0.9), 54),
    "netcal 1.4.0: TemperatureScaling": (lambda: metrics.fit_temperature(np.log(MEAN), LABELS), 1.0668524),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", VALUES)
def test_equals(name):
    compute, expected = VALUES[name]
    np.testing.assert_allclose(compute(), expected, rtol=2e-6)


def test_equals_the_mean_of_200_000_resamples():
    # uncertainty-calibration 0.1.4: normal_debiased_ce, get_equal_bins; its standard error is 1e-4.
    np.testing.assert_allclose(metrics.calibration_error(MASS, debiased=True), 0.10440022, atol=3e-4)
