r"""Telling Fashion-MNIST and notMNIST from MNIST, and turned digits: three ensembles of five networks.

Command:  python -m experiments configs/shift/mnist.py
Cost:     TODO
Expect:   TODO
"""

from experiments.shift.train import Config


def get_config() -> Config:
    """The network of the digits experiment, for fewer epochs."""
    return Config(network="512-512", rate=0.5, epochs=8, num_samples=50, num_seeds=3)
