r"""MC dropout on concrete strength by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/concrete.py
Cost:     17 minutes on one CPU core.
Expect:   of MC dropout an RMSE of 4.73 ± 0.12 and a log-likelihood of -2.934 ± 0.023; published are 4.83 ± 0.16 and
          -2.937 ± 0.025 (V).
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="concrete")
