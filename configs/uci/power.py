r"""MC dropout on power plants by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/power.py
Cost:     190 minutes of a CPU core that it shared.
Expect:   of MC dropout an RMSE of 4.01 ± 0.04 and a log-likelihood of -2.805 ± 0.008; published are 4.01 ± 0.04 and
          -2.808 ± 0.009 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="power", num_validation_samples=1000)
