"""LeNets, with learned noise on their weights or plain."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

import jaxdrop
import jaxdrop.linen
from jaxdrop import variational

LENET5 = "lenet5"
Layer = Callable[..., Any]


def plain(network: str, *, dropout_rate: float = 0.0, train: bool = False, num_classes: int = 10) -> nn.Sequential:
    """A network without learned noise, and with dropout of what each layer but the last gives if there is a rate."""
    init = {"kernel_init": nn.initializers.he_normal()}
    drop = [jaxdrop.linen.Dropout(dropout_rate, deterministic=not train)] if dropout_rate else []
    return _stack(network, functools.partial(nn.Dense, **init), functools.partial(nn.Conv, **init), drop, num_classes)


def noisy(
    network: str, *, kl: variational.Divergence, threshold: float, log_sigma2: float, train: bool = False
) -> nn.Sequential:
    """A network for sparse variational dropout; as the authors', its means are pruned in training too."""
    options: dict[str, Any] = {
        "weights": functools.partial(variational.additive_weights, log_sigma2=log_sigma2),
        "kl": kl,
        "threshold": threshold,
        "threshold_means": True,
        "kernel_init": nn.initializers.he_normal(),
        "deterministic": not train,
    }
    dense, conv = jaxdrop.linen.VariationalDense, jaxdrop.linen.VariationalConv
    return _stack(network, functools.partial(dense, **options), functools.partial(conv, **options), [])


def _stack(network: str, dense: Layer, conv: Layer, drop: Sequence[nn.Module], num_classes: int = 10) -> nn.Sequential:
    """Layers from images (batch, height, width, 1) to logits (batch, num_classes)."""

    def then_drop(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        # One element, so that the layers have the same names with and without dropout.
        return nn.Sequential([function, *drop]) if drop else function

    layers: list[Any] = []
    if network == LENET5:
        pool = functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
        for channels in (20, 50):
            layers += [conv(channels, (5, 5), padding="VALID"), nn.relu, then_drop(pool)]
    layers.append(_flatten)
    for width in (500,) if network == LENET5 else map(int, network.split("-")):
        layers += [dense(width), then_drop(nn.relu)]
    return nn.Sequential([*layers, dense(num_classes)])


def _flatten(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), -1)
