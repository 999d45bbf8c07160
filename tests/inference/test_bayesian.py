"""Precision and weight decay are those of the model that they claim: its posterior mean and its bound, exactly."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import jaxdrop

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 3)), RNG.normal(size=30)


def minimiser(x, y, penalty, masks=None, scale=1.0, factor=0.5):
    """Of the mean of factor * (y - x (scale * mask * w))^2 over data and masks with probabilities, + penalty * w^2."""
    masks = [(np.ones(x.shape[1]), 1.0)] if masks is None else masks
    curvature, slope = penalty * np.eye(x.shape[1]), np.zeros(x.shape[1])
    for mask, probability in masks:
        noisy = x * mask * scale
        curvature = curvature + probability * factor * noisy.T @ noisy / len(x)
        slope = slope + probability * factor * noisy.T @ y / len(x)
    return np.linalg.solve(curvature, slope)


def posterior_mean(x, y, precision, length_scale):
    """Of weights with the prior N(0, length_scale^-2) and observations of the given precision."""
    return np.linalg.solve(precision * x.T @ x + length_scale**2 * np.eye(x.shape[1]), precision * x.T @ y)


@pytest.mark.parametrize("squared_error_factor", [0.5, 1.0])
def test_a_linear_network_without_dropout_has_the_posterior_mean(squared_error_factor):
    decay = float(jaxdrop.model_weight_decay(0.0, 1.5, 0.3, len(X)))
    decay *= 2 * squared_error_factor  # twice as large for an error without a factor of 1/2
    found = minimiser(X, Y, decay, factor=squared_error_factor)
    np.testing.assert_allclose(found, posterior_mean(X, Y, 0.3, 1.5), rtol=1e-6)


def test_half_the_decay_is_the_posterior_mean_at_twice_the_precision():
    # The networks of the authors' code, by the documentation.
    decay = float(jaxdrop.model_weight_decay(0.0, 1.5, 0.3, len(X)))
    np.testing.assert_allclose(minimiser(X, Y, decay, factor=1.0), posterior_mean(X, Y, 0.6, 1.5), rtol=1e-6)


def test_precision_of_standardised_targets_has_another_unit():
    deviation, precision, length_scale = 7.0, 0.3, 1.5
    decay = float(jaxdrop.model_weight_decay(0.0, length_scale, precision * deviation**2, len(X)))
    found = deviation * minimiser(X, Y / deviation, decay)
    np.testing.assert_allclose(found, posterior_mean(X, Y, precision, length_scale / deviation), rtol=1e-6)
    recovered = jaxdrop.model_precision(0.0, length_scale, decay, len(X)) / deviation**2
    np.testing.assert_allclose(recovered, precision, rtol=1e-6)


def divergence(mean, rate, length_scale, width=0.02):
    """Of a spike at 0 or at `mean`, both of a small width, from the prior, by quadrature."""

    def integrand(w):
        density = rate * stats.norm.pdf(w, 0, width) + (1 - rate) * stats.norm.pdf(w, mean, width)
        return density * (np.log(density) - stats.norm.logpdf(w, 0, 1 / length_scale)) if density > 0 else 0.0

    pieces = [(centre - 12 * width, centre + 12 * width) for centre in (0, mean)]
    return sum(integrate.quad(integrand, *piece, epsabs=1e-11)[0] for piece in pieces)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_penalty_is_the_divergence_of_a_mixture_of_spikes(rate):
    length_scale, precision, num_data = 1.3, 0.7, 11
    decay = jaxdrop.model_weight_decay(rate, length_scale, precision, num_data)
    difference = divergence(2.0, rate, length_scale) - divergence(1.0, rate, length_scale)
    np.testing.assert_allclose(decay * (2.0**2 - 1.0**2), difference / (num_data * precision), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_rescaled_survivors_make_the_same_network_of_smaller_weights(rate):
    masks = [(np.array(m), rate ** (3 - sum(m)) * (1 - rate) ** sum(m)) for m in itertools.product([0, 1], repeat=3)]
    plain, rescaled = (
        float(jaxdrop.model_weight_decay(rate, 1.5, 0.3, len(X), rescaled=rescaled)) for rescaled in (False, True)
    )
    weights = minimiser(X, Y, plain, masks)
    np.testing.assert_allclose(
        minimiser(X, Y, rescaled, masks, scale=1 / (1 - rate)), (1 - rate) * weights, rtol=1e-5, atol=1e-7
    )


def test_rescaled_agrees_with_concrete_dropout():
    kernel, rate, precision = jnp.float32(X), 0.3, 0.7
    logit = jnp.log(jnp.float32(rate / (1 - rate)))
    penalties = [
        jaxdrop.variational.regularizer(
            jaxdrop.variational.kl_concrete(k, logit, length_scale=0.5),
            num_data=11,
            likelihood="gaussian",
            noise_precision=precision,
        )
        for k in (kernel, 0 * kernel)
    ]
    decay = 2 * jaxdrop.model_weight_decay(rate, 0.5, precision, 11, rescaled=True)  # no factor of 1/2 there
    np.testing.assert_allclose(decay * jnp.square(kernel).sum(), penalties[0] - penalties[1], rtol=1e-5)


def test_values_of_the_published_protocol():
    # The grid of the UCI experiments at its first point for Boston housing: 455 examples for training.
    decay = jaxdrop.model_weight_decay(rate=0.005, length_scale=0.01, precision=0.1, num_data=455)
    np.testing.assert_allclose(decay, 1.0934066e-06, rtol=1e-6)
    np.testing.assert_allclose(jaxdrop.model_precision(0.005, 0.01, 1.0934066e-06, 455), 0.1, rtol=1e-6)


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("precision", [1e-3, 5e4, jnp.array([0.1, 10.0]), np.float64(2.0)], ids=str)
def test_there_and_back(precision, rescaled):
    rates = jnp.array([0.05, 0.9])
    decay = jax.jit(lambda tau: jaxdrop.model_weight_decay(rates, 1e-2, tau, 1000, rescaled=rescaled))(precision)
    assert decay.shape == (2,)
    assert decay.dtype == jnp.float32
    back = jax.jit(lambda decay: jaxdrop.model_precision(rates, 1e-2, decay, 1000, rescaled=rescaled))(decay)
    np.testing.assert_allclose(back, jnp.broadcast_to(jnp.asarray(precision, jnp.float32), 2), rtol=1e-6)


def test_gradients_are_those_of_the_formula():
    rate, length_scale, decay = jnp.float32(0.25), jnp.float32(0.5), jnp.float32(1e-3)
    tau = jaxdrop.model_precision(rate, length_scale, decay, 100)
    gradients = jax.grad(lambda *args: jaxdrop.model_precision(*args, 100), (0, 1, 2))(rate, length_scale, decay)
    np.testing.assert_allclose(gradients, [-tau / 0.75, 2 * tau / 0.5, -tau / 1e-3], rtol=1e-5)


def test_nothing_kept():
    assert jaxdrop.model_precision(1.0, 0.01, 1e-6, 100) == 0
    assert jaxdrop.model_precision(1.0, 0.01, 1e-6, 100, rescaled=True) == jnp.inf


@pytest.mark.parametrize("function", [jaxdrop.model_precision, jaxdrop.model_weight_decay])
def test_refuses(function):
    name = "weight_decay" if function is jaxdrop.model_precision else "precision"
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got 1.5"):
        function(1.5, 0.01, 1e-6, 100)
    with pytest.raises(ValueError, match="length_scale must be above 0 and finite, got 0"):
        function(0.5, 0, 1e-6, 100)
    with pytest.raises(ValueError, match=f"^{name} must be above 0 and finite, got -1.0"):
        function(0.5, 0.01, -1.0, 100)
    with pytest.raises(ValueError, match="num_data must be at least 1, got 0"):
        function(0.5, 0.01, 1e-6, 0)
