r"""BALD against random choice on MNIST in minutes: how many labels either takes for 90 %.

As mnist_short.py, with fewer labels and functions.

Command:  python -m experiments configs/active_learning/mnist_quick.py
Cost:     8 minutes on one CPU core that other work shared.
Expect:   90 % with 120 labels by BALD and 180 by random choice (medians of three runs).
"""

from experiments.active_learning.train import Config


def get_config() -> Config:
    """63 networks: up to 160 labels by BALD, and up to 260 by random choice."""
    return Config(
        functions="random;BALD",
        acquisition_size=20,
        max_labels=160,
        max_labels_random=260,
        candidates=1000,
        num_samples=30,
        num_test_samples=0,
        epochs=12,
        epoch_images=640,
        batch_size=32,
        learning_rate=2e-3,
        num_validation=512,
        num_seeds=3,
    )
