r"""LeNet-300-100 by sparse variational dropout, as its authors train it, beside magnitude pruning to the same sparsity.

Command:  python -m experiments configs/sparse_vd/lenet300.py
Cost:     11 minutes on 2 CPU cores.
Expect:   a test error of 1.99 % with sparsities of 99.4 - 98.3 - 72.6 % and a compression of 116. The paper: 1.92 %,
          98.9 - 97.2 - 62.0 % and 68. The dense network: 1.48 % (the paper's 1.64); pruned by magnitude at once and
          retrained: 7.29 %.
"""

from experiments.sparse_vd.train import Config


def get_config() -> Config:
    """The authors' protocol: Adam at 1e-3 for 100 epochs, then falling to 0; no divergence in the first 5 epochs."""
    return Config(epochs=200, retrain_epochs=20)
