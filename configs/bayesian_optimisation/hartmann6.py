r"""Bayesian optimisation of the Hartmann function of six variables.

Command:  python -m experiments configs/bayesian_optimisation/hartmann6.py
Cost:     6 minutes on one CPU core.
Expect:   a median regret after 80 evaluations of 0.26 by Thompson sampling and 0.50 by expected improvement with
          dropout; 1.5 at random, 0.0002 with a Gaussian process.
"""

from experiments.bayesian_optimisation.train import Config


def get_config() -> Config:
    """12 random points and 68 more, 20 times."""
    return Config(objective="hartmann6", num_initial=12, num_evaluations=80)
