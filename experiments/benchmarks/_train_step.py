"""One training step of a deep MLP, with dropout of one library each or with none."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxdrop.linen
from experiments.benchmarks import _contestants as names
from experiments.benchmarks._timing import Contestant, jitted

NO_DROPOUT = "no dropout"


class MLP(nn.Module):
    """Layers of dense, relu and dropout."""

    layers: int
    width: int
    dropout: Callable[[], nn.Module] | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(self.layers):
            x = nn.relu(nn.Dense(self.width, kernel_init=nn.initializers.he_normal())(x))
            if self.dropout is not None:
                x = self.dropout()(x)
        return x


def train_step(model: MLP, params: Any, x: jax.Array, target: jax.Array, key: jax.Array) -> tuple[Any, jax.Array]:
    """Returns the parameters after one step of SGD on the mean squared error, and the loss before it."""

    def loss(params: Any) -> jax.Array:
        outputs: Any = model.apply(params, x, rngs={"dropout": key})
        return jnp.mean((outputs - target) ** 2)

    value, gradient = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient), value


def contestants(rate: float, layers: int, width: int, batch: int) -> list[Contestant]:
    """Returns the step without dropout, with ours and with flax's, on the same parameters and data."""
    dropouts = {
        NO_DROPOUT: None,
        names.OURS: partial(jaxdrop.linen.Dropout, rate, deterministic=False),
        names.OURS_8: partial(jaxdrop.linen.Dropout, rate, bits=8, deterministic=False),
        names.FLAX: partial(nn.Dropout, rate, deterministic=False),
    }
    x_key, target_key, init_key = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(x_key, (batch, width))
    target = jax.random.normal(target_key, (batch, width))
    params = jax.jit(MLP(layers, width, None).init)(init_key, x)
    return [
        jitted(name, partial(train_step, MLP(layers, width, dropout)), params, x, target)
        for name, dropout in dropouts.items()
    ]
