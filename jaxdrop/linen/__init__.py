"""Dropout layers for flax.linen, and Monte-Carlo samples of linen models."""

from jaxdrop.linen.alpha_dropout import AlphaDropout as AlphaDropout
from jaxdrop.linen.alpha_dropout import FeatureAlphaDropout as FeatureAlphaDropout
from jaxdrop.linen.cutout import Cutout as Cutout
from jaxdrop.linen.drop_block import DropBlock as DropBlock
from jaxdrop.linen.drop_connect import DropConnectConv as DropConnectConv
from jaxdrop.linen.drop_connect import DropConnectDense as DropConnectDense
from jaxdrop.linen.dropout import Dropout as Dropout
from jaxdrop.linen.fractal_drop_path import FractalDropPath as FractalDropPath
from jaxdrop.linen.gaussian_dropout import GaussianDropout as GaussianDropout
from jaxdrop.linen.layer_drop import LayerDrop as LayerDrop
from jaxdrop.linen.max_drop import MaxDrop as MaxDrop
from jaxdrop.linen.patch_dropout import PatchDropout as PatchDropout
from jaxdrop.linen.replace import replace as replace
from jaxdrop.linen.sampler import sampler as sampler
from jaxdrop.linen.shake_drop import ShakeDrop as ShakeDrop
from jaxdrop.linen.spatial_dropout import SpatialDropout as SpatialDropout
from jaxdrop.linen.standard_dropout import StandardDropout as StandardDropout
from jaxdrop.linen.standout import Standout as Standout
from jaxdrop.linen.stochastic_depth import StochasticDepth as StochasticDepth
from jaxdrop.linen.uniform_dropout import UniformDropout as UniformDropout
from jaxdrop.linen.weight_drop import WeightDrop as WeightDrop
