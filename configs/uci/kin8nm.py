r"""MC dropout on a robot arm (kin8nm) by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/kin8nm.py
Cost:     not run; some 4 hours of CPU time, from the time that a step takes.
Expect:   of MC dropout the published RMSE of 0.0789 ± 0.0006 and log-likelihood of 1.136 ± 0.007 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="kin8nm", num_validation_samples=1000)
