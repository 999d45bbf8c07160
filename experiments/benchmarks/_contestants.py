"""Dropout of one library each, as one function of a key and an array."""

import os
from collections.abc import Callable
from typing import Any

import flax.linen
import jax

import jaxdrop

Layer = Callable[[jax.Array, jax.Array], Any]

MULTIPLY, OURS, OURS_8, FLAX = "multiply", "jaxdrop", "jaxdrop bits=8", "flax.linen"


def jax_layers(rate: float) -> dict[str, Layer | None]:
    """Returns `(key, x) -> y` of every JAX library, by name; None for one that is not installed.

    Each is called as its users call it inside a jitted training step.
    """
    builders = {
        MULTIPLY: multiply,
        OURS: ours,
        OURS_8: ours_8,
        FLAX: flax_linen,
        "equinox": equinox_nn,
        "haiku": haiku_function,
        "keras": keras_layer,
    }
    return {name: _if_installed(build, rate) for name, build in builders.items()}


def _if_installed(build: Callable[[float], Layer], rate: float) -> Layer | None:
    try:
        return build(rate)
    except ModuleNotFoundError:
        return None


def multiply(rate: float) -> Layer:
    """The floor: reads and writes what dropout does, and draws nothing."""
    return lambda key, x: x * (1 - rate)


def ours(rate: float) -> Layer:
    return lambda key, x: jaxdrop.dropout(key, x, rate)


def ours_8(rate: float) -> Layer:
    return lambda key, x: jaxdrop.dropout(key, x, rate, bits=8)


def flax_linen(rate: float) -> Layer:
    layer = flax.linen.Dropout(rate, deterministic=False)
    return lambda key, x: layer.apply({}, x, rngs={"dropout": key})


def equinox_nn(rate: float) -> Layer:
    import equinox  # pyright: ignore[reportMissingImports]

    layer = equinox.nn.Dropout(rate)
    return lambda key, x: layer(x, key=key)


def haiku_function(rate: float) -> Layer:
    import haiku  # pyright: ignore[reportMissingImports]

    return lambda key, x: haiku.dropout(key, rate, x)


def keras_layer(rate: float) -> Layer:
    """Keras carries its seed as the layer's one state variable, which `stateless_call` takes and returns."""
    os.environ["KERAS_BACKEND"] = "jax"  # read once, at import
    import keras  # pyright: ignore[reportMissingImports]

    if keras.backend.backend() != "jax":
        raise ValueError(f"keras must run on jax, but was imported on {keras.backend.backend()}")

    def apply(key: jax.Array, x: jax.Array) -> jax.Array:
        layer = keras.layers.Dropout(rate, dtype=x.dtype.name)  # or it casts to its own dtype
        return layer.stateless_call([], [jax.random.key_data(key)], x, training=True)[0]

    return apply


def torch_calls(rate: float, shape: tuple[int, ...], dtype: str) -> dict[str, Callable[[jax.Array], object] | None]:
    """Returns PyTorch's eager `dropout`, forward and forward+backward, as calls that ignore their key."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return {"forward": None, "forward+backward": None}
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    options = {"dtype": getattr(torch, dtype), "device": "cuda" if on_gpu else "cpu"}
    x, cotangent = torch.randn(shape, **options), torch.randn(shape, **options)

    def forward(key: jax.Array) -> object:
        with torch.no_grad():
            y = torch.nn.functional.dropout(x, rate, training=True)
        wait()
        return y

    def forward_backward(key: jax.Array) -> object:
        leaf = x.detach().requires_grad_()
        y = torch.nn.functional.dropout(leaf, rate, training=True)
        outputs = y, *torch.autograd.grad(y, leaf, cotangent)
        wait()
        return outputs

    return {"forward": forward, "forward+backward": forward_backward}
