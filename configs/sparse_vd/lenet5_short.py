r"""LeNet-5-Caffe by sparse variational dropout in a sixteenth of the authors' epochs.

Command:  python -m experiments configs/sparse_vd/lenet5_short.py
Cost:     not run to its end; one epoch of the noisy network takes about 80 s on 2 CPU cores.
Expect:   not known.
"""

from experiments.sparse_vd.train import Config


def get_config() -> Config:
    """Twelve epochs, in which everything but the learning rate happens sooner."""
    return Config(network="lenet5", epochs=12, warm_up_begin=1, warm_up_epochs=3, retrain_epochs=8)
