r"""LeNet-500-300 by structured Bayesian pruning, by the authors' protocol.

Command:  python -m experiments configs/sbp/lenet500_300.py
Cost:     not run.
Expect:   the paper has a test error of 1.55 % and 245-160-55 units.
"""

from experiments.sbp.train import Config


def get_config() -> Config:
    """200 epochs, after 20 without noise."""
    return Config()
