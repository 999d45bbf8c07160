"""Predicting under noise."""

from jaxdrop.inference.acquisition import Acquisition as Acquisition
from jaxdrop.inference.acquisition import batch_bald as batch_bald
from jaxdrop.inference.bayesian import model_precision as model_precision
from jaxdrop.inference.bayesian import model_weight_decay as model_weight_decay
from jaxdrop.inference.distillation import dirichlet_distillation_loss as dirichlet_distillation_loss
from jaxdrop.inference.distillation import dirichlet_prediction as dirichlet_prediction
from jaxdrop.inference.distillation import gaussian_distillation_loss as gaussian_distillation_loss
from jaxdrop.inference.moments import Moments as Moments
from jaxdrop.inference.moments import moments as moments
from jaxdrop.inference.monte_carlo import monte_carlo as monte_carlo
from jaxdrop.inference.prediction import ClassPrediction as ClassPrediction
from jaxdrop.inference.prediction import Prediction as Prediction
from jaxdrop.inference.sampler import Sampler as Sampler
