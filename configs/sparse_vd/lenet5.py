r"""LeNet-5-Caffe by sparse variational dropout for as many epochs as its authors train it.

Command:  python -m experiments configs/sparse_vd/lenet5.py
Cost:     not run; some 20 hours on 2 CPU cores, by the time that lenet5_short.py took beside other work.
Expect:   the paper has a test error of 0.75 % with sparsities of 67 - 98 - 99.8 - 95 % and a compression of 280.
"""

from experiments.sparse_vd.train import Config


def get_config() -> Config:
    """The protocol of LeNet-300-100, on the larger network."""
    return Config(network="lenet5")
