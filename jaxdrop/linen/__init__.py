"""Dropout layers for flax.linen, and Monte-Carlo samples of linen models."""

from jaxdrop.linen.dropout import Dropout as Dropout
from jaxdrop.linen.gaussian_dropout import GaussianDropout as GaussianDropout
from jaxdrop.linen.sampler import sampler as sampler
