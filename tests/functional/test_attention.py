import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.random import clone

import jaxdrop
from tests.statistical import assert_frequency, assert_independent

ONES = jnp.ones((2, 6, 4, 8))


def normals(key, groups=4, dtype="float32"):
    keys = jax.random.split(key, 3)
    shapes = [(2, 5, 4, 8), (2, 6, groups, 8), (2, 6, groups, 8)]
    return [jax.random.normal(key, shape).astype(dtype) for key, shape in zip(keys, shapes, strict=True)]


def explicit(q, k, v, allowed=True, bias=0.0, scale=8**-0.5, noise=lambda w: w):
    """The textbook's attention, one einsum after the other, with a key and value for each head."""
    k, v = (jnp.repeat(x, q.shape[2] // x.shape[2], axis=2) for x in (k, v))
    logits = jnp.einsum("bthd,bshd->bhts", q, k, preferred_element_type=jnp.float32) * np.float32(scale)
    logits = jnp.where(allowed, logits + bias, -1e30)
    return jnp.einsum("bhts,bshd->bthd", noise(jax.nn.softmax(logits).astype(k.dtype)), v)


CASES = {
    "plain": ({}, {}),
    "mask": (
        {"mask": (np.arange(30).reshape(1, 1, 5, 6) % 3 > 0)},
        {"allowed": (np.arange(30).reshape(1, 1, 5, 6) % 3 > 0)},
    ),
    "bias": (
        {"bias": jnp.linspace(-1, 1, 120).reshape(1, 4, 5, 6)},
        {"bias": jnp.linspace(-1, 1, 120).reshape(1, 4, 5, 6)},
    ),
    "scale": ({"scale": 1.5}, {"scale": 1.5}),
    "causal": ({"is_causal": True}, {"allowed": np.tril(np.ones((5, 6), bool))}),
    "window": (
        {"local_window_size": (2, 1)},
        {"allowed": np.array([[t - 2 <= s <= t + 1 for s in range(6)] for t in range(5)])},
    ),
    "padded": (
        {"key_value_seq_lengths": jnp.array([3, 6])},
        {"allowed": (np.arange(6) < np.array([3, 6])[:, None])[:, None, None]},
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("groups", [4, 2, 1])
def test_is_the_explicit_einsum_with_the_same_mask(case, groups, getkey):
    options, expected_options = CASES[case]
    operands, key = normals(getkey(), groups), getkey()

    def ours(q, k, v):
        return jaxdrop.dot_product_attention(q, k, v, **options, dropout_rate=0.3, dropout_key=clone(key))

    def expected(q, k, v):
        return explicit(q, k, v, **expected_options, noise=lambda w: jaxdrop.dropout(clone(key), w, 0.3))

    def both(function, *operands):
        y, pullback = jax.vjp(function, *operands)
        return y, *pullback(jnp.cos(y))

    with jax.numpy_rank_promotion("allow"):
        for y, z in zip(jax.jit(functools.partial(both, ours))(*operands), both(expected, *operands), strict=True):
            np.testing.assert_allclose(y, z, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("groups", [4, 2])
def test_without_dropout_it_is_that_of_jax(case, groups, getkey):
    operands, (options, _) = normals(getkey(), groups), CASES[case]
    theirs = jax.nn.dot_product_attention(*operands, **options)
    np.testing.assert_array_equal(jaxdrop.dot_product_attention(*operands, **options), theirs)
    traced = functools.partial(jaxdrop.dot_product_attention, **options, dropout_key=getkey())
    np.testing.assert_allclose(jax.jit(traced)(*operands, dropout_rate=0.0), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("case", ["mask", "bias", "causal"])
def test_in_bfloat16_it_is_the_einsum_to_that_rounding(case, groups, getkey):
    options, expected_options = CASES[case]
    operands, key = normals(getkey(), groups, "bfloat16"), getkey()

    def both(function, *operands):
        y, pullback = jax.vjp(function, *operands)
        return y, *pullback(jnp.cos(y))

    def ours(q, k, v):
        return jaxdrop.dot_product_attention(q, k, v, **options, dropout_rate=0.5, dropout_key=clone(key))

    def expected(q, k, v):
        return explicit(q, k, v, **expected_options, noise=lambda w: jaxdrop.dropout(clone(key), w, 0.5))

    exact = both(expected, *(x.astype("float32") for x in operands))
    for y, z in zip(both(ours, *operands), exact, strict=True):
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(y.astype("float32"), z, rtol=0.05, atol=0.05)


@pytest.mark.thorough
def test_weights_of_bfloat16_are_rounded_once(getkey):
    q, k = (jax.random.normal(getkey(), (2, 8, 4, 8)).astype("bfloat16") for _ in range(2))
    v = jnp.broadcast_to(jnp.eye(8, dtype="bfloat16")[:, None], k.shape)  # so that the weights come out
    y = jaxdrop.dot_product_attention(q, k, v, dropout_rate=0.5, noise=lambda key, weights, rate: weights)
    exact = explicit(*(x.astype("float32") for x in (q, k, v)))
    np.testing.assert_allclose(y.astype("float32"), exact, rtol=2**-8)


@pytest.mark.thorough
def test_without_a_batch(getkey):
    key, (q, k, v) = getkey(), normals(getkey())
    one = jaxdrop.dot_product_attention(q[0], k[0], v[0], dropout_rate=0.5, dropout_key=clone(key))
    with_batch = jaxdrop.dot_product_attention(q[:1], k[:1], v[:1], dropout_rate=0.5, dropout_key=clone(key))
    np.testing.assert_array_equal(one, with_batch[0])


def test_agrees_with_torch_without_dropout(getkey):
    torch = pytest.importorskip("torch")
    q, k, v = normals(getkey())
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(torch.tensor(np.asarray(x)).transpose(1, 2) for x in (q, k, v))
    )
    ours = jax.jit(jaxdrop.dot_product_attention)(q, k, v, dropout_rate=0.0, dropout_key=getkey())
    np.testing.assert_allclose(ours, theirs.transpose(1, 2).numpy(), rtol=1e-5, atol=1e-5)


def dropped(key, rate, noise=jaxdrop.dropout):
    """Which weights (batch, heads, queries, keys) go: every value is another unit vector, every weight 1/64."""
    q, v = jnp.zeros((8, 64, 4, 64)), jnp.broadcast_to(jnp.eye(64)[:, None], (8, 64, 4, 64))
    y = jaxdrop.dot_product_attention(q, q, v, dropout_rate=rate, dropout_key=key, noise=noise)
    return np.asarray(y == 0).swapaxes(1, 2)


@pytest.mark.thorough
def test_examples_heads_queries_and_keys_have_decisions_of_their_own(getkey):
    mask = dropped(getkey(), 0.3)
    assert_frequency(mask.sum(), mask.size, 0.3)
    for axis in range(4):
        mask = np.moveaxis(mask, axis, 0)
        assert_independent(mask[1:], mask[:-1])


def test_the_decisions_may_be_shared_over_batch_and_heads(getkey):
    mask = dropped(getkey(), 0.3, functools.partial(jaxdrop.dropout, broadcast_dims=(0, 1)))
    np.testing.assert_array_equal(mask, np.broadcast_to(mask[:1, :1], mask.shape))
    assert_frequency(mask[0, 0].sum(), mask[0, 0].size, 0.3)


@pytest.mark.thorough
@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_masked_rows_and_rate_one_are_finite(traced, getkey):
    q, k, v = normals(getkey())
    mask = jnp.ones((2, 1, 5, 6), bool).at[0, 0, 2].set(False)
    for rate in (0.4, 1.0):
        rate_given = jnp.asarray(rate) if traced else rate

        def loss(q, k, v, rate=rate_given):
            y = jaxdrop.dot_product_attention(q, k, v, mask=mask, dropout_rate=rate, dropout_key=getkey())
            return jnp.square(y).sum(), y

        gradients, y = jax.grad(loss, (0, 1, 2), has_aux=True)(q, k, v)
        assert all(np.isfinite(array).all() for array in (y, *gradients))
        assert (y == 0).all() == (rate == 1)


@pytest.mark.thorough
def test_padded_queries_give_zero(getkey):
    operands = normals(getkey())
    y = jaxdrop.dot_product_attention(
        *operands, query_seq_lengths=jnp.array([2, 5]), dropout_rate=0.1, dropout_key=getkey()
    )
    assert (y[0, 2:] == 0).all()
    assert (y[0, :2] != 0).any()
    assert (y[1] != 0).any((1, 2)).all()


@pytest.mark.thorough
def test_no_mask_is_held_for_the_backward_pass(getkey):
    q, k, v = normals(getkey())

    def attend(rate, key=None):
        return jax.vjp(lambda *a: jaxdrop.dot_product_attention(*a, dropout_rate=rate, dropout_key=key), q, k, v)[1]

    held = [
        sum(leaf.nbytes for leaf in jax.tree.leaves(pullback))
        for pullback in (attend(jnp.asarray(0.0), getkey()), attend(0.0))
    ]
    assert held[0] <= held[1] + 4 * 2 * 4 * 5 * 6 + 100  # the weights before dropout, once more


class Attends(nn.Module):
    options: dict

    @nn.compact
    def __call__(self, x, mask=None):
        layer = nn.MultiHeadDotProductAttention(num_heads=4, dropout_rate=0.4, **self.options)
        return layer(x, mask=mask, deterministic=True)


@pytest.mark.thorough
@pytest.mark.parametrize("broadcast", [False, True])
def test_in_flax_s_linen_module(broadcast, getkey):
    x, mask = jax.random.normal(getkey(), (3, 2, 6, 8)), nn.make_causal_mask(jnp.ones((3, 2, 6)))
    theirs = Attends({"broadcast_dropout": broadcast})
    ours = Attends({"broadcast_dropout": broadcast, "attention_fn": jaxdrop.attention_fn()})
    variables = theirs.init(getkey(), x)
    np.testing.assert_allclose(ours.apply(variables, x, mask), theirs.apply(variables, x, mask), rtol=1e-5, atol=1e-6)
    sample = jaxdrop.linen.sampler(ours, variables, x, mask)
    p = jaxdrop.monte_carlo(sample, getkey(), 20)
    assert (p.variance > 0).all()
    # A constant input has the same weights everywhere, so that a shared mask gives the same outputs.
    draw = jaxdrop.linen.sampler(ours, variables, jnp.ones((3, 2, 6, 8)))(getkey())
    assert np.allclose(draw[0], draw[1], atol=1e-6) == broadcast


@pytest.mark.thorough
@pytest.mark.parametrize("broadcast", [False, True])
def test_in_flax_s_nnx_module(broadcast, getkey):
    def layer(**options):
        return nnx.MultiHeadAttention(
            4, 8, dropout_rate=0.4, broadcast_dropout=broadcast, decode=False, rngs=nnx.Rngs(0), **options
        )

    x = jax.random.normal(getkey(), (3, 6, 8))
    theirs, ours = layer(), layer(attention_fn=jaxdrop.attention_fn())
    np.testing.assert_allclose(
        ours(x, deterministic=True, is_causal=True), theirs(x, deterministic=True, is_causal=True), rtol=1e-5, atol=1e-6
    )
    ours.eval()
    assert (jaxdrop.monte_carlo(jaxdrop.nnx.sampler(ours, x), getkey(), 20).variance > 0).all()
    draw = jaxdrop.nnx.sampler(ours, jnp.ones((3, 6, 8)))(getkey())
    assert np.allclose(draw[0], draw[1], atol=1e-6) == broadcast


@pytest.mark.thorough
def test_flax_s_module_is_told_what_is_not_done(getkey):
    layer = nn.MultiHeadDotProductAttention(num_heads=2, attention_fn=jaxdrop.attention_fn())
    x = jnp.ones((1, 3, 4))
    with pytest.raises(ValueError, match="sow_weights must be None with jaxdrop's attention"):
        layer.init(getkey(), x, sow_weights=True)
    heads = nn.MultiHeadDotProductAttention(
        num_heads=2, dropout_rate=0.1, attention_fn=jaxdrop.attention_fn(jaxdrop.drop_head), deterministic=False
    )
    with pytest.raises(ValueError, match="set broadcast_dropout=False"):
        heads.init({"params": getkey(), "dropout": getkey()}, x)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"query": ONES.astype(int)}, TypeError, "query must be floating point, got dtype int32"),
        ({"value": ONES[:, :3]}, ValueError, "value shape should be"),
        ({"mask": jnp.ones((1, 1, 6, 6))}, ValueError, "mask dtype should be bool"),
        ({"dropout_rate": 1.5}, ValueError, r"dropout_rate must be in \[0, 1\], got 1.5"),
        ({"dropout_rate": jnp.ones(5)}, ValueError, r"rate must broadcast against the shape \(2, 4, 6, 6\)"),
        ({"dropout_key": None}, TypeError, "key must be one PRNG key"),
        ({"implementation": "cudnn"}, ValueError, "implementation must be one of 'xla', got 'cudnn'"),
    ],
)
def test_refuses(change, error, message, getkey):
    arguments = {"query": ONES, "key": ONES, "value": ONES, "dropout_rate": 0.5, "dropout_key": getkey(), **change}
    with pytest.raises(error, match=message):
        jaxdrop.dot_product_attention(**arguments)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(7, 7), (7,)], ids=str)
def test_masks_of_fewer_axes_are_those_of_flax(shape, getkey):
    x, mask = jax.random.normal(getkey(), (2, 7, 16)), jnp.tril(jnp.ones((7, 7), bool))[3 if len(shape) == 1 else ...]
    layer = nn.MultiHeadDotProductAttention(4, attention_fn=jaxdrop.attention_fn())
    variables = layer.init(getkey(), x)
    ours = layer.apply(variables, x, mask=mask)
    theirs = nn.MultiHeadDotProductAttention(4).apply(variables, x, mask=jnp.broadcast_to(mask, (2, 4, 7, 7)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
