import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdrop
from jaxdrop import EncoderRates
from jaxdrop.nnx import Encoder
from tests.statistical import assert_frequency


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (3, 6, 8))


def make(pre_norm=True, **rates):
    return Encoder(
        2, 8, num_heads=2, hidden=16, rates=EncoderRates(**rates), pre_norm=pre_norm, rngs=nnx.Rngs(params=0, dropout=1)
    )


def by_hand(model, x, *, attention=True, hidden=1.0, layers=2):
    """The encoder of the textbook without noise."""
    for layer in model.layers[:layers]:
        block = layer.layer

        def attend(x, block=block):
            y = block.attention(x, deterministic=True)
            return y if attention else jnp.broadcast_to(block.attention.out.bias[...], y.shape)

        def feed_forward(x, block=block):
            return block.contract(hidden * jax.nn.gelu(block.expand(x)))

        for sub_layer, norm in zip((attend, feed_forward), block.norms, strict=True):
            x = x + sub_layer(norm(x)) if block.pre_norm else norm(x + sub_layer(x))
    return x if model.norm is None else model.norm(x)


@pytest.mark.thorough
@pytest.mark.parametrize("pre_norm", [True, False])
def test_without_noise_it_is_the_textbook_s(pre_norm, x):
    model = make(pre_norm)
    np.testing.assert_allclose(model(x), by_hand(model, x), atol=1e-5)


@pytest.mark.thorough
def test_each_rate_drops_in_its_place(x):
    """At rate 1 everything that passes a place is gone, and what remains is known exactly."""
    model = make()
    expected = {
        "embedding": by_hand(model, jnp.zeros_like(x)),
        "residual": by_hand(model, x, layers=0),
        "attention": by_hand(model, x, attention=False),
        "feed_forward": by_hand(model, x, hidden=0.0),
        "layer_drop": by_hand(model, x, layers=0),
    }
    for place, y in expected.items():
        np.testing.assert_allclose(make(**{place: 1.0})(x), y, atol=1e-5, err_msg=place)


@pytest.mark.thorough
def test_stochastic_depth_rises_with_depth(x):
    """At rate 1 the second of two layers has rate 1 and the first 1/2: both of its branches go for a quarter."""
    many = jnp.tile(x, (300, 1, 1))
    unchanged = np.isclose(make(stochastic_depth=1.0)(many), by_hand(make(), many, layers=0), atol=1e-5).all((1, 2))
    assert_frequency(unchanged.sum(), len(many), 0.25)


@pytest.mark.thorough
@pytest.mark.parametrize("place", EncoderRates._fields)
def test_each_rate_makes_noise_in_training_and_in_samples(place, x):
    model = make(**{place: 0.5})
    draw = nnx.jit(lambda model, x: model(x))
    assert not np.allclose(*(np.stack([draw(model, x) for _ in range(4)]) for _ in range(2)))
    model.eval()
    np.testing.assert_allclose(model(x), by_hand(model, x), atol=1e-5)
    sample = jaxdrop.nnx.sampler(model, x)
    keys = jax.random.split(jax.random.key(2), 8)
    assert len(np.unique(np.stack([sample(key) for key in keys]), axis=0)) > 1


@pytest.mark.thorough
def test_masked_keys_do_not_count(x):
    model = make()
    mask = jnp.arange(6) < 4
    np.testing.assert_allclose(model(x, mask[None, None, None])[:, :4], model(x[:, :4]), atol=1e-5)
