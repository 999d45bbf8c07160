r"""Concrete dropout on a line with noise: rates and epistemic uncertainty fall as examples are added.

Command:  python -m experiments configs/concrete/synthetic.py
Cost:
Expect:
"""

from experiments.concrete.train import Config


def get_config() -> Config:
    """The updates of the authors' notebook for each number of examples, with three networks."""
    return Config(num_seeds=3)
