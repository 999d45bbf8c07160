r"""MC dropout on naval propulsion by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/naval.py
Cost:     127 minutes of a CPU core with AVX-512 that it shared.
Expect:   of MC dropout an RMSE of 0.00074 ± 0.00004 and a log-likelihood of 4.450 ± 0.002; published are
          0.00074 ± 0.00005 and 4.450 ± 0.002 (V). Five networks without noise are better: 0.00014 ± 0.00001 and
          7.33 ± 0.04.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="naval", num_validation_samples=1000)
