r"""MC dropout on red wine quality by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/wine.py
Cost:     not run; some an hour of CPU time, from the time that a step takes.
Expect:   of MC dropout the published RMSE of 0.622 ± 0.008 and log-likelihood of -0.928 ± 0.013 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="wine")
