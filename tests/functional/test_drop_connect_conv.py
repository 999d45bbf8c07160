import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.random import clone

import jaxdrop
from tests.functional.drop_connect_masks import masks_per_example, normals, outputs_and_gradients
from tests.statistical import assert_frequency, assert_independent


def convolve(x, kernel, *, strides=1, padding="SAME", kernel_dilation=1, feature_group_count=1):
    """The convolution of a batch, by lax."""
    number = kernel.ndim - 2
    letters = "DHW"[3 - number :]
    each = [value if isinstance(value, tuple) else (value,) * number for value in (strides, kernel_dilation)]
    return lax.conv_general_dilated(
        x,
        kernel,
        each[0],
        padding,
        rhs_dilation=each[1],
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=feature_group_count,
    )


def naive(key, x, kernel, bias, rate, bits, **options):
    """`drop_connect_conv` of a batch with a mask for each example held in memory."""
    *window, channels, out = kernel.shape
    weights, offset = masks_per_example(key, (len(x),), int(np.prod(window)), channels, out, rate, bits)

    def one(x, mask, offset):
        y = convolve(x[None], kernel * mask.reshape(kernel.shape), **options)[0]
        return y + jnp.broadcast_to(offset * bias, y.shape)

    return jax.vmap(one)(x, weights, offset)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "bits", "options"),
    [
        ((2, 9, 70), (3, 70, 4), 1, {"strides": 2, "padding": "VALID"}),
        ((2, 6, 7, 4), (3, 2, 2, 6), 4, {"strides": (1, 2), "kernel_dilation": (2, 1), "feature_group_count": 2}),
        ((2, 5, 4, 3), (4, 2, 3, 2), 16, {"padding": ((1, 2), (0, 1)), "strides": (2, 1)}),
        ((2, 3, 4, 5, 2), (2, 3, 2, 2, 3), 1, {"strides": (1, 1, 2)}),
    ],
    ids=["1d", "groups", "padded", "3d"],
)
def test_is_the_naive_convolution_with_the_same_masks(x_shape, kernel_shape, bits, options, getkey):
    operands = normals(getkey(), x_shape, kernel_shape, kernel_shape[-1:])
    key = getkey()

    def ours(x, kernel, bias):
        return jaxdrop.drop_connect_conv(clone(key), x, kernel, 0.5, bias=bias, bits=bits, **options)

    def expected(*operands):
        return naive(clone(key), *operands, 0.5, bits, **options)

    both = (outputs_and_gradients(layer, *operands) for layer in (ours, expected))
    for array, other in zip(*both, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-4)


def test_a_window_of_one_is_a_dense_layer(getkey):
    x, kernel, bias = normals(getkey(), (3, 1, 10), (1, 10, 4), (4,))
    key = getkey()
    y = jaxdrop.drop_connect_conv(clone(key), x, kernel, 0.3, bias=bias)
    expected = jaxdrop.drop_connect_dense(clone(key), x[:, 0], kernel[0], 0.3, bias=bias)
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["example", "batch"])
def test_positions_share_masks_and_examples_do_not_unless_asked(mode, getkey):
    x = jnp.ones((300, 4, 4, 1))
    kernel, bias = jnp.ones((1, 1, 1, 60)), jnp.full(60, 2.0)
    y = np.asarray(jaxdrop.drop_connect_conv(getkey(), x, kernel, 0.25, bias=bias, mode=mode))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    kept = np.stack([y[:, 0, 0] % 2 == 1, y[:, 0, 0] >= 2])
    kept = kept[:, :1] if mode == "batch" else kept
    assert_frequency(kept.sum(), kept.size, 0.75)
    assert_independent(*kept)
    if mode == "batch":
        np.testing.assert_array_equal(y, np.broadcast_to(y[:1], y.shape))
    else:
        assert_independent(kept[:, 1:], kept[:, :-1])


@pytest.mark.parametrize("mode", ["example", "batch"])
@pytest.mark.parametrize("padding", ["SAME", "VALID", 1, (0, 2), ((1, 0), (2, 1))], ids=str)
def test_rate_zero_is_a_convolution(mode, padding, getkey):
    x, kernel, bias = normals(getkey(), (2, 3, 6, 5, 2), (3, 2, 2, 4), (4,))
    rate = jnp.asarray(0.0)
    y = jaxdrop.drop_connect_conv(getkey(), x, kernel, rate, bias=bias, padding=padding, strides=(2, 1), mode=mode)
    pairs = {1: ((1, 1), (1, 1)), (0, 2): ((0, 0), (2, 2))}.get(padding, padding)
    expected = convolve(x.reshape(6, 6, 5, 2), kernel, padding=pairs, strides=(2, 1))
    expected = expected.reshape(2, 3, *expected.shape[1:]) + bias.reshape(1, 1, 1, 1, 4)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    static = jaxdrop.drop_connect_conv(None, x, kernel, 0.0, bias=bias, padding=padding, strides=(2, 1), mode=mode)
    np.testing.assert_allclose(static, expected, rtol=1e-5, atol=1e-5)
    for one in (1.0, jnp.asarray(1.0)):
        dropped = jaxdrop.drop_connect_conv(
            getkey(), x, kernel, one, bias=bias, padding=padding, strides=(2, 1), mode=mode
        )
        np.testing.assert_array_equal(dropped, jnp.zeros_like(expected))


@pytest.mark.thorough
def test_memory_is_well_below_that_of_the_masks(getkey):
    batch, side, channels = 32, 7, 256
    operands = normals(getkey(), (batch, side, side, channels), (3, 3, channels, channels))

    def loss(x, kernel, key):
        return jnp.square(jaxdrop.drop_connect_conv(key, x, kernel, 0.5)).sum()

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*operands, getkey()).compile()
    masks = batch * 9 * channels**2
    assert compiled.memory_analysis().temp_size_in_bytes < masks  # which would be bytes, and weights four times that


@pytest.mark.thorough
def test_bfloat16_stays(getkey):
    x, kernel = (array.astype(jnp.bfloat16) for array in normals(getkey(), (2, 5, 3), (3, 3, 4)))
    for mode in ("example", "batch"):
        y, pullback = jax.vjp(lambda *a, mode=mode: jaxdrop.drop_connect_conv(getkey(), *a, 0.5, mode=mode), x, kernel)
        assert {array.dtype for array in (y, *pullback(y))} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"kernel": jnp.ones((4, 2))}, ValueError, r"kernel must have 3 or 4 or 5 axes, got shape \(4, 2\)"),
        ({"x": jnp.ones((6, 6))}, ValueError, r"got shapes \(3, 3, 4, 2\) and \(6, 6\)"),
        ({"feature_group_count": 2}, ValueError, r"got shapes \(3, 3, 4, 2\) and \(5, 6, 6, 4\) and 2 groups"),
        ({"feature_group_count": 0}, ValueError, "feature_group_count must be at least 1, got 0"),
        ({"padding": "CIRCULAR"}, ValueError, "padding must be one of 'SAME', 'VALID', got 'CIRCULAR'"),
        ({"padding": (1,)}, ValueError, "padding must be an integer, or one or a pair for each of 2 axes"),
        ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        ({"padding": 1.0}, TypeError, "padding must be of integers, got 1.0"),
        ({"strides": 0}, ValueError, "strides must be at least 1, got 0"),
        ({"kernel_dilation": (1, 2, 3)}, ValueError, "kernel_dilation must be an integer or one for each of 2"),
        ({"padding": "VALID", "kernel_dilation": 3}, ValueError, "kernel must fit into x with its padding"),
        ({"mode": "element"}, ValueError, "mode must be one of 'example', 'batch', got 'element'"),
        ({"rate": 1.5}, ValueError, r"rate must be in \[0, 1\], got 1.5"),
        ({"rate": jnp.full(2, 0.1)}, ValueError, r"rate must broadcast against the shape \(\), got shape \(2,\)"),
        ({"key": None}, TypeError, "key must be one PRNG key"),
    ],
    ids=str,
)
def test_refuses(changed, error, message, getkey):
    arguments = {"key": getkey(), "x": jnp.ones((5, 6, 6, 4)), "kernel": jnp.ones((3, 3, 4, 2)), "rate": 0.5, **changed}
    with pytest.raises(error, match=message):
        jaxdrop.drop_connect_conv(**arguments)


def test_an_empty_batch_gives_an_empty_batch(getkey):
    assert jaxdrop.drop_connect_conv(getkey(), jnp.zeros((0, 5, 4)), jnp.zeros((3, 4, 2)), 0.5).shape == (0, 5, 2)
