"""Pure functions `f(key, x, rate, *, ...)`, one family of methods to a file."""

from jaxdrop.functional.alpha_dropout import alpha_dropout as alpha_dropout
from jaxdrop.functional.alpha_dropout import feature_alpha_dropout as feature_alpha_dropout
from jaxdrop.functional.cutout import cutout as cutout
from jaxdrop.functional.drop_block import drop_block as drop_block
from jaxdrop.functional.dropout import dropout as dropout
from jaxdrop.functional.fractal_drop_path import fractal_column as fractal_column
from jaxdrop.functional.fractal_drop_path import fractal_drop_path as fractal_drop_path
from jaxdrop.functional.fractal_drop_path import fractal_drop_path_expectation as fractal_drop_path_expectation
from jaxdrop.functional.gaussian_dropout import gaussian_dropout as gaussian_dropout
from jaxdrop.functional.layer_drop import kept_layers as kept_layers
from jaxdrop.functional.layer_drop import layer_drop as layer_drop
from jaxdrop.functional.max_drop import max_drop as max_drop
from jaxdrop.functional.patch_dropout import patch_dropout as patch_dropout
from jaxdrop.functional.patch_dropout import patch_indices as patch_indices
from jaxdrop.functional.scale_kernels import scale_kernels as scale_kernels
from jaxdrop.functional.shake_drop import shake_drop as shake_drop
from jaxdrop.functional.shake_drop import shake_drop_expectation as shake_drop_expectation
from jaxdrop.functional.spatial_dropout import spatial_dropout as spatial_dropout
from jaxdrop.functional.standard_dropout import standard_dropout as standard_dropout
from jaxdrop.functional.standard_dropout import standard_dropout_expectation as standard_dropout_expectation
from jaxdrop.functional.standout import standout as standout
from jaxdrop.functional.standout import standout_expectation as standout_expectation
from jaxdrop.functional.stochastic_depth import stochastic_depth as stochastic_depth
from jaxdrop.functional.uniform_dropout import uniform_dropout as uniform_dropout
