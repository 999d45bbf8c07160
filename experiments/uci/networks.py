"""A perceptron with one hidden layer, without noise, with dropout, and with concrete dropout."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxdrop
from jaxdrop import variational

# The smallest rate of the grid, 0.005, is 1 / 256 with 8 bits, and 0.005005 with 16.
BITS = 16
FIRST_CONCRETE_RATE = 0.1

_glorot_uniform = jax.nn.initializers.glorot_uniform()


class Setting(NamedTuple):
    """What differs between networks that are trained side by side.

    Attributes:
      rate: Rate of dropping.
      precision: Precision of the noise, in the unit of the targets before they were standardised.
      scale: The targets' standard deviation.
    """

    rate: jax.typing.ArrayLike
    precision: jax.typing.ArrayLike
    scale: jax.typing.ArrayLike


class Networks(NamedTuple):
    """Networks that are trained side by side, in groups: those of a group differ in their setting alone.

    They have the same examples in the same order, the same initial parameters, and the same random numbers behind their
    masks. What is drawn for a group is drawn once, and settings are compared with less noise than if each had luck of
    its own.

    Attributes:
      keys: PRNG keys, (groups,), of all that is random about a group.
      splits: Number of the split that each is trained on, (groups,).
      settings: The settings of its networks, arrays (groups, settings).
    """

    keys: jax.Array
    splits: jax.Array
    settings: Setting


class Purposes(NamedTuple):
    """The keys that a group's key gives: of its initial parameters, its training and its predictions."""

    init: jax.Array
    training: jax.Array
    prediction: jax.Array


def purposes(key: jax.Array) -> Purposes:
    """Splits a group's key."""
    return Purposes(*jax.random.split(key, 3))


class Method(NamedTuple):
    """A kind of network.

    Attributes:
      init: (key, number of features) -> parameters.
      noise: (key, shape of the examples, rate) -> all that is random about a prediction and does not depend on the
        parameters, so that networks with the same rate may share it.
      predict: (parameters, examples (batch, features), noise) -> standardised targets (batch,).
      penalty: (parameters, setting, number of training examples) -> what is added to the mean squared error.
    """

    init: Callable[[jax.Array, int], Any]
    noise: Callable[[jax.Array, tuple[int, ...], jax.typing.ArrayLike], Any]
    predict: Callable[[Any, jax.Array, Any], jax.Array]
    penalty: Callable[[Any, Setting, int], jax.Array]


def weight_decay(
    rate: jax.typing.ArrayLike, precision: jax.typing.ArrayLike, length_scale: float, num_data: int
) -> jax.Array:
    r"""The factor of the squared weights in the authors' code, :math:`l^2 (1 - p) / (2 N \tau)`.

    It goes with a mean squared error without the factor 1/2 and with standardised targets, and the precision is in
    the unit of the data: a half, and the variance of the targets, are missing. So it is half the theoretical
    decay, in another unit; biases have none. It is kept, for these numbers are to be compared with the authors'.
    """
    return jaxdrop.model_weight_decay(rate, length_scale, precision, num_data)


def deterministic(width: int, length_scale: float) -> Method:
    """No noise, and the weight decay that goes with a rate of 0."""

    def noise(key: jax.Array, shape: tuple[int, ...], rate: jax.typing.ArrayLike) -> tuple[()]:
        del key, shape, rate
        return ()

    def predict(params: Any, x: jax.Array, noise: tuple[()]) -> jax.Array:
        del noise
        return _perceptron(params, x, lambda number, x: x)

    def penalty(params: Any, setting: Setting, num_data: int) -> jax.Array:
        return weight_decay(0.0, setting.precision, length_scale, num_data) * _squares(params)

    return Method(lambda key, features: _init(key, features, width), noise, predict, penalty)


def mc_dropout(width: int, length_scale: float) -> Method:
    """Dropout before both layers, also when it predicts."""

    def noise(key: jax.Array, shape: tuple[int, ...], rate: jax.typing.ArrayLike) -> tuple[jax.Array, ...]:
        shapes = shape, (shape[0], width)
        return tuple(
            jaxdrop.dropout(each, jnp.ones(inputs), rate, bits=BITS)
            for each, inputs in zip(jax.random.split(key), shapes, strict=True)
        )

    def predict(params: Any, x: jax.Array, noise: tuple[jax.Array, ...]) -> jax.Array:
        return _perceptron(params, x, lambda number, x: x * noise[number])

    def penalty(params: Any, setting: Setting, num_data: int) -> jax.Array:
        return weight_decay(setting.rate, setting.precision, length_scale, num_data) * _squares(params)

    return Method(lambda key, features: _init(key, features, width), noise, predict, penalty)


def concrete_dropout(width: int, length_scale: float) -> Method:
    """Concrete dropout before both layers, whose rates are learned; its penalty is the bound's, in the right unit."""

    def init(key: jax.Array, features: int) -> Any:
        return {**_init(key, features, width), "logit_rates": jnp.full(2, variational.logit_rate(FIRST_CONCRETE_RATE))}

    def noise(key: jax.Array, shape: tuple[int, ...], rate: jax.typing.ArrayLike) -> jax.Array:
        del shape, rate
        return key  # the masks depend on the learned rates

    def predict(params: Any, x: jax.Array, noise: jax.Array) -> jax.Array:
        keys = jax.random.split(noise)

        def drop(number: int, x: jax.Array) -> jax.Array:
            return variational.concrete_dropout(keys[number], x, params["logit_rates"][number])

        return _perceptron(params, x, drop)

    def penalty(params: Any, setting: Setting, num_data: int) -> jax.Array:
        kernels = (params["hidden"]["kernel"], params["output"]["kernel"])
        kl = sum(
            variational.kl_concrete(kernel, logit, length_scale=length_scale)
            for kernel, logit in zip(kernels, params["logit_rates"], strict=True)
        )
        precision = jnp.asarray(setting.precision) * jnp.square(jnp.asarray(setting.scale))
        return variational.regularizer(kl, num_data, likelihood="gaussian", noise_precision=precision)

    return Method(init, noise, predict, penalty)


def _init(key: jax.Array, features: int, width: int) -> dict[str, Any]:
    hidden, output = jax.random.split(key)
    return {
        "hidden": {"kernel": _glorot_uniform(hidden, (features, width)), "bias": jnp.zeros(width)},
        "output": {"kernel": _glorot_uniform(output, (width, 1)), "bias": jnp.zeros(1)},
    }


def _perceptron(params: Any, x: jax.Array, drop: Callable[[int, jax.Array], jax.Array]) -> jax.Array:
    """Maps examples (batch, features) to targets (batch,), with `drop(number, inputs)` before each layer."""
    hidden, output = params["hidden"], params["output"]
    units = jax.nn.relu(drop(0, x) @ hidden["kernel"] + hidden["bias"][None])
    return (drop(1, units) @ output["kernel"] + output["bias"][None])[:, 0]


def _squares(params: Any) -> jax.Array:
    return jnp.sum(jnp.square(params["hidden"]["kernel"])) + jnp.sum(jnp.square(params["output"]["kernel"]))
