r"""Active learning on MNIST, cheaper than its authors have it: to see the order of the acquisition functions.

Networks are trained for at most 240 steps on batches of 32 images, with twice the step size, where the authors stop
after some 600 on 64; 512 images decide when. Each time 20 images are labelled, not 10, out of 1000 drawn from all, by
30 samples, not 100; BatchBALD looks at 1000 configurations, not 10 000. There are three runs, not six. Test images
are predicted once, without dropout.

Command:  python -m experiments configs/active_learning/mnist_short.py
Cost:     83 minutes on one CPU core, for six functions; "--config.functions=random;BALD" are two.
Expect:   90 % with 100 to 140 labels by all functions that score images, and with 200 by random choice. Single
          networks have 95 %, by luck: none if the accuracies of three neighbours are smoothed. Random choice has 93.5 %
          with 600. mnist_bald.py trains for longer.
"""

from experiments.active_learning.train import Config


def get_config() -> Config:
    """315 networks, up to 300 labels; up to 600 by random choice."""
    return Config(
        acquisition_size=20,
        max_labels=300,
        max_labels_random=600,
        candidates=1000,
        num_samples=30,
        num_configurations=1000,
        num_test_samples=0,
        epochs=12,
        epoch_images=640,
        batch_size=32,
        learning_rate=2e-3,
        num_validation=512,
        num_seeds=3,
    )
