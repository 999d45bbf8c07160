r"""MC dropout on a robot arm (kin8nm) by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/kin8nm.py
Cost:     134 minutes on one CPU core.
Expect:   of MC dropout an RMSE of 0.0792 ± 0.0005 and a log-likelihood of 1.132 ± 0.006; published are 0.0789 ± 0.0006
          and 1.136 ± 0.007 (V). Five networks without noise are better: 0.0719 ± 0.0005 and 1.215 ± 0.006.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="kin8nm", num_validation_samples=1000)
