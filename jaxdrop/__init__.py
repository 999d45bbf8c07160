"""Dropout in all its forms for JAX and Flax."""

import importlib
from typing import TYPE_CHECKING

from jaxdrop import encoder_rates as encoder_rates
from jaxdrop import schedules as schedules
from jaxdrop.encoder_rates import EncoderRates as EncoderRates
from jaxdrop.functional import DropConnectMoments as DropConnectMoments
from jaxdrop.functional import alpha_dropout as alpha_dropout
from jaxdrop.functional import attention_fn as attention_fn
from jaxdrop.functional import cutout as cutout
from jaxdrop.functional import dot_product_attention as dot_product_attention
from jaxdrop.functional import drop_attention as drop_attention
from jaxdrop.functional import drop_block as drop_block
from jaxdrop.functional import drop_connect_conv as drop_connect_conv
from jaxdrop.functional import drop_connect_conv_moments as drop_connect_conv_moments
from jaxdrop.functional import drop_connect_dense as drop_connect_dense
from jaxdrop.functional import drop_connect_dense_moments as drop_connect_dense_moments
from jaxdrop.functional import drop_head as drop_head
from jaxdrop.functional import dropout as dropout
from jaxdrop.functional import embedding_dropout as embedding_dropout
from jaxdrop.functional import feature_alpha_dropout as feature_alpha_dropout
from jaxdrop.functional import fractal_column as fractal_column
from jaxdrop.functional import fractal_drop_path as fractal_drop_path
from jaxdrop.functional import fractal_drop_path_expectation as fractal_drop_path_expectation
from jaxdrop.functional import gaussian_dropout as gaussian_dropout
from jaxdrop.functional import kept_layers as kept_layers
from jaxdrop.functional import layer_drop as layer_drop
from jaxdrop.functional import locked_dropout as locked_dropout
from jaxdrop.functional import mask_ensemble as mask_ensemble
from jaxdrop.functional import masksembles as masksembles
from jaxdrop.functional import masksembles_masks as masksembles_masks
from jaxdrop.functional import max_drop as max_drop
from jaxdrop.functional import moment_matched_mean as moment_matched_mean
from jaxdrop.functional import patch_dropout as patch_dropout
from jaxdrop.functional import patch_indices as patch_indices
from jaxdrop.functional import scale_kernels as scale_kernels
from jaxdrop.functional import shake_drop as shake_drop
from jaxdrop.functional import shake_drop_expectation as shake_drop_expectation
from jaxdrop.functional import spatial_dropout as spatial_dropout
from jaxdrop.functional import standard_dropout as standard_dropout
from jaxdrop.functional import standard_dropout_expectation as standard_dropout_expectation
from jaxdrop.functional import standout as standout
from jaxdrop.functional import standout_expectation as standout_expectation
from jaxdrop.functional import stochastic_depth as stochastic_depth
from jaxdrop.functional import uniform_dropout as uniform_dropout
from jaxdrop.functional import weight_drop as weight_drop
from jaxdrop.functional import word_dropout as word_dropout
from jaxdrop.functional import zoneout as zoneout
from jaxdrop.functional import zoneout_expectation as zoneout_expectation
from jaxdrop.inference import Acquisition as Acquisition
from jaxdrop.inference import ClassPrediction as ClassPrediction
from jaxdrop.inference import Moments as Moments
from jaxdrop.inference import Prediction as Prediction
from jaxdrop.inference import Sampler as Sampler
from jaxdrop.inference import batch_bald as batch_bald
from jaxdrop.inference import dirichlet_distillation_loss as dirichlet_distillation_loss
from jaxdrop.inference import dirichlet_prediction as dirichlet_prediction
from jaxdrop.inference import gaussian_distillation_loss as gaussian_distillation_loss
from jaxdrop.inference import model_precision as model_precision
from jaxdrop.inference import model_weight_decay as model_weight_decay
from jaxdrop.inference import moments as moments
from jaxdrop.inference import monte_carlo as monte_carlo
from jaxdrop.losses import activation_regularization as activation_regularization
from jaxdrop.losses import expectation_linear_loss as expectation_linear_loss
from jaxdrop.losses import r_drop_loss as r_drop_loss
from jaxdrop.losses import temporal_activation_regularization as temporal_activation_regularization
from jaxdrop.max_norm import max_norm as max_norm
from jaxdrop.repeat_examples import repeat_examples as repeat_examples

if TYPE_CHECKING:
    from jaxdrop import linen as linen
    from jaxdrop import metrics as metrics
    from jaxdrop import nnx as nnx
    from jaxdrop import plots as plots
    from jaxdrop import variational as variational

__version__ = "0.1.0"


def __getattr__(name: str):
    # Imported when first used, so that those who only want functions never pay for flax.
    if name in ("linen", "metrics", "nnx", "plots", "variational"):
        return importlib.import_module(f"jaxdrop.{name}")
    raise AttributeError(f"module 'jaxdrop' has no attribute {name!r}")
