"""Pure functions `f(key, x, rate, *, ...)`, one family of methods to a file."""

from jaxdrop.functional.alpha_dropout import alpha_dropout as alpha_dropout
from jaxdrop.functional.alpha_dropout import feature_alpha_dropout as feature_alpha_dropout
from jaxdrop.functional.cutout import cutout as cutout
from jaxdrop.functional.drop_block import drop_block as drop_block
from jaxdrop.functional.dropout import dropout as dropout
from jaxdrop.functional.gaussian_dropout import gaussian_dropout as gaussian_dropout
from jaxdrop.functional.layer_drop import kept_layers as kept_layers
from jaxdrop.functional.layer_drop import layer_drop as layer_drop
from jaxdrop.functional.scale_kernels import scale_kernels as scale_kernels
from jaxdrop.functional.spatial_dropout import spatial_dropout as spatial_dropout
from jaxdrop.functional.standard_dropout import standard_dropout as standard_dropout
from jaxdrop.functional.standard_dropout import standard_dropout_expectation as standard_dropout_expectation
from jaxdrop.functional.stochastic_depth import stochastic_depth as stochastic_depth
from jaxdrop.functional.uniform_dropout import uniform_dropout as uniform_dropout
