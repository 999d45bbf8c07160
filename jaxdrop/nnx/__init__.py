"""Dropout layers for flax.nnx, and Monte-Carlo samples of nnx models."""

from jaxdrop.nnx.dropout import Dropout as Dropout
from jaxdrop.nnx.gaussian_dropout import GaussianDropout as GaussianDropout
from jaxdrop.nnx.sampler import sampler as sampler
