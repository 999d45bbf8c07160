r"""MC dropout on yacht hydrodynamics by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/yacht.py
Cost:     not run; some 15 minutes of CPU time, from the time that a step takes.
Expect:   of MC dropout the published RMSE of 0.67 ± 0.05 and log-likelihood of -1.250 ± 0.015 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="yacht")
