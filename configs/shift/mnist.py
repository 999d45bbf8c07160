r"""Telling Fashion-MNIST and notMNIST from MNIST, and turned digits: three ensembles of five networks.

Command:  python -m experiments configs/shift/mnist.py
Cost:     not run.
Expect:   no number yet.
"""

from experiments.shift.train import Config


def get_config() -> Config:
    """A small network for few epochs, as 15 are trained and predict 15 sets of 10 000 pictures."""
    return Config(network="256-256", rate=0.5, epochs=8, num_samples=50, num_seeds=3)
