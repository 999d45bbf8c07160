r"""The variance of gradients of variational dropout by three ways to sample the weights.

Command:  python -m experiments configs/gradient_variance/mnist.py
Cost:     not run.
Expect:   the order local < separate < single, and a variance ten times as large on batches of 10 for local
          samples, less than that for single ones. On digits, with 30 units, it is so.
"""

from experiments.gradient_variance.train import Config


def get_config() -> Config:
    """Three hidden layers of 250 units."""
    return Config()
