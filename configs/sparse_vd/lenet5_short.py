r"""LeNet-5-Caffe by sparse variational dropout in a sixteenth of the authors' epochs.

Command:  python -m experiments configs/sparse_vd/lenet5_short.py
Cost:     87 minutes on 2 CPU cores beside other work.
Expect:   a test error of 0.88 % with sparsities of 38.8 - 94.9 - 99.7 - 85.1 % and a compression of 118; the paper,
          with sixteen times as many epochs, has 0.75 %, 67 - 98 - 99.8 - 95 % and 280.
"""

from experiments.sparse_vd.train import Config


def get_config() -> Config:
    """Twelve epochs, in which everything but the learning rate happens sooner."""
    return Config(network="lenet5", epochs=12, warm_up_begin=1, warm_up_epochs=3, retrain_epochs=8)
