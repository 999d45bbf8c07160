r"""MC dropout on naval propulsion by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/naval.py
Cost:     not run; some 3.5 hours on one CPU core, from the time that kin8nm took.
Expect:   of MC dropout the published RMSE of 0.00074 ± 0.00005 and log-likelihood of 4.450 ± 0.002 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="naval", num_validation_samples=1000)
