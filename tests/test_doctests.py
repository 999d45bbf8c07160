"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import experiments
import jaxdrop

# What a reader is taken to have imported.
NAMES = {"jax": jax, "jnp": jnp, "nn": nn, "nnx": nnx, "jaxdrop": jaxdrop}
MODULES = sorted(
    module.name
    for package in (jaxdrop, experiments)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, extraglobs={k: v for k, v in NAMES.items() if k not in vars(module)})
    assert outcome.failed == 0


def test_every_public_function_and_module_has_an_example():
    for public in (jaxdrop.dropout, jaxdrop.monte_carlo, jaxdrop.linen, jaxdrop.nnx):
        for name, value in vars(public).items() if hasattr(public, "__path__") else [("", public)]:
            if callable(value):
                assert ">>>" in (value.__doc__ or ""), f"{name or value} has no example"
