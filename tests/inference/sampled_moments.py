"""What the tests of `jaxdrop.moments` share: a few inputs, and samples to compare with."""

import jax
import numpy as np

import jaxdrop
from tests.statistical import assert_moments

X = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32) / 3
MEAN = np.linspace(-3, 3, 13, dtype=np.float32)


def samples(sample, number=20_000):
    return jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(7), number))


def assert_agrees(sample, number=20_000):
    """The moments are those of samples."""
    p = jaxdrop.moments(sample)
    assert_moments(samples(sample, number), p.mean, p.variance)


def noisy(key, deviation=1.3):
    return MEAN + np.float32(deviation) * jax.random.normal(key, MEAN.shape)


def linear(key, x):
    return jaxdrop.dropout(key, x, 0.4) @ KERNEL + 1
