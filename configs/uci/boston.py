r"""MC dropout on Boston housing by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/boston.py
Cost:     not run; some 20 minutes of CPU time, from the time that a step takes.
Expect:   of MC dropout the published RMSE of 2.90 ± 0.18 and log-likelihood of -2.40 ± 0.04 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="boston")
