r"""MC dropout on energy efficiency by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/energy.py
Cost:     not run; some 30 minutes of CPU time, from the time that a step takes.
Expect:   of MC dropout the published RMSE of 0.539 ± 0.014 and log-likelihood of -1.212 ± 0.005 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="energy")
