"""How good predictions and their uncertainties are: pure functions of arrays, for use under `jax.jit` too.

Class probabilities are (batch, classes); the samples of stochastic passes have an axis more, in front. For metrics over
batches see `totals`.
"""

from jaxdrop.metrics._bins import CalibrationBins as CalibrationBins
from jaxdrop.metrics._bins import equal_mass_bins as equal_mass_bins
from jaxdrop.metrics._bins import equal_width_bins as equal_width_bins
from jaxdrop.metrics._brier import BrierDecomposition as BrierDecomposition
from jaxdrop.metrics._brier import brier_decomposition as brier_decomposition
from jaxdrop.metrics._brier import brier_score as brier_score
from jaxdrop.metrics._calibration import calibration_error as calibration_error
from jaxdrop.metrics._calibration import expected_calibration_error as expected_calibration_error
from jaxdrop.metrics._calibration import maximum_calibration_error as maximum_calibration_error
from jaxdrop.metrics._classification import accuracy as accuracy
from jaxdrop.metrics._classification import mixture_negative_log_likelihood as mixture_negative_log_likelihood
from jaxdrop.metrics._classification import negative_log_likelihood as negative_log_likelihood
from jaxdrop.metrics._conformal import conformal_interval as conformal_interval
from jaxdrop.metrics._conformal import conformal_interval_scores as conformal_interval_scores
from jaxdrop.metrics._conformal import conformal_quantile as conformal_quantile
from jaxdrop.metrics._conformal import conformal_set as conformal_set
from jaxdrop.metrics._conformal import conformal_set_scores as conformal_set_scores
from jaxdrop.metrics._intervals import Interval as Interval
from jaxdrop.metrics._intervals import central_interval as central_interval
from jaxdrop.metrics._intervals import interval_coverage as interval_coverage
from jaxdrop.metrics._intervals import interval_width as interval_width
from jaxdrop.metrics._out_of_distribution import aupr as aupr
from jaxdrop.metrics._out_of_distribution import auroc as auroc
from jaxdrop.metrics._out_of_distribution import false_positive_rate as false_positive_rate
from jaxdrop.metrics._regression import crps as crps
from jaxdrop.metrics._regression import gaussian_crps as gaussian_crps
from jaxdrop.metrics._regression import gaussian_mixture_log_likelihood as gaussian_mixture_log_likelihood
from jaxdrop.metrics._regression import root_mean_squared_error as root_mean_squared_error
from jaxdrop.metrics._regression_calibration import calibration_curve as calibration_curve
from jaxdrop.metrics._regression_calibration import calibration_curve_error as calibration_curve_error
from jaxdrop.metrics._regression_calibration import sample_cdf as sample_cdf
from jaxdrop.metrics._regression_calibration import sharpness as sharpness
from jaxdrop.metrics._selective import RiskCoverage as RiskCoverage
from jaxdrop.metrics._selective import coverage_at_risk as coverage_at_risk
from jaxdrop.metrics._selective import excess_aurc as excess_aurc
from jaxdrop.metrics._selective import risk_coverage as risk_coverage
from jaxdrop.metrics._streaming import Totals as Totals
from jaxdrop.metrics._streaming import means as means
from jaxdrop.metrics._streaming import totals as totals
from jaxdrop.metrics._temperature import fit_temperature as fit_temperature
from jaxdrop.metrics._uncertainty import entropy as entropy
from jaxdrop.metrics._uncertainty import expected_entropy as expected_entropy
from jaxdrop.metrics._uncertainty import least_confidence as least_confidence
from jaxdrop.metrics._uncertainty import margin as margin
from jaxdrop.metrics._uncertainty import mean_standard_deviation as mean_standard_deviation
from jaxdrop.metrics._uncertainty import mutual_information as mutual_information
from jaxdrop.metrics._uncertainty import variation_ratio as variation_ratio
