r"""LeNet-500-300 by structured Bayesian pruning, in a fifth of the authors' epochs.

Command:  python -m experiments configs/sbp/lenet500_300.py
Cost:     not run to its end; one epoch takes about 10 s on 2 CPU cores.
Expect:   the paper, with five times as many epochs: a test error of 1.55 % and 245-160-55 units.
"""

from experiments.sbp.train import Config


def get_config() -> Config:
    """The authors' protocol but for 40 epochs instead of 200."""
    return Config(pretrain_epochs=10, epochs=40)
