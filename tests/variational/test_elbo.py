import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.variational import elbo, kl_cycles, kl_warm_up, regularizer


def test_is_the_bound_per_data_point():
    log_likelihood = jnp.array([[-1.0, -2.0], [-3.0, -6.0]])
    assert elbo(log_likelihood, jnp.array(10.0), 50) == -3.2
    assert elbo(log_likelihood, jnp.array(10.0), 50, kl_weight=0.5) == -3.1
    assert jax.grad(lambda kl: elbo(log_likelihood, kl, 50))(10.0) == pytest.approx(-1 / 50)


def test_warm_up_compiles_once_for_all_steps():
    traces = []

    @jax.jit
    def weight(step):
        traces.append(step)
        return kl_warm_up(10, 20)(step)

    values = [weight(step) for step in (0, 10, 15, 30, 1000)]
    np.testing.assert_allclose(values, [0, 0, 0.25, 1, 1])
    assert len(traces) == 1


def test_refuses():
    with pytest.raises(ValueError, match="num_data must be at least 1, got 0"):
        elbo(jnp.ones(1), jnp.ones(()), 0)
    with pytest.raises(TypeError, match="log_likelihood must be"):
        elbo(jnp.ones(1, int), jnp.ones(()), 1)
    with pytest.raises(ValueError, match="begin must be at least 0"):
        kl_warm_up(-1, 5)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        kl_warm_up(0, 0)


def test_cycles_begin_again_and_end_in_full():
    weight = jax.jit(kl_cycles(steps=100, cycles=4, rising=0.8))
    values = [float(weight(step)) for step in range(130)]
    assert [step for step in range(1, 130) if values[step] < values[step - 1]] == [25, 50, 75]
    np.testing.assert_allclose(values[:25], [min(step / 20, 1) for step in range(25)], rtol=1e-5)
    assert values[100:] == [1.0] * 30
    for arguments, message in (((3, 4), "steps must be at least 4"), ((9, 0), "cycles must be at least 1")):
        with pytest.raises(ValueError, match=message):
            kl_cycles(*arguments)
    with pytest.raises(ValueError, match="rising must be above 0 and at most 1, got 0"):
        kl_cycles(10, rising=0)


def test_refuses_a_divergence_that_is_not_summed():
    for loss in (lambda kl: elbo(jnp.ones(2), kl, 10), lambda kl: regularizer(kl, 10, likelihood="categorical")):
        with pytest.raises(ValueError, match=r"kl must be a scalar, the sum over the model, got shape \(3,\)"):
            loss(jnp.ones(3))
