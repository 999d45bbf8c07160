"""Strict settings and shared fixtures.

Eight fake CPU devices, so that sharding is tested everywhere; compiled programs are kept for the session only.
"""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import itertools

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def getkey():
    """A function that gives another key at each call, the same ones in each run of a test."""
    numbers = itertools.count()
    return lambda: jax.random.key(next(numbers))
