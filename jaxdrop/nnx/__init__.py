"""Dropout layers for flax.nnx, and Monte-Carlo samples of nnx models."""

from jaxdrop.nnx.alpha_dropout import AlphaDropout as AlphaDropout
from jaxdrop.nnx.alpha_dropout import FeatureAlphaDropout as FeatureAlphaDropout
from jaxdrop.nnx.cutout import Cutout as Cutout
from jaxdrop.nnx.drop_block import DropBlock as DropBlock
from jaxdrop.nnx.drop_connect import DropConnectConv as DropConnectConv
from jaxdrop.nnx.drop_connect import DropConnectDense as DropConnectDense
from jaxdrop.nnx.dropout import Dropout as Dropout
from jaxdrop.nnx.fractal_drop_path import FractalDropPath as FractalDropPath
from jaxdrop.nnx.gaussian_dropout import GaussianDropout as GaussianDropout
from jaxdrop.nnx.layer_drop import LayerDrop as LayerDrop
from jaxdrop.nnx.max_drop import MaxDrop as MaxDrop
from jaxdrop.nnx.patch_dropout import PatchDropout as PatchDropout
from jaxdrop.nnx.replace import replace as replace
from jaxdrop.nnx.sampler import sampler as sampler
from jaxdrop.nnx.shake_drop import ShakeDrop as ShakeDrop
from jaxdrop.nnx.spatial_dropout import SpatialDropout as SpatialDropout
from jaxdrop.nnx.standard_dropout import StandardDropout as StandardDropout
from jaxdrop.nnx.standout import Standout as Standout
from jaxdrop.nnx.stochastic_depth import StochasticDepth as StochasticDepth
from jaxdrop.nnx.uniform_dropout import UniformDropout as UniformDropout
from jaxdrop.nnx.weight_drop import WeightDrop as WeightDrop
