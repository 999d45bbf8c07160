r"""Nine methods on MNIST, trained about as long as the papers train, with DropConnect's mask for each example.

Command:  python -m experiments configs/compare/mnist_gpu.py
Cost:     not measured; 10 networks for each method, 400 epochs. It is meant for a GPU.
Expect:   not run yet. The papers have 1.60 % without noise, 1.25 % with dropout, 1.06 % with the norms constrained as
          well (Srivastava et al. 2014, table 2, for 2 and 3 hidden layers); mnist_long.py has 1.26 % without noise.
"""

from experiments.compare.train import Config


def get_config() -> Config:
    """The default comparison's settings, but for epochs, seeds and DropConnect's masks."""
    return Config(epochs=400, num_seeds=10, drop_connect_mode="example")
