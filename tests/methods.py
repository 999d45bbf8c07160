"""The table of methods that tests/test_contract.py holds against the promises of the design."""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxdrop


@dataclasses.dataclass(frozen=True)
class Method:
    """What the table needs to know of a method.

    Attributes:
      name: Its row.
      function: `(key, x, rate) -> y`.
      linen: `(rate) -> nn.Module` that applies it, given `deterministic=False` in the call.
      nnx: `(rate, rngs) -> nnx.Module` that applies it.
      variance: `(x, rate) -> array`: the variance of each output entry; None where neither it nor the mean has a
        closed form.
      mean: `(x, rate) -> array`: its mean.
      expectation: `(x, rate) -> array`: what the modules predict without noise.
      drops: `(y) -> array` of independent indicators of what was dropped, each with the chance `rate`, for an input of
        shape SHAPE without zeros; None if nothing is dropped.
      parameter: What the method itself calls `rate`.
      holds: How many numbers of a SHAPE input the backward pass may hold because what is dropped depends on the input,
        so that the key alone does not tell: at most one for each decision.
      dense: Whether it is a dense layer of 8 x 8 weights, here the identity: its rate is a scalar, it holds its inputs
        and weights, and it mixes the last axis, so that its outputs are not sharded along that.
      scalar_rate: Whether its rate is one number, and not an array that broadcasts against the input.
      argument: What the method itself calls `x`.
      variant: Whether it is the function of another row with other options, so that only what these change is tested.
      own_derivative: Whether the method defines a derivative that is not that of its value; its own tests check it.
    """

    name: str
    function: Callable
    linen: Callable
    nnx: Callable
    variance: Callable | None
    mean: Callable = lambda x, rate: x
    expectation: Callable = lambda x, rate: x
    drops: Callable | None = None
    parameter: str = "rate"
    holds: int = 0
    dense: bool = False
    own_derivative: bool = False
    scalar_rate: bool = False
    argument: str = "x"
    variant: bool = False


SHAPE = (16, 6, 8)  # batch, length, channels


def dropout_variance(x, rate):
    return np.square(x) * rate / (1 - rate)


def alpha_dropout_moments(x, rate):
    dropped = -1.0507009873554805 * 1.6732632423543778
    keep = 1 - rate
    a = 1 / np.sqrt(keep * (1 + rate * dropped**2))
    b = -a * rate * dropped
    return a * (keep * x + rate * dropped) + b, a**2 * keep * rate * np.square(x - dropped)


def cut_chance(rate):
    """Of a position to be in a hole of size 2, whose centre is there or at the next one, of `SHAPE[1]`."""
    return rate * np.array([2, 2, 2, 2, 2, 1])[:, None] / SHAPE[1]


def max_drop_chance(x, rate, axis):
    """Of each entry: `rate` for the maxima along `axis`."""
    return rate * (x == x.max(axis, keepdims=True))


class IdentityDropConnect(nn.Module):
    """A DropConnect layer that brings its weights with it."""

    rate: float

    @nn.compact
    def __call__(self, x, deterministic=None, rng=None):
        layer = jaxdrop.linen.DropConnectDense(8, self.rate, use_bias=False)
        rngs = {"dropout": self.make_rng("dropout")} if self.has_rng("dropout") else {}
        return layer.apply({"params": {"kernel": jnp.eye(8)}}, x, deterministic, rng, rngs=rngs)


def identity_drop_connect_nnx(rate, rngs):
    options = {"use_bias": False, "kernel_init": lambda *_: jnp.eye(8)}
    layer = jaxdrop.nnx.DropConnectDense(8, 8, rate, **options, rngs=nnx.Rngs(0))
    layer.rngs = nnx.data(rngs["dropout"].fork())
    return layer


def types(x):
    """Tokens for embedded ones, each of a type of its own."""
    return jnp.arange(np.prod(x.shape[:-1])).reshape(x.shape[:-1])


class DifferentTypes(jaxdrop.linen.EmbeddingDropout):
    def __call__(self, x, deterministic=None, rng=None):
        return super().__call__(x, types(x), deterministic, rng)


class DifferentTypesNnx(jaxdrop.nnx.EmbeddingDropout):
    def __call__(self, x, **kwargs):
        return super().__call__(x, types(x), **kwargs)


class FromZero(jaxdrop.linen.Zoneout):
    def __call__(self, x, deterministic=None, rng=None):
        return super().__call__(x, jnp.zeros_like(x), deterministic, rng)


class FromZeroNnx(jaxdrop.nnx.Zoneout):
    def __call__(self, x, **kwargs):
        return super().__call__(x, jnp.zeros_like(x), **kwargs)


def on_attention(function):
    """Modules that apply noise for attention weights to their inputs; in use, flax's attention modules do."""

    class OnInputs(jaxdrop.linen._stochastic.StochasticLayer):
        def noise(self, key, inputs):
            return function(key, inputs, self.rate)

    class OnInputsNnx(jaxdrop.nnx._stochastic.StochasticLayer):
        def noise(self, key, inputs):
            return function(key, inputs, self.rate)

    return function, OnInputs, lambda rate, rngs: OnInputsNnx(rate, rngs=rngs)


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
        variant=True,
    ),
    Method(
        "gaussian_dropout",
        jaxdrop.gaussian_dropout,
        jaxdrop.linen.GaussianDropout,
        lambda rate, rngs: jaxdrop.nnx.GaussianDropout(rate, rngs=rngs),
        variance=dropout_variance,
    ),
    Method(
        "stochastic_depth",
        jaxdrop.stochastic_depth,
        jaxdrop.linen.StochasticDepth,
        lambda rate, rngs: jaxdrop.nnx.StochasticDepth(rate, rngs=rngs),
        variance=dropout_variance,
        drops=lambda y: y[:, 0, 0] == 0,
        variant=True,
    ),
    Method(
        "spatial_dropout",
        jaxdrop.spatial_dropout,
        jaxdrop.linen.SpatialDropout,
        lambda rate, rngs: jaxdrop.nnx.SpatialDropout(rate, rngs=rngs),
        variance=dropout_variance,
        drops=lambda y: y[:, 0] == 0,
        variant=True,
    ),
    Method(
        "drop_block",
        functools.partial(jaxdrop.drop_block, block_size=2),
        functools.partial(jaxdrop.linen.DropBlock, block_size=2),
        lambda rate, rngs: jaxdrop.nnx.DropBlock(rate, 2, rngs=rngs),
        variance=None,
    ),
    Method(
        "drop_block_shared_exact",
        functools.partial(jaxdrop.drop_block, block_size=3, share_channels=True, exact_rate=True),
        functools.partial(jaxdrop.linen.DropBlock, block_size=3, share_channels=True, exact_rate=True),
        lambda rate, rngs: jaxdrop.nnx.DropBlock(rate, 3, share_channels=True, exact_rate=True, rngs=rngs),
        variance=None,
        variant=True,
    ),
    Method(
        "alpha_dropout",
        jaxdrop.alpha_dropout,
        jaxdrop.linen.AlphaDropout,
        lambda rate, rngs: jaxdrop.nnx.AlphaDropout(rate, rngs=rngs),
        variance=lambda x, rate: alpha_dropout_moments(x, rate)[1],
        mean=lambda x, rate: alpha_dropout_moments(x, rate)[0],
        drops=lambda y: y < 0,
    ),
    Method(
        "feature_alpha_dropout",
        jaxdrop.feature_alpha_dropout,
        jaxdrop.linen.FeatureAlphaDropout,
        lambda rate, rngs: jaxdrop.nnx.FeatureAlphaDropout(rate, rngs=rngs),
        variance=lambda x, rate: alpha_dropout_moments(x, rate)[1],
        mean=lambda x, rate: alpha_dropout_moments(x, rate)[0],
        drops=lambda y: y[:, 0] < 0,
        variant=True,
    ),
    Method(
        "standard_dropout",
        jaxdrop.standard_dropout,
        jaxdrop.linen.StandardDropout,
        lambda rate, rngs: jaxdrop.nnx.StandardDropout(rate, rngs=rngs),
        variance=lambda x, rate: np.square(x) * rate * (1 - rate),
        mean=lambda x, rate: x * (1 - rate),
        expectation=jaxdrop.standard_dropout_expectation,
        drops=lambda y: y == 0,
    ),
    Method(
        "uniform_dropout",
        lambda key, x, rate: jaxdrop.uniform_dropout(key, x, rate),
        jaxdrop.linen.UniformDropout,
        lambda rate, rngs: jaxdrop.nnx.UniformDropout(rate, rngs=rngs),
        variance=lambda x, rate: np.square(x * rate) / 3,
        parameter="beta",
    ),
    Method(
        "cutout",
        lambda key, x, rate: jaxdrop.cutout(key, x, 2, rate=rate),
        functools.partial(jaxdrop.linen.Cutout, size=2),
        lambda rate, rngs: jaxdrop.nnx.Cutout(2, rate=rate, rngs=rngs),
        variance=lambda x, rate: np.square(x) * cut_chance(rate) * (1 - cut_chance(rate)),
        mean=lambda x, rate: x * (1 - cut_chance(rate)),
    ),
    Method(
        "max_drop",
        jaxdrop.max_drop,
        jaxdrop.linen.MaxDrop,
        lambda rate, rngs: jaxdrop.nnx.MaxDrop(rate, rngs=rngs),
        variance=lambda x, rate: np.square(x) * max_drop_chance(x, rate, 1) * (1 - max_drop_chance(x, rate, 1)),
        mean=lambda x, rate: x * (1 - max_drop_chance(x, rate, 1)),
        drops=lambda y: (y == 0).any(1),
        holds=SHAPE[0] * SHAPE[2],
    ),
    Method(
        "max_drop_channel",
        functools.partial(jaxdrop.max_drop, mode="channel"),
        functools.partial(jaxdrop.linen.MaxDrop, mode="channel"),
        lambda rate, rngs: jaxdrop.nnx.MaxDrop(rate, mode="channel", rngs=rngs),
        variance=lambda x, rate: np.square(x) * max_drop_chance(x, rate, 2) * (1 - max_drop_chance(x, rate, 2)),
        mean=lambda x, rate: x * (1 - max_drop_chance(x, rate, 2)),
        drops=lambda y: (y == 0).any(2),
        holds=SHAPE[0] * SHAPE[1],
        variant=True,
    ),
    Method(
        "shake_drop",
        functools.partial(jaxdrop.shake_drop, mode="row"),
        functools.partial(jaxdrop.linen.ShakeDrop, mode="row"),
        lambda rate, rngs: jaxdrop.nnx.ShakeDrop(rate, mode="row", rngs=rngs),
        variance=lambda x, rate: np.square(x) * (1 - rate + rate / 3 - (1 - rate) ** 2),
        mean=lambda x, rate: x * (1 - rate),
        expectation=jaxdrop.shake_drop_expectation,
        drops=lambda y: (y != 1).any((1, 2)),
        own_derivative=True,
    ),
    Method(
        "drop_connect_dense",
        lambda key, x, rate: jaxdrop.drop_connect_dense(key, x, jnp.eye(x.shape[-1], dtype=x.dtype), rate),
        IdentityDropConnect,
        identity_drop_connect_nnx,
        variance=lambda x, rate: np.square(x) * rate * (1 - rate),
        mean=lambda x, rate: x * (1 - rate),
        expectation=lambda x, rate: jaxdrop.drop_connect_dense_moments(x, jnp.eye(8), rate).mean,
        drops=lambda y: y == 0,
        holds=SHAPE[0] * SHAPE[1] * SHAPE[2] + 8 * 8,
        dense=True,
        scalar_rate=True,
    ),
    Method(
        "locked_dropout",
        jaxdrop.locked_dropout,
        jaxdrop.linen.LockedDropout,
        lambda rate, rngs: jaxdrop.nnx.LockedDropout(rate, rngs=rngs),
        variance=lambda x, rate: np.square(x) * rate / (1 - rate),
        drops=lambda y: (y == 0).all(1),
        variant=True,
    ),
    Method(
        "embedding_dropout",
        lambda key, x, rate: jaxdrop.embedding_dropout(key, x, types(x), rate),
        DifferentTypes,
        lambda rate, rngs: DifferentTypesNnx(rate, rngs=rngs),
        variance=lambda x, rate: np.square(x) * rate / (1 - rate),
        drops=lambda y: (y == 0).all(-1),
        holds=SHAPE[0] * SHAPE[1],
        scalar_rate=True,
    ),
    Method(
        "zoneout",
        lambda key, x, rate: jaxdrop.zoneout(key, x, jnp.zeros_like(x), rate),
        FromZero,
        lambda rate, rngs: FromZeroNnx(rate, rngs=rngs),
        variance=lambda x, rate: np.square(x) * rate * (1 - rate),
        mean=lambda x, rate: x * (1 - rate),
        expectation=lambda x, rate: jaxdrop.zoneout_expectation(x, jnp.zeros_like(x), rate),
        drops=lambda y: y == 0,
        argument="new",
    ),
    Method(
        "drop_attention",
        *on_attention(functools.partial(jaxdrop.drop_attention, normalize=False)),
        variance=dropout_variance,
        drops=lambda y: y == 0,
        scalar_rate=True,
        variant=True,
    ),
    Method(
        "drop_head",
        *on_attention(functools.partial(jaxdrop.drop_head, head_axis=-2, normalize=False)),
        variance=dropout_variance,
        drops=lambda y: (y == 0).all(-1),
        scalar_rate=True,
        variant=True,
    ),
]
