"""The table of methods that tests/test_contract.py holds against the promises of the design."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

import jaxdrop


@dataclasses.dataclass(frozen=True)
class Method:
    """What the table needs to know of a method.

    Attributes:
      name: Its row.
      function: `(key, x, rate) -> y`.
      linen: `(rate) -> nn.Module` that applies it, given `deterministic=False` in the call.
      nnx: `(rate, rngs) -> nnx.Module` that applies it.
      variance: `(x, rate) -> array`: the variance of each output entry.
      mean: `(x, rate) -> array`: its mean.
      expectation: `(x, rate) -> array`: what the modules predict without noise.
      drops: `(y) -> array` of independent indicators of what was dropped, each with the chance `rate`, for an input of
        shape SHAPE without zeros; None if nothing is dropped.
    """

    name: str
    function: Callable
    linen: Callable
    nnx: Callable
    variance: Callable
    mean: Callable = lambda x, rate: x
    expectation: Callable = lambda x, rate: x
    drops: Callable | None = None


SHAPE = (16, 6, 8)  # batch, length, channels


def dropout_variance(x, rate):
    return np.square(x) * rate / (1 - rate)


METHODS = [
    Method(
        "dropout",
        jaxdrop.dropout,
        jaxdrop.linen.Dropout,
        lambda rate, rngs: jaxdrop.nnx.Dropout(rate, rngs=rngs),
        variance=dropout_variance,
        drops=lambda y: y == 0,
    ),
    Method(
        "dropout_broadcast",
        functools.partial(jaxdrop.dropout, broadcast_dims=(1,)),
        functools.partial(jaxdrop.linen.Dropout, broadcast_dims=(1,)),
        lambda rate, rngs: jaxdrop.nnx.Dropout(rate, broadcast_dims=(1,), rngs=rngs),
        variance=dropout_variance,
        drops=lambda y: y[:, 0] == 0,
    ),
    Method(
        "gaussian_dropout",
        jaxdrop.gaussian_dropout,
        jaxdrop.linen.GaussianDropout,
        lambda rate, rngs: jaxdrop.nnx.GaussianDropout(rate, rngs=rngs),
        variance=dropout_variance,
    ),
]
