r"""Seven methods in a small residual network, on a sixth of Fashion-MNIST's training examples, 15 epochs.

Command:  python -m experiments configs/compare/fashion_mnist.py
Cost:     23 minutes on 2 CPU cores that did other work beside.
Expect:   a test error of 12.6 % without noise and of 11.8 to 12.3 % with it, standard errors 0.09 to 0.16; dropout,
          spatial dropout and DropBlock in this order, as on ImageNet in the DropBlock paper. No published numbers.
"""

from experiments.compare.train import Config


def get_config() -> Config:
    """10000 examples, for with few of them there is something to regularise."""
    return Config(
        dataset="fashion_mnist",
        network="resnet",
        width=16,
        max_examples=10_000,
        epochs=15,
        learning_rate=3e-3,
        map_rate=0.1,
        block_size=3,
        depth_rate=0.2,
        cutout_size=8,
    )
