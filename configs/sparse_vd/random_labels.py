r"""Permuted labels: a network with dropout learns them by heart, sparse variational dropout learns nothing.

Command:  python -m experiments configs/sparse_vd/random_labels.py
Cost:     6 minutes on 2 CPU cores.
Expect:   no number of the paper is verified. Dropout fits all labels (training error 0), sparse variational dropout
          none: all weights are pruned, and the prediction is one class for all.
"""

from experiments.sparse_vd.train import Config


def get_config() -> Config:
    """Five thousand images, so that dropout can memorise them in minutes."""
    return Config(
        network="512-512",
        num_train=5000,
        random_labels=True,
        dropout_rate=0.2,
        epochs=200,
        retrain_epochs=20,
    )
