import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdrop
from jaxdrop import EncoderRates
from jaxdrop.linen import Encoder, EncoderBlock
from tests.statistical import assert_frequency


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (3, 6, 8))


def bias_of(params):
    """Parameters with biases that are not zero, so that a layer shows where all of its inputs are dropped."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf + 0.1 if path[-1].key == "bias" else leaf, params)


@pytest.fixture(scope="module")
def variables(x):
    return bias_of(Encoder(2, 2, 16).init(jax.random.key(0), x, deterministic=True))


def run(x, variables, key=None, pre_norm=True, noise=jaxdrop.dropout, **rates):
    encoder = Encoder(2, 2, 16, EncoderRates(**rates), pre_norm, noise)
    return encoder.apply(variables, x, deterministic=key is None, rngs={} if key is None else {"dropout": key})


def by_hand(x, variables, pre_norm=True, attention=None, hidden=1.0, layers=2):
    """The encoder of the textbook without noise; `attention` stands for what attention gives, `hidden` scales it."""
    params = variables["params"]

    def norm(x, p):
        return nn.LayerNorm().apply({"params": p}, x)

    for layer in range(layers):
        p = params[f"drop_{layer}"]["layer"] if "layer" in params.get(f"drop_{layer}", {}) else params[f"layer_{layer}"]

        def attend(x, p=p):
            y = nn.MultiHeadDotProductAttention(2, deterministic=True).apply({"params": p["attention"]}, x)
            return y if attention is None else jnp.broadcast_to(p["attention"]["out"]["bias"], y.shape)

        def feed_forward(x, p=p):
            h = hidden * nn.gelu(x @ p["expand"]["kernel"] + p["expand"]["bias"][None, None])
            return h @ p["contract"]["kernel"] + p["contract"]["bias"][None, None]

        for sub_layer, name in ((attend, "attention_norm"), (feed_forward, "feed_forward_norm")):
            x = x + sub_layer(norm(x, p[name])) if pre_norm else norm(x + sub_layer(x), p[name])
    return norm(x, params["norm"]) if pre_norm else x


@pytest.mark.parametrize("pre_norm", [True, False])
def test_without_noise_it_is_the_textbook_s(pre_norm, x, variables):
    np.testing.assert_allclose(run(x, variables, pre_norm=pre_norm), by_hand(x, variables, pre_norm), atol=1e-5)


@pytest.mark.thorough
def test_each_rate_drops_in_its_place(x, variables, getkey):
    """At rate 1 everything that passes a place is gone, and what remains is known exactly."""
    expected = {
        "embedding": by_hand(jnp.zeros_like(x), variables),
        "residual": by_hand(x, variables, layers=0),
        "attention": by_hand(x, variables, attention="none"),
        "feed_forward": by_hand(x, variables, hidden=0.0),
        "layer_drop": by_hand(x, variables, layers=0),
    }
    for place, y in expected.items():
        np.testing.assert_allclose(run(x, variables, getkey(), **{place: 1.0}), y, atol=1e-5, err_msg=place)


@pytest.mark.thorough
def test_stochastic_depth_rises_with_depth(x, variables, getkey):
    """At rate 1 the second of two layers has rate 1 and the first 1/2: both of its branches go for a quarter."""
    many = jnp.tile(x, (300, 1, 1))
    y = run(many, variables, getkey(), stochastic_depth=1.0)
    unchanged = np.isclose(y, by_hand(many, variables, layers=0), atol=1e-5).all((1, 2))
    assert_frequency(unchanged.sum(), len(many), 0.25)


@pytest.mark.thorough
@pytest.mark.parametrize("place", EncoderRates._fields)
def test_each_rate_makes_noise_that_the_sampler_finds(place, x, variables, getkey):
    encoder = Encoder(2, 2, 16, EncoderRates(**{place: 0.5}))
    sample = jaxdrop.linen.sampler(encoder, variables, x, deterministic=True)
    first, second = (np.stack([sample(getkey()) for _ in range(4)]) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_allclose(run(x, variables, **{place: 0.5}), by_hand(x, variables), atol=1e-5)


def test_examples_have_attention_masks_of_their_own(x, variables, getkey):
    same = jnp.broadcast_to(x[:1], x.shape)
    y = run(same, variables, getkey(), attention=0.5)
    assert not np.allclose(y[0], y[1], atol=1e-3)


@pytest.mark.parametrize("noise", [jaxdrop.drop_attention, jaxdrop.drop_head])
def test_other_noise_on_the_weights(noise, x, variables, getkey):
    y = run(x, variables, getkey(), noise=noise, attention=0.5)
    assert np.isfinite(y).all()
    assert not np.allclose(y, by_hand(x, variables), atol=1e-3)


@pytest.mark.thorough
def test_masked_keys_do_not_count(x, variables):
    mask = jnp.arange(6) < 4
    encoder = Encoder(2, 2, 16, deterministic=True)
    y = encoder.apply(variables, x, mask[None, None, None])
    np.testing.assert_allclose(y[:, :4], encoder.apply(variables, x[:, :4]), atol=1e-5)


def test_presets_and_wrong_rates(x, getkey):
    for rates in (jaxdrop.encoder_rates.BERT, jaxdrop.encoder_rates.T5_FINE_TUNING):
        block = EncoderBlock(2, 16, rates, deterministic=False)
        assert np.isfinite(block.init_with_output({"params": getkey(), "dropout": getkey()}, x)[0]).all()
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        EncoderBlock(2, 16, EncoderRates(residual=1.5), deterministic=False).init(getkey(), x)
