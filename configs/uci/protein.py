r"""MC dropout on protein structure by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/protein.py
Cost:     not run; some 3 hours on one CPU core, from the time that kin8nm took.
Expect:   of MC dropout the published RMSE of 4.27 ± 0.02 and log-likelihood of -2.871 ± 0.001 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """2000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="protein", num_validation_samples=1000)
