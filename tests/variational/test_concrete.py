import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from jaxdrop.variational import concrete_dropout, elbo, kl_concrete, logit_rate, regularizer
from tests.statistical import assert_frequency, assert_independent, assert_moments

SAMPLES = 200_000


def factor(uniform, rate, temperature):
    """What an entry is multiplied by, as the paper writes it."""
    dropped = special.expit((special.logit(rate) + special.logit(uniform)) / temperature)
    return (1 - dropped) / (1 - rate)


@pytest.mark.parametrize(("rate", "temperature"), [(0.1, 0.1), (0.5, 0.1), (0.3, 2 / 3)])
def test_the_moments_are_those_of_the_relaxed_mask(rate, temperature, getkey):
    y = concrete_dropout(getkey(), jnp.full(SAMPLES, 3.0), logit_rate(rate), temperature=temperature)

    # The step is at a probability of 1 - rate, where quadrature needs to be told.
    def moment(power):
        return integrate.quad(lambda u: factor(u, rate, temperature) ** power, 0, 1, points=[1 - rate], limit=200)[0]

    mean, square = moment(1), moment(2)
    assert_moments(y[:, None], 3 * mean, 9 * (square - mean**2))
    assert_frequency((y < 1.5 / (1 - rate)).sum(), SAMPLES, rate)  # the median of a relaxed mask is a hard one


def test_a_low_temperature_is_dropout(getkey):
    y = concrete_dropout(getkey(), jnp.ones(SAMPLES), logit_rate(0.25), temperature=1e-4)
    hard = (y < 1e-3) | (jnp.abs(y - 4 / 3) < 1e-3)
    assert hard.mean() > 0.999
    assert_frequency((y < 1e-3).sum(), int(hard.sum()), 0.25)


@pytest.mark.thorough
def test_the_gradient_reaches_the_rate_through_the_masks(getkey):
    key, x = getkey(), jax.random.normal(getkey(), (50,))

    def loss(logit):
        return jnp.square(concrete_dropout(jax.random.clone(key), x, logit, temperature=0.5)).sum()

    rate = 0.2
    y = concrete_dropout(jax.random.clone(key), x, logit_rate(rate), temperature=0.5)
    mask = 1 - y / x * (1 - rate)
    # d/dlogit of x (1 - z) / (1 - p): through the mask and through the scale.
    slope = x * (-mask * (1 - mask) / 0.5 / (1 - rate) + (1 - mask) * rate / (1 - rate))
    np.testing.assert_allclose(jax.grad(loss)(logit_rate(rate)), jnp.sum(2 * y * slope), rtol=1e-4)


def test_channels_and_rates_of_features(getkey):
    x = jnp.ones((200, 4, 4, 6))
    logits = jnp.linspace(-1.0, 1.0, 6)
    y = jax.jit(lambda key: concrete_dropout(key, x, logits, broadcast_dims=(1, 2)))(getkey())
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1], y.shape))
    dropped = y[:, 0, 0] * jax.nn.sigmoid(-logits)[None] < 0.5
    for channel in range(6):
        assert_frequency(dropped[:, channel].sum(), 200, float(jax.nn.sigmoid(logits[channel])))
    assert_independent(dropped[:, 2], dropped[:, 3])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("logit", [-40.0, 0.0, 40.0])
def test_finite_at_extreme_rates_in_each_dtype(dtype, logit, getkey):
    key, x = getkey(), jnp.ones((8, 4), dtype)

    def loss(x, logit):
        y = concrete_dropout(jax.random.clone(key), x, logit)
        assert y.dtype == dtype
        return jnp.mean(y.astype(jnp.float32)) + kl_concrete(jnp.ones((4, 2)), logit, length_scale=1e-9)

    value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(x, jnp.float32(logit))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradients)))


def test_the_divergence_in_the_stored_kernel_is_the_paper_s(getkey):
    """Equation 3 has the posterior's means, which are larger than the stored kernel by 1 / (1 - p)."""
    kernel, rate, length_scale = jax.random.normal(getkey(), (3, 3, 5, 7)), 0.3, 0.7
    means = kernel / (1 - rate)
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    expected = length_scale**2 * (1 - rate) / 2 * jnp.square(means).sum() - 5 * entropy
    ours = kl_concrete(kernel, logit_rate(rate), length_scale=length_scale)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    each = kl_concrete(kernel, jnp.full(5, logit_rate(rate)), length_scale=length_scale)
    np.testing.assert_allclose(each, expected, rtol=1e-5)
    groups = kl_concrete(kernel, logit_rate(rate), length_scale=length_scale, input_dim=10)
    np.testing.assert_allclose(groups, expected - 5 * entropy, rtol=1e-5)


def test_the_regularizers_are_those_of_the_authors_code(getkey):
    kernel, rate, length_scale, num_data, precision = jax.random.normal(getkey(), (5, 7)), 0.3, 0.1, 200, 4.0
    kl = kl_concrete(kernel, logit_rate(rate), length_scale=length_scale)
    weight, dropout = length_scale**2 / (num_data * precision), 2 / (num_data * precision)
    negative_entropy = rate * np.log(rate) + (1 - rate) * np.log1p(-rate)
    for_squares = weight * jnp.square(kernel).sum() / (1 - rate) + dropout * 5 * negative_entropy
    ours = regularizer(kl, num_data, likelihood="gaussian", noise_precision=precision)
    np.testing.assert_allclose(ours, for_squares, rtol=1e-5)
    np.testing.assert_allclose(
        regularizer(kl, num_data, likelihood="categorical"), for_squares * precision / 2, rtol=1e-5
    )
    # A squared error and its regularizer are the negative bound, but for a factor and the normalization.
    squares = jax.random.uniform(getkey(), (50,))
    bound = elbo(-precision / 2 * squares, kl, num_data)
    np.testing.assert_allclose(squares.mean() + ours, -2 / precision * bound, rtol=1e-5)


@pytest.mark.thorough
def test_more_data_want_a_lower_rate():
    """The entropy alone wants one half; a loss that rises with the rate holds against it the more, the more data."""

    def optimum(num_data):
        logits = jnp.linspace(-8, 3, 2001)
        loss = jax.nn.sigmoid(logits)  # say, what masks cost
        kl = jax.vmap(lambda logit: kl_concrete(jnp.zeros((20, 1)), logit, length_scale=1.0))(logits)
        added = jax.vmap(lambda kl: regularizer(kl, num_data, likelihood="categorical"))(kl)
        return jax.nn.sigmoid(logits[jnp.argmin(loss + added)])

    rates = [float(optimum(num_data)) for num_data in (1, 10, 100)]
    assert 0.5 > rates[0] > rates[1] > rates[2] > 0


@pytest.mark.thorough
def test_the_same_noise_in_any_chunk(getkey):
    key, x = getkey(), jnp.ones((4, 6))
    keys = jax.random.split(key, 6)
    whole = jax.vmap(lambda key: concrete_dropout(key, x, jnp.array(0.0)))(jax.random.clone(keys))
    each = jnp.stack([concrete_dropout(key, x, jnp.array(0.0)) for key in keys])
    np.testing.assert_allclose(whole, each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda key: concrete_dropout(key, jnp.ones(3), jnp.zeros(2)), ValueError, "logit_rate must broadcast"),
        (lambda key: concrete_dropout(key, jnp.ones(3), jnp.zeros(()), temperature=0.0), ValueError, "temperature"),
        (lambda key: concrete_dropout(key, jnp.ones(3, int), jnp.zeros(())), TypeError, "x must be floating point"),
        (lambda key: concrete_dropout(None, jnp.ones(3), jnp.zeros(())), TypeError, "key must be"),
        (lambda key: logit_rate(0.0), ValueError, "rate must be above 0 and below 1, got 0.0"),
        (lambda key: kl_concrete(jnp.ones(3), jnp.zeros(()), length_scale=1.0), ValueError, "kernel must have 2 or"),
        (lambda key: kl_concrete(jnp.ones((3, 2)), jnp.zeros(2), length_scale=1.0), ValueError, "logit_rate must br"),
        (lambda key: kl_concrete(jnp.ones((3, 2)), jnp.zeros(()), length_scale=0.0), ValueError, "length_scale must"),
        (lambda key: regularizer(jnp.ones(()), 10, likelihood="gaussian"), ValueError, "noise_precision must be given"),
        (
            lambda key: regularizer(jnp.ones(()), 10, likelihood="categorical", noise_precision=1.0),
            ValueError,
            "noise_precision must be None for a categorical likelihood, got 1.0",
        ),
        (lambda key: regularizer(jnp.ones(()), 10, likelihood="poisson"), ValueError, "likelihood must be one of"),  # pyright: ignore
    ],
)
def test_refuses(call, error, message, getkey):
    with pytest.raises(error, match=message):
        call(getkey())


def test_each_input_has_its_own_rate_in_the_divergence(getkey):
    kernel, rates = np.asarray(jax.random.normal(getkey(), (2, 3, 4))), np.array([0.1, 0.5, 0.8])
    logits = jnp.asarray(special.logit(rates), jnp.float32)
    entropies = special.entr(rates) + special.entr(1 - rates)
    squares = np.square(kernel).sum((0, 2))
    for groups in (1, 2):
        expected = 0.7**2 / 2 * np.sum(squares / (1 - rates)) - groups * entropies.sum()
        ours = kl_concrete(kernel, logits, length_scale=0.7, input_dim=3 * groups)
        np.testing.assert_allclose(ours, expected, rtol=1e-5)
