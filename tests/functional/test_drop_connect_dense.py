import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import clone
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdrop
from jaxdrop import _bits, _checks, _masks
from jaxdrop.functional.drop_connect_dense import BITS
from tests.functional.drop_connect_masks import masks_per_example, normals, outputs_and_gradients
from tests.statistical import assert_frequency, assert_independent


def naive(key, x, kernel, bias, rate, bits):
    """`drop_connect_dense` with a mask for each example held in memory."""
    weights, offset = masks_per_example(key, x.shape[:-1], 1, *kernel.shape, rate, bits)
    y = jnp.einsum(
        "...i,...io->...o", x, weights[..., 0, :, :] * jnp.broadcast_to(kernel, (*x.shape[:-1], *kernel.shape))
    )
    return y if bias is None else y + offset * jnp.broadcast_to(bias, y.shape)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("batch", "length", "bits", "with_bias"),
    [((3,), 5, 1, True), ((2, 3), 70, 1, False), ((), 9, 16, True), ((4,), 33, 4, True), ((2,), 3, 32, False)],
)
def test_is_the_naive_layer_with_the_same_masks(batch, length, bits, with_bias, getkey):
    x, kernel, bias = normals(getkey(), (*batch, length), (length, 6), (6,))
    operands = (x, kernel, bias) if with_bias else (x, kernel)
    key = getkey()

    def ours(x, kernel, bias=None):
        return jaxdrop.drop_connect_dense(clone(key), x, kernel, 0.5, bias=bias, bits=bits)

    def expected(x, kernel, bias=None):
        return naive(clone(key), x, kernel, bias, 0.5, bits)

    both = (outputs_and_gradients(layer, *operands) for layer in (ours, expected))
    for array, other in zip(*both, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rate", "bits"), [(0.5, None), (0.25, None), (0.3, None), (0.5, 32)])
def test_every_mask_of_a_tiny_layer_has_its_probability(rate, bits, getkey):
    num_draws = 20_000
    kernel, bias = jnp.asarray([[1.0, 2.0], [4.0, 8.0]]), jnp.asarray([16.0, 32.0])
    y = jaxdrop.drop_connect_dense(getkey(), jnp.ones((num_draws, 2)), kernel, rate, bias=bias, bits=bits)
    codes, counts = np.unique(np.asarray(y.sum(1), int), return_counts=True)  # a binary number of what was kept
    counts = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    for code in range(64):
        kept = code.bit_count()
        assert_frequency(counts.get(code, 0), num_draws, (1 - rate) ** kept * rate ** (6 - kept))


@pytest.mark.parametrize("bits", BITS)
def test_weights_examples_and_outputs_have_masks_of_their_own(bits, getkey):
    # An identity for each output shows one weight; over 3 tiles.
    length = 2 * 64 // bits + 1
    masks = jax.vmap(
        lambda one: jaxdrop.drop_connect_dense(clone(key), one, jnp.ones((length, 4)), 0.5, bits=bits) > 0, 1
    )
    key = getkey()
    mask = np.asarray(masks(jnp.broadcast_to(jnp.eye(length), (200, length, length)))).swapaxes(0, 1)
    assert_frequency(mask.sum(), mask.size, 0.5)
    for axis in range(3):
        assert_independent(np.moveaxis(mask, axis, 0)[1:], np.moveaxis(mask, axis, 0)[:-1])
    _, size = _masks.tiles(length, bits)
    assert_independent(mask[:, size:], mask[:, :-size])  # of different tiles


def test_the_bias_is_masked(getkey):
    y = np.asarray(jaxdrop.drop_connect_dense(getkey(), jnp.zeros((500, 3)), jnp.ones((3, 40)), 0.3, bias=jnp.ones(40)))
    assert set(np.unique(y)) == {0, 1}
    assert_frequency((y == 0).sum(), y.size, 0.3)


@pytest.mark.thorough
def test_one_mask_for_the_batch(getkey):
    kernel, bias = jnp.ones((50, 60)), jnp.full(60, 7.0)
    key = getkey()

    def draw(x, bias=None):
        return np.asarray(jaxdrop.drop_connect_dense(clone(key), x, kernel, 0.25, bias=bias, mode="batch"))

    mask = draw(jnp.eye(50))
    assert set(np.unique(mask)) == {0, 1}
    assert_frequency((mask == 0).sum(), mask.size, 0.25)
    y = draw(jnp.zeros((3, 50)), bias)
    assert set(np.unique(y)) == {0, 7}
    np.testing.assert_array_equal(y[0], y[1])
    x = jax.random.normal(getkey(), (2, 4, 50))
    offset = draw(jnp.zeros((1, 50)), bias)
    assert not (mask == (offset > 0)).all(1).any()  # the bias does not share its mask with an input
    masked = draw(jnp.eye(50), bias) - offset
    np.testing.assert_allclose(draw(x, bias), np.asarray(x) @ masked + offset, rtol=1e-5, atol=1e-5)


def test_a_row_keeps_its_mask_whatever_follows_it(getkey):
    x, kernel = normals(getkey(), (7, 20), (20, 5))
    key = getkey()
    y = jaxdrop.drop_connect_dense(clone(key), x, kernel, 0.5)
    np.testing.assert_allclose(jaxdrop.drop_connect_dense(clone(key), x[:3], kernel, 0.5), y[:3], rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["example", "batch"])
def test_vmap_over_layers(mode, getkey):
    x, kernel = normals(getkey(), (3, 4, 20), (3, 20, 5))
    keys = jax.random.split(getkey(), 3)

    def layer(key, x, kernel):
        return jaxdrop.drop_connect_dense(key, x, kernel, 0.5, mode=mode)

    @jax.jit
    def gradients(key, x, kernel):
        return jax.grad(lambda *operands: jnp.square(layer(key, *operands)).sum(), (0, 1))(x, kernel)

    one_by_one = [gradients(*each) for each in zip(clone(keys), x, kernel, strict=True)]
    for gradient, *each in zip(jax.vmap(gradients)(keys, x, kernel), *one_by_one, strict=True):
        np.testing.assert_allclose(gradient, jnp.stack(each), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_memory_is_that_of_the_outputs_and_the_kernel(rate, getkey):
    batch, width = 256, 256
    operands = normals(getkey(), (batch, width), (width, width), (width,))

    def loss(x, kernel, bias, key):
        return jnp.square(jaxdrop.drop_connect_dense(key, x, kernel, rate, bias=bias)).sum()

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1, 2))).lower(*operands, getkey()).compile()
    outputs, kernel = 4 * batch * width, 4 * width * width
    assert compiled.memory_analysis().temp_size_in_bytes < 10 * outputs + 2 * kernel < batch * width * width / 4


@pytest.mark.thorough
def test_gradients_of_a_batch_that_is_split_over_devices(getkey):
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    x, kernel, bias = normals(getkey(), (16, 70), (70, 8), (8,))
    key = getkey()

    def loss(x, kernel, bias, key):
        return jnp.square(jaxdrop.drop_connect_dense(key, x, kernel, 0.5, bias=bias)).sum()

    gradients = jax.jit(jax.grad(loss, (0, 1, 2)))
    sharded = jax.device_put(x, NamedSharding(mesh, P("a")))
    assert "all-gather" not in gradients.lower(sharded, kernel, bias, key).compile().as_text()
    expected = gradients(x, kernel, bias, clone(key))
    for gradient, other in zip(gradients(sharded, kernel, bias, key), expected, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["example", "batch"])
@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_rates_zero_and_one(mode, traced, getkey):
    x, kernel, bias = normals(getkey(), (4, 20), (20, 5), (5,))
    for rate, expected in ((0.0, x @ kernel + bias[None]), (1.0, jnp.zeros((4, 5)))):
        rate = jnp.asarray(rate) if traced else rate
        y = jaxdrop.drop_connect_dense(getkey(), x, kernel, rate, bias=bias, mode=mode)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    assert jnp.isnan(jaxdrop.drop_connect_dense(getkey(), x, kernel, jnp.asarray(jnp.nan), mode=mode)).all()


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["example", "batch"])
def test_sums_of_bfloat16_are_rounded_once(mode, getkey):
    x, kernel = (array.astype(jnp.bfloat16) for array in normals(getkey(), (4, 200), (200, 5)))
    key = getkey()

    def layer(x, kernel):
        return jaxdrop.drop_connect_dense(clone(key), x, kernel, 0.5, mode=mode)

    @jax.jit
    def gradients(x, kernel):
        return jax.grad(lambda *operands: layer(*operands).astype(jnp.float32).sum(), (0, 1))(x, kernel)

    wide = (x.astype(jnp.float32), kernel.astype(jnp.float32))
    np.testing.assert_array_equal(layer(x, kernel), layer(*wide).astype(jnp.bfloat16))
    for gradient, other in zip(gradients(x, kernel), gradients(*wide), strict=True):
        assert gradient.dtype == jnp.bfloat16
        np.testing.assert_allclose(gradient.astype(jnp.float32), other, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "bits"), [(0.5, 1), (0.25, 2), (0.75, 2), (3 / 16, 4), (1 / 256, 8), (0.1, 16), (1e-5, 32)]
)
def test_takes_as_few_bits_as_the_rate_needs(rate, bits):
    assert _checks.random_bits(None, rate, BITS) == bits


@pytest.mark.thorough
@pytest.mark.parametrize("bits", BITS)
def test_blocks_decide_as_keep_mask_does(bits, getkey):
    # With one block to a row, its parts are the elements of the row.
    key, parts = getkey(), 64 // bits
    blocks = _bits.draw_blocks(clone(key), (3, 4), 0)
    expected = _masks.keep_mask(clone(key), (3, 4, parts), 0.5, bits=bits).mask
    for part in range(parts):
        mask = _masks.keeps(blocks, jnp.full((3, 4), part, jnp.uint32), 0.5, bits=bits)
        np.testing.assert_array_equal(mask, expected[..., part])


def test_tiles_hold_all_entries_and_no_more_than_a_block_decides_on():
    for length, bits in itertools.product((0, 1, 5, 63, 64, 65, 1000, 1025), BITS):
        number, size = _masks.tiles(length, bits)
        assert length <= number * size < length + number
        assert size * bits <= 64


@pytest.mark.parametrize("mode", ["example", "batch"])
@pytest.mark.parametrize(("batch", "length"), [((0,), 4), ((3,), 0), ((2, 0), 4)])
def test_empty_arrays(mode, batch, length, getkey):
    x, kernel = jnp.ones((*batch, length)), jnp.ones((length, 2))
    y = jaxdrop.drop_connect_dense(getkey(), x, kernel, 0.5, bias=jnp.ones(2), mode=mode)
    assert y.shape == (*batch, 2)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"kernel": jnp.ones((4, 2, 2))}, ValueError, r"kernel must have 2 axes, got shape \(4, 2, 2\)"),
        ({"kernel": jnp.ones((3, 2))}, ValueError, r"got shapes \(3, 2\) and \(5, 4\)"),
        ({"x": jnp.ones(())}, ValueError, r"got shapes \(4, 2\) and \(\)"),
        ({"kernel": jnp.ones((4, 2), jnp.int32)}, TypeError, "kernel must be floating point, got dtype int32"),
        ({"x": jnp.ones((5, 4), jnp.complex64)}, TypeError, "x must be real, got dtype complex64"),
        ({"bias": jnp.ones(3)}, ValueError, r"bias must have shape \(2,\), got \(3,\)"),
        ({"bias": jnp.ones(2, jnp.int32)}, TypeError, "bias must be floating point, got dtype int32"),
        ({"mode": "element"}, ValueError, "mode must be one of 'example', 'batch', got 'element'"),
        ({"bits": 3}, ValueError, "bits must be None, 1, 2, 4, 8, 16 or 32, got 3"),
        ({"bits": 1, "rate": 0.1}, ValueError, "bits=1 rounds the rate 0.1 to 0"),
        ({"rate": jnp.full(2, 0.1)}, ValueError, r"rate must broadcast against the shape \(\), got shape \(2,\)"),
    ],
    ids=str,
)
def test_refuses(changed, error, message, getkey):
    arguments = {"x": jnp.ones((5, 4)), "kernel": jnp.ones((4, 2)), "rate": 0.5, **changed}
    with pytest.raises(error, match=message):
        jaxdrop.drop_connect_dense(getkey(), **arguments)
