r"""LeNet-300-100 by sparse variational dropout, as its authors train it, beside magnitude pruning to the same sparsity.

Command:  python -m experiments configs/sparse_vd/lenet300.py
Cost:     44 minutes on 2 CPU cores beside other work; an epoch of the noisy network takes 3.6 s alone.
Expect:   a test error of 2.04 % with sparsities of 99.3 - 98.2 - 72.0 % and a compression of 113. The paper: 1.92 %,
          98.9 - 97.2 - 62.0 % and 68. The dense network: 1.37 % (the paper's 1.64); pruned by magnitude step by
          step to the same sparsity: 3.54 %. Cut down to the units that are left: 52 435 parameters of 266 610.
"""

from experiments.sparse_vd.train import Config


def get_config() -> Config:
    """The authors' protocol: Adam at 1e-3 for 100 epochs, then falling to 0; no divergence in the first 5 epochs."""
    return Config(network="300-100", epochs=200, retrain_epochs=50)
