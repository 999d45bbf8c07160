r"""Srivastava's three on MNIST: no noise, dropout, dropout with constrained norms; longer than the default comparison.

Command:  python -m experiments configs/compare/mnist_long.py
Cost:     44 minutes on 2 CPU cores that did other work beside.
Expect:   test errors of 1.26, 1.18 and 1.13 %, each within 0.05: the order of Srivastava et al. 2014, table 2, who have
          1.60 (2 x 800 logistic units), 1.25 and 1.06 % (3 x 1024 ReLUs, 1 million updates).
"""

from experiments.compare.train import Config


def get_config() -> Config:
    """The default comparison's settings, but for the number of epochs."""
    return Config(methods="none;dropout;dropout + max-norm", epochs=40, num_seeds=3)
