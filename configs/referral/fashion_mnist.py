r"""Referral on Fashion-MNIST: three ensembles of five networks.

Command:  python -m experiments configs/referral/fashion_mnist.py
Cost:     not run.
Expect:   no number yet.
"""

from experiments.referral.train import Config


def get_config() -> Config:
    """A small network for few epochs, as 15 are trained."""
    return Config(dataset="fashion_mnist", network="256-256", rate=0.5, epochs=10, num_samples=100, num_seeds=3)
