"""What a network costs where it is used is measured in the stated units."""

import types

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from experiments.common import deployed
from experiments.common.data import Examples


@pytest.mark.thorough
def test_measures_in_the_stated_units(monkeypatch):
    """Logits are the images, of which one of four has the wrong label; the first run takes far longer than the rest."""
    width = 100
    images = np.random.default_rng(0).normal(size=(4, width)).astype(np.float32)
    labels = images.argmax(-1)
    labels[2] = (labels[2] + 1) % width
    times = iter([0.0, 50.0, *np.concatenate([(100 * n, 100 * n + 0.003) for n in range(1, 99)])])
    monkeypatch.setattr(deployed, "time", types.SimpleNamespace(perf_counter=lambda: next(times)))
    variables = {"params": {"kernel": jnp.eye(width)}}
    found = deployed.measure(nn.Dense(width, use_bias=False), variables, Examples(images, labels))
    assert found["error %"] == 25
    expected = -special.log_softmax(images.astype(float), -1)[np.arange(4), labels].mean()
    assert found["NLL"] == pytest.approx(expected, rel=1e-5)
    assert found["parameters"] == width**2
    assert found["kB"] == pytest.approx(40, abs=0.2)  # and the names of the parameters
    assert found["ms"] == pytest.approx(3, rel=1e-4)
