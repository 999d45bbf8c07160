"""How good predictions and their uncertainties are: pure functions of arrays, for use under `jax.jit` too."""

from jaxdrop.metrics._calibration import expected_calibration_error as expected_calibration_error
from jaxdrop.metrics._classification import accuracy as accuracy
from jaxdrop.metrics._classification import negative_log_likelihood as negative_log_likelihood
from jaxdrop.metrics._selective import RiskCoverage as RiskCoverage
from jaxdrop.metrics._selective import risk_coverage as risk_coverage
