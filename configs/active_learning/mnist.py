r"""Active learning on MNIST as the authors of BatchBALD do it: all images are scored, by 100 samples, ten are labelled.

Command:  python -m experiments configs/active_learning/mnist.py
Cost:     not run; 1300 networks, some days on 2 CPU cores: it is meant for a GPU. In mnist_short.py a step is cheaper.
Expect:   by the authors' logs, 90 and 95 % with 105 and 225 labels by BatchBALD, and with 155 and 260 or more by BALD.
          With --config.acquisition_size=1 they have 99 and 217 by BALD.
"""

from experiments.active_learning.train import Config


def get_config() -> Config:
    """The authors' protocol; random choice may go on for twice as long."""
    return Config()
