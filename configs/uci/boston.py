r"""MC dropout on Boston housing by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/boston.py
Cost:     44 minutes of a CPU core that it shared.
Expect:   of MC dropout an RMSE of 2.95 ± 0.19 and a log-likelihood of -2.417 ± 0.047; published are 2.90 ± 0.18 and
          -2.402 ± 0.042 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="boston")
