r"""LeNet-500-300 by structured Bayesian pruning, by the authors' protocol.

Command:  python -m experiments configs/sbp/lenet500_300.py
Cost:     53 minutes on 2 CPU cores beside other work; an epoch takes about 5 s alone.
Expect:   a test error of 1.34 % and 343-230-89 units; the paper has 1.55 % and 245-160-55.
"""

from experiments.sbp.train import Config


def get_config() -> Config:
    """200 epochs, after 20 without noise."""
    return Config()
