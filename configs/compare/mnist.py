r"""Nine methods in the same perceptron on MNIST.

Command:  python -m experiments configs/compare/mnist.py
Cost:     33 minutes on 2 CPU cores, of which other work used a part for the first ten.
Expect:   test errors from 1.30 % (curriculum dropout) and 1.32 % (no noise) over 1.42 % (dropout) to 1.71 %
          (DropConnect), standard errors 0.01 to 0.04. In so few epochs noise costs more than it gives; mnist_long.py
          trains longer.
"""

from experiments.compare.train import Config


def get_config() -> Config:
    """Twelve epochs are short for a network with dropout: configs/compare/mnist_long.py trains longer."""
    return Config(epochs=12, num_seeds=3)
