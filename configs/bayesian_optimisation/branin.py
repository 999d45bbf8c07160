r"""Bayesian optimisation of the Branin function, of two variables.

Command:  python -m experiments configs/bayesian_optimisation/branin.py
Cost:     not run to its end.
Expect:   no number yet.
"""

from experiments.bayesian_optimisation.train import Config


def get_config() -> Config:
    """5 random points and 45 more, 20 times."""
    return Config()
