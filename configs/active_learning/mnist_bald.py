r"""BALD against random choice on MNIST, far enough to see how many labels either takes for 95 %.

Networks are trained for longer than in mnist_short.py: at most 480 steps on batches of 32 images, with twice the step
size, where the authors stop after some 600 on 64; 1024 images decide when, as theirs. There are three runs, not six.
Each time 20 images are labelled, not 10, out of 1000 drawn from all, by 30 samples, not 100. Test images are
predicted once, without dropout.

Command:  python -m experiments configs/active_learning/mnist_bald.py
Cost:     29 minutes on one CPU core.
Expect:   90 % with 120 labels by BALD and 180 by random choice; 95 % with 240 and 720 (medians of three runs).
"""

from experiments.active_learning.train import Config


def get_config() -> Config:
    """180 networks: up to 400 labels by BALD, and up to 800 by random choice."""
    return Config(
        functions="random;BALD",
        acquisition_size=20,
        max_labels=400,
        max_labels_random=800,
        candidates=1000,
        num_samples=30,
        num_test_samples=0,
        epochs=12,
        epoch_images=1280,
        batch_size=32,
        learning_rate=2e-3,
        num_seeds=3,
    )
