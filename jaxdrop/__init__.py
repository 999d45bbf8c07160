"""Dropout in all its forms for JAX and Flax."""

import importlib
from typing import TYPE_CHECKING

from jaxdrop.functional import dropout as dropout
from jaxdrop.functional import gaussian_dropout as gaussian_dropout
from jaxdrop.inference import ClassPrediction as ClassPrediction
from jaxdrop.inference import Prediction as Prediction
from jaxdrop.inference import Sampler as Sampler
from jaxdrop.inference import monte_carlo as monte_carlo

if TYPE_CHECKING:
    from jaxdrop import linen as linen
    from jaxdrop import metrics as metrics
    from jaxdrop import nnx as nnx

__version__ = "0.1.0"


def __getattr__(name: str):
    # Imported when first used, so that those who only want functions never pay for flax.
    if name in ("linen", "metrics", "nnx"):
        return importlib.import_module(f"jaxdrop.{name}")
    raise AttributeError(f"module 'jaxdrop' has no attribute {name!r}")
