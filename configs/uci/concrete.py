r"""MC dropout on concrete strength by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/concrete.py
Cost:     not run; some 40 minutes of CPU time, from the time that a step takes.
Expect:   of MC dropout the published RMSE of 4.83 ± 0.16 and log-likelihood of -2.94 ± 0.02 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="concrete")
