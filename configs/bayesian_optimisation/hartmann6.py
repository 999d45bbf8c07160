r"""Bayesian optimisation of the Hartmann function of six variables.

Command:  python -m experiments configs/bayesian_optimisation/hartmann6.py
Cost:     not run to its end.
Expect:   no number yet.
"""

from experiments.bayesian_optimisation.train import Config


def get_config() -> Config:
    """12 random points and 68 more, 20 times."""
    return Config(objective="hartmann6", num_initial=12, num_evaluations=80)
