"""Predicting under noise."""

from jaxdrop.inference.moments import Moments as Moments
from jaxdrop.inference.moments import moments as moments
from jaxdrop.inference.monte_carlo import monte_carlo as monte_carlo
from jaxdrop.inference.prediction import ClassPrediction as ClassPrediction
from jaxdrop.inference.prediction import Prediction as Prediction
from jaxdrop.inference.sampler import Sampler as Sampler
