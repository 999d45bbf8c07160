"""Strict settings and shared fixtures.

Eight fake CPU devices, so that sharding is tested everywhere. Machine code is not optimised, which halves the time that
compiling takes, and that is half of the whole; XLA_FLAGS=--xla_backend_optimization_level=3 tests what users run.
"""

import os

os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
    ]
)

import gc
import itertools

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


# Traced programs are many small objects that stay: looking through them all the time takes a tenth of the whole.
gc.freeze()
gc.set_threshold(200_000, 50, 100)


@pytest.fixture
def getkey():
    """A function that gives another key at each call, the same ones in each run of a test."""
    numbers = itertools.count()
    return lambda: jax.random.key(next(numbers))
