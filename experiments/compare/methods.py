"""The methods under comparison: what each puts where, and how it trains."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax

import jaxdrop
import jaxdrop.linen
from experiments.compare.networks import Places
from jaxdrop import schedules


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a method's layers depend on at one step of training.

    Attributes:
      config: The experiment's configuration.
      train: Whether noise is on.
      step: Updates so far.
      steps: Updates in all.
    """

    config: Any
    train: bool
    step: jax.typing.ArrayLike
    steps: int


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of the comparison.

    Attributes:
      places: Setting -> what it puts where.
      max_norm: Whether the norms of the units' kernels are constrained.
      consistency: Whether the loss is R-Drop's, of two passes.
      published: The paper's test error on MNIST in percent, its evidence tag and where it stands; None if there is no
        number for this network that has been verified.
    """

    places: Callable[[Setting], Places]
    max_norm: bool = False
    consistency: bool = False
    published: tuple[str, str, str] | None = None


def _layer(kind: Callable[..., nn.Module], setting: Setting, rate: jax.typing.ArrayLike, **options: Any) -> nn.Module:
    return kind(rate, deterministic=not setting.train, **options)


def _on_units(kind: Callable[..., nn.Module], setting: Setting) -> Places:
    """Noise on inputs and hidden units alike, at their own rates."""
    config = setting.config
    return Places(inputs=_layer(kind, setting, config.input_rate), hidden=_layer(kind, setting, config.rate))


def _curriculum(setting: Setting) -> Places:
    """Dropout that has reached 99.99 % of its rates at the end, as the paper's gamma = 10 / T has it."""
    config = setting.config
    rates = (schedules.curriculum(rate, 10 / setting.steps)(setting.step) for rate in (config.input_rate, config.rate))
    inputs, hidden = (_layer(jaxdrop.linen.Dropout, setting, rate) for rate in rates)
    return Places(inputs, hidden)


def _drop_connect(setting: Setting) -> Places:
    config = setting.config
    layer = partial(
        jaxdrop.linen.DropConnectDense,
        rate=config.rate,
        mode=config.drop_connect_mode,
        activation=nn.relu,
        inference="gaussian",
        kernel_init=nn.initializers.he_normal(),
        deterministic=not setting.train,
    )
    return Places(dense=layer)


class _StandoutDense(nn.Module):
    """A dense layer of ReLUs with standout by its own pre-activations: the paper's tied form."""

    width: int
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        logits = nn.Dense(self.width, kernel_init=nn.initializers.he_normal())(x)
        return jaxdrop.linen.Standout(deterministic=not self.train)(nn.relu(logits), logits)


def _standout(setting: Setting) -> Places:
    inputs = _layer(jaxdrop.linen.Dropout, setting, setting.config.input_rate)
    return Places(inputs=inputs, dense=partial(_StandoutDense, train=setting.train))


def _on_maps(kind: Callable[..., nn.Module], setting: Setting) -> Places:
    return Places(hidden=_layer(kind, setting, setting.config.map_rate))


def _drop_block(setting: Setting, *, scheduled: bool = False) -> Places:
    config = setting.config
    rate = schedules.drop_block(config.map_rate, setting.steps)(setting.step) if scheduled else config.map_rate
    return Places(hidden=_layer(jaxdrop.linen.DropBlock, setting, rate, block_size=config.block_size))


def _stochastic_depth(setting: Setting) -> Places:
    rates = schedules.linear_depth(3, setting.config.depth_rate)
    return Places(branch=lambda block: _layer(jaxdrop.linen.StochasticDepth, setting, rates[block]))


def _cutout(setting: Setting) -> Places:
    return Places(inputs=_layer(jaxdrop.linen.Cutout, setting, 1.0, size=setting.config.cutout_size))


_SRIVASTAVA = "Srivastava et al. 2014, table 2"

MLP_METHODS = {
    "none": Method(lambda setting: Places(), published=("1.60", "S", f"{_SRIVASTAVA}: 2 x 800 logistic units")),
    "dropout": Method(
        partial(_on_units, jaxdrop.linen.Dropout), published=("1.25", "S", f"{_SRIVASTAVA}: 3 x 1024 ReLUs")
    ),
    "dropout + max-norm": Method(
        partial(_on_units, jaxdrop.linen.Dropout),
        max_norm=True,
        published=("1.06", "S", f"{_SRIVASTAVA}: 3 x 1024 ReLUs"),
    ),
    "standard dropout": Method(partial(_on_units, jaxdrop.linen.StandardDropout)),
    "Gaussian dropout": Method(
        partial(_on_units, jaxdrop.linen.GaussianDropout),
        published=("0.95 ± 0.04", "S", "Srivastava et al. 2014, table 10: 2 x 1024; Bernoulli there 1.08 ± 0.04"),
    ),
    "DropConnect": Method(_drop_connect),
    "standout": Method(_standout),
    "curriculum dropout": Method(_curriculum),
    "R-Drop": Method(partial(_on_units, jaxdrop.linen.Dropout), consistency=True),
}

RESNET_METHODS = {
    "none": Method(lambda setting: Places()),
    "dropout": Method(partial(_on_maps, jaxdrop.linen.Dropout)),
    "spatial dropout": Method(partial(_on_maps, jaxdrop.linen.SpatialDropout)),
    "DropBlock": Method(_drop_block),
    "DropBlock, scheduled": Method(partial(_drop_block, scheduled=True)),
    "stochastic depth": Method(_stochastic_depth),
    "cutout": Method(_cutout),
}
